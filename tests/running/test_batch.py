"""One batch, on a generator, a metric, a method and a judge whose every number is written down here.

The image of trial t at iteration k has (k + 0.25) / 255 in its red channel and t / 255 in its green one: whoever sees
an image can tell which it is. Rounded to whole levels, as an image is stored, the quarter is gone. Trials are called
"trial 0", "trial 1", ... A script gives a metric's score by trial and iteration.
"""

from __future__ import annotations

import math
import sys
import types
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest
import torch

from reno.evaluators import Evaluator
from reno.generators import Generator
from reno.methods import Step, TermScores
from reno.metrics import Metric, WeightedSum
from reno.running.batch import run_batch
from reno.running.pool import Models
from reno.spec.errors import BadInput
from reno.spec.job import Execution, MethodSettings
from reno.spec.judgements import Judgement, Verdict
from reno.spec.prompts import Binding, Prompt
from reno.spec.trial import TrialSpec

NAN = float("nan")
SEEDS = (11, 12, 13, 14)


class Clock:
    """A clock that stands still until somebody works."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@dataclass
class Numbered(Generator):
    """Makes the image of each trial's next iteration. A pass takes a second."""

    clock: Clock = field(default_factory=Clock)
    device: object = torch.device("cpu")
    dtype: torch.dtype = torch.float32
    latent_shape = (1, 2, 2)
    image_size = (3, 5)

    def __post_init__(self):
        self.made = 0
        self.noises = []

    def encode(self, prompts):
        return [int(text.split()[-1]) for text in prompts]

    def __call__(self, noise, conditioning):
        self.clock.now += 1
        self.noises.append(noise.clone())
        images = torch.zeros(len(noise), 3, *self.image_size, dtype=torch.float64)
        images[:, 0] = (self.made + 0.25) / 255
        images[:, 1] = torch.tensor(conditioning, dtype=torch.float64)[:, None, None] / 255
        self.made += 1
        return images


def seen(images):
    """(trial, iteration) of each image, the iteration with the quarter that rounding takes away."""
    return [(round(float(image[1, 0, 0]) * 255), float(image[0, 0, 0]) * 255) for image in images]


class Scripted(Metric):
    """Scores by trial and iteration. It takes 100 seconds where it is only recorded."""

    best = 10.0

    def __init__(self, script, clock=None):
        self.script, self.clock = script, clock
        self.moves = []

    def encode(self, prompts):
        return [int(text.split()[-1]) for text in prompts]

    def __call__(self, images, encoded):
        if self.clock:
            self.clock.now += 100
        scores = []
        for trial, (shown, iteration) in zip(encoded, seen(images), strict=True):
            assert trial == shown, "an image was scored against the prompt of another trial"
            scores.append(self.script(trial, iteration))
        return torch.tensor(scores, dtype=torch.float64)

    def bring(self):
        self.moves.append("bring")

    def leave(self):
        self.moves.append("leave")


def table(*rows):
    """The script that has a row of scores for each trial; it is only asked of images that are not rounded."""

    def script(trial, iteration):
        place = round(iteration - 0.25)
        assert abs(place + 0.25 - iteration) < 1e-9, "an image was rounded before it was scored"
        return rows[trial][place]

    return script


class Looking(Evaluator):
    """A judge that says which image it saw, and takes 1000 seconds."""

    name, kin = "looker", "clip"

    def __init__(self, clock=None):
        self.clock = clock or Clock()
        self.calls = []

    def judge(self, images, prompts):
        self.clock.now += 1000
        self.calls.append([prompt.text for prompt in prompts])
        verdicts = []
        for prompt, (trial, iteration) in zip(prompts, seen(images), strict=True):
            assert prompt.text == f"trial {trial}", "an image was judged against the prompt of another trial"
            verdicts.append(said(trial, iteration))
        return verdicts


def said(trial, iteration):
    bound = Judgement(f"a{trial}", f"o{trial}", True, True, True, 1.0, 1.0, 1.0)
    return Verdict((bound,), {}, score=round(iteration, 6))


def trials(count, dtype="float32", judged=None):
    """judged: the trials whose prompts have a binding; None: all."""

    def prompt(number):
        bound = judged is None or number in judged
        return Prompt(f"trial {number}", (Binding(f"a{number}", f"o{number}"),) if bound else ())

    return [
        TrialSpec(prompt(number), SEEDS[number], "g", ({"kind": "scripted"},), dtype, {"name": "best_of_n"})
        for number in range(count)
    ]


def models_of(metric, generator=None, recorded=None, judges=()):
    one = metric if isinstance(metric, WeightedSum) else WeightedSum(("scripted",), (metric,), (1.0,))
    others = {name: WeightedSum((name,), (other,), (1.0,)) for name, other in (recorded or {}).items()}
    return Models(generator or Numbered(), one, others, tuple(judges), Execution(checkpointing=False))


def settings(iterations, method="best_of_n", kind=""):
    return MethodSettings(method, iterations, 0.1, 0.0, None, "adam", {}, kind)


def run(batch, models, chosen, name="scripted"):
    *_, done = run_batch(batch, chosen, name, models)
    return done


def column(progress, name):
    return [row[name] for row in progress.trace]


# --- Which image is the best ------------------------------------------------------------------------------------------


BEST = [
    ([1.0, 5.0, 3.0, 2.0], 1),  # in the middle
    ([7.0, 5.0, 3.0, 2.0], 0),  # the initial one
    ([1.0, 5.0, 3.0, 9.0], 3),  # the last one
    ([1.0, 5.0, 5.0, 2.0], 1),  # of equal ones the first
    ([5.0, 5.0, 5.0, 5.0], 0),
    ([-9.0, -7.0, -8.0, -7.0], 1),
    ([NAN, 2.0, 1.0, NAN], 1),  # what is not finite is never the best
    ([NAN, NAN, 1.0, 1.0], 2),
    ([3.0, math.inf, 1.0, 4.0], 3),
    ([-math.inf, -4.0, NAN, -4.0], 1),
    ([0.0, -1.0, NAN, 0.0], 0),
]


@pytest.mark.parametrize(("scores", "best"), BEST)
def test_the_best_is_the_first_of_the_highest_finite_scores(scores, best):
    """Its image, its noise and its scores are all of that iteration, also for the recorded metrics and the judge."""
    recorded, judge = Scripted(lambda trial, iteration: 100 * trial + iteration), Looking()
    generator = Numbered()
    done = run(trials(1), models_of(Scripted(table(scores)), generator, {"recorded": recorded}, [judge]), settings(3))
    (progress,) = done.trials
    finite = [score if math.isfinite(score) else None for score in scores]
    assert progress.best == best and progress.failure is None
    assert column(progress, "score") == finite
    assert progress.iterations == {"initial": 0, "best": best, "last": 3}
    assert progress.scores == {
        "initial": {"scripted": finite[0], "recorded": 0.25},
        "best": {"scripted": finite[best], "recorded": best + 0.25},
        "last": {"scripted": finite[3], "recorded": 3.25},
    }
    np.testing.assert_array_equal(progress.best_noise, generator.noises[best][0].numpy())
    np.testing.assert_array_equal(progress.initial_noise, generator.noises[0][0].numpy())
    assert progress.verdicts == {"looker": ("clip", said(0, 0), said(0, best))}


def test_each_trial_of_a_batch_has_its_own_best():
    rows = [[1.0, 5.0, 3.0], [8.0, 5.0, 3.0], [NAN, 2.0, 2.0], [1.0, 1.0, 4.0]]
    best = [1, 0, 1, 2]
    recorded, judge, generator = Scripted(lambda trial, iteration: 100 * trial + iteration), Looking(), Numbered()
    done = run(trials(4), models_of(Scripted(table(*rows)), generator, {"recorded": recorded}, [judge]), settings(2))
    for number, progress in enumerate(done.trials):
        assert progress.trial.prompt.text == f"trial {number}"
        assert progress.best == best[number]
        assert progress.scores["best"] == {
            "scripted": rows[number][best[number]], "recorded": 100 * number + best[number] + 0.25
        }  # fmt: skip
        assert progress.scores["initial"]["recorded"] == 100 * number + 0.25
        assert progress.scores["last"]["recorded"] == 100 * number + 2.25
        np.testing.assert_array_equal(progress.best_noise, generator.noises[best[number]][number].numpy())
        np.testing.assert_array_equal(progress.initial_noise, generator.noises[0][number].numpy())
        assert progress.verdicts == {"looker": ("clip", said(number, 0), said(number, best[number]))}
    assert judge.calls == [[f"trial {number}" for number in range(4)]] * 2


def test_a_short_batch_is_filled_up_and_only_its_own_trials_come_back():
    generator, judge = Numbered(), Looking()
    scores = Scripted(lambda trial, iteration: 10 * trial + iteration)
    recorded = {"recorded": Scripted(lambda trial, iteration: trial - iteration)}
    models = models_of(scores, generator, recorded, [judge])
    *_, filled = run_batch(trials(2), settings(2), "scripted", models, shape=4)
    assert [len(noise) for noise in generator.noises] == [4, 4, 4]
    for noise in generator.noises:
        assert torch.equal(noise[1], noise[2]) and torch.equal(noise[1], noise[3])
    assert judge.calls == [["trial 0", "trial 1"]] * 2
    alone = run(trials(2), models_of(scores, Numbered(), recorded, [Looking()]), settings(2))
    assert len(filled.trials) == 2
    for one, other in zip(filled.trials, alone.trials, strict=True):
        assert one.scores == other.scores and one.verdicts == other.verdicts and one.best == other.best
        np.testing.assert_array_equal(one.best_noise, other.best_noise)


def test_frames_are_the_images_in_whole_levels():
    done = run(trials(2), models_of(Scripted(lambda *_: 1.0)), settings(2))
    for number, progress in enumerate(done.trials):
        assert len(progress.frames) == 3
        for iteration, frame in enumerate(progress.frames):
            assert frame.shape == (3, 5, 3) and frame.dtype == np.uint8
            assert frame[1, 2].tolist() == [iteration, number, 0]


def test_a_recorded_score_that_is_not_finite_is_none():
    recorded = Scripted(lambda trial, iteration: NAN if iteration < 1 else math.inf if iteration < 2 else 7.0)
    (progress,) = run(
        trials(1), models_of(Scripted(table([1.0, 2.0, 0.0])), None, {"recorded": recorded}), settings(2)
    ).trials
    assert [progress.scores[which]["recorded"] for which in ("initial", "best", "last")] == [None, None, 7.0]


# --- Failures ---------------------------------------------------------------------------------------------------------


def test_a_trial_whose_score_is_never_finite_fails_alone():
    rows = [[1.0, 2.0], [NAN, math.inf], [4.0, 3.0]]
    judge, recorded = Looking(), Scripted(lambda trial, iteration: iteration)
    one, bad, other = run(
        trials(3), models_of(Scripted(table(*rows)), None, {"recorded": recorded}, [judge]), settings(1)
    ).trials
    assert bad.failure == "the metric's score was never finite"
    assert (bad.best, bad.best_noise, bad.scores, bad.verdicts) == (-1, None, {}, {})
    assert column(bad, "score") == [None, None] and column(bad, "loss") == [None, None]
    assert (one.failure, other.failure) == (None, None) and (one.best, other.best) == (1, 0)
    assert one.verdicts == {"looker": ("clip", said(0, 0), said(0, 1))}
    assert other.verdicts == {"looker": ("clip", said(2, 0), said(2, 0))}
    assert other.scores["best"] == {"scripted": 4.0, "recorded": 0.25}


@pytest.fixture
def method(monkeypatch):
    """method(steps): a user's own method; the settings that choose it."""

    def make(steps, iterations=2):
        module = types.ModuleType("lab.written")
        module.steps = steps
        monkeypatch.setitem(sys.modules, "lab", types.ModuleType("lab"))
        monkeypatch.setitem(sys.modules, "lab.written", module)
        return settings(iterations, "written", "lab.written")

    return make


def written(problem, settings):
    """Every number tells its trial and its iteration. The noise changes in place, as an optimiser changes it."""
    count = len(problem.noise)
    place = torch.arange(count, dtype=torch.float64)
    noise = problem.noise
    for iteration in range(settings.iterations + 1):
        images = problem.generate(noise)
        scores = problem.score(images)
        failures = {1: "it fell over"} if iteration else {}
        yield Step(
            iteration, noise, images, scores, problem.loss(scores.total),
            regularizer=1000 + 10 * iteration + place, grad_norm=2000 + 10 * iteration + place, failures=failures,
        )  # fmt: skip
        noise += 1


def test_a_failure_is_its_own_trials_and_the_first_is_kept(method):
    def falling(problem, settings):
        for step in written(problem, settings):
            step.failures.update({2: f"iteration {step.iteration}"})
            yield step

    judge = Looking()
    good, fell, early = run(
        trials(3), models_of(Scripted(lambda trial, iteration: iteration), judges=[judge]), method(falling)
    ).trials
    assert (good.failure, fell.failure, early.failure) == (None, "it fell over", "iteration 0")
    assert good.verdicts and not fell.verdicts and not early.verdicts
    assert judge.calls == [["trial 0"]] * 2
    assert all(progress.scores["best"] for progress in (good, fell, early))


@pytest.mark.parametrize(("iteration", "which"), [(0, "initial"), (1, "best")])
def test_an_image_that_would_be_judged_and_is_not_finite_fails_its_trial_alone(iteration, which):
    """This metric does not look at the pixel."""

    class Spotted(Numbered):
        def __call__(self, noise, conditioning):
            images = super().__call__(noise, conditioning)
            images[1, 2, 2, 4] = math.inf if self.made == iteration + 1 else 0.0
            return images

    judge = Looking()
    one, bad = run(
        trials(2, "float16"),
        models_of(Scripted(table([1, 2, 0], [1, 2, 0])), Spotted(dtype=torch.float16), judges=[judge]),
        settings(2),
    ).trials
    assert bad.failure == f"the {which} image has values that are not finite; try dtype=float32"
    assert one.failure is None and judge.calls == [["trial 0"]] * 2


@pytest.mark.parametrize("value", [NAN, math.inf])
def test_a_judge_without_a_finite_number_fails_that_trial_alone(value):
    class Unsure(Looking):
        def judge(self, images, prompts):
            one, other = super().judge(images, prompts)
            (judged,) = other.judgements
            return [one, Verdict((msgspec.structs.replace(judged, bound_confidence=value),), {})]

    one, bad = run(trials(2), models_of(Scripted(lambda *_: 1.0), judges=[Unsure()]), settings(1)).trials
    assert one.failure is None
    assert bad.failure == f"the judge looker gave {value} as bound_confidence of a1 o1; it has to be a finite number"


def test_where_every_trial_failed_nothing_is_judged(method):
    judge = Looking()
    done = run(trials(2), models_of(Scripted(lambda *_: NAN), judges=[judge]), method(written))
    assert judge.calls == [] and done.scored
    assert done.trials[1].failure == "it fell over"  # the first reason is the one that is kept


def test_a_prompt_without_bindings_is_not_judged():
    judge = Looking()
    one, none, two = run(
        trials(3, judged={0, 2}), models_of(Scripted(lambda trial, iteration: iteration), judges=[judge]), settings(1)
    ).trials
    assert judge.calls == [["trial 0", "trial 2"]] * 2
    assert none.failure is None and none.verdicts == {}
    assert one.verdicts["looker"][2] == said(0, 1) and two.verdicts["looker"][2] == said(2, 1)


@pytest.mark.parametrize("few", [{0}, {1}, {0, 1}])
def test_a_judge_that_says_too_little_is_an_error(few):
    """Else a trial would be without its judgement, or have another's. few: which of the two calls are short."""

    class Short(Looking):
        def judge(self, images, prompts):
            verdicts = super().judge(images, prompts)
            return verdicts[:-1] if len(self.calls) - 1 in few else verdicts

    with pytest.raises(ValueError):
        run(trials(2), models_of(Scripted(lambda *_: 1.0), judges=[Short()]), settings(1))


# --- The trace --------------------------------------------------------------------------------------------------------


def test_every_row_has_its_own_trials_numbers(method):
    generator = Numbered()
    script = table([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0])
    done = run(trials(3), models_of(Scripted(script), generator), method(written))
    for number, progress in enumerate(done.trials):
        assert column(progress, "iteration") == [0, 1, 2]
        assert column(progress, "score") == [3 * number + 1, 3 * number + 2, 3 * number + 3]
        assert column(progress, "loss") == [9 - 3 * number, 8 - 3 * number, 7 - 3 * number]
        assert column(progress, "regularizer") == [1000 + 10 * k + number for k in range(3)]
        assert column(progress, "grad_norm") == [2000 + 10 * k + number for k in range(3)]
        expected = [float(noise[number].flatten().norm()) for noise in generator.noises]
        assert column(progress, "noise_norm") == pytest.approx(expected, rel=1e-6)
        assert list(progress.trace[0]) == [
            "iteration", "loss", "score", "regularizer", "grad_norm", "noise_norm", "seconds",
        ]  # fmt: skip


def test_a_kept_noise_does_not_change_when_the_method_changes_its_own(method):
    generator = Numbered()
    done = run(trials(2), models_of(Scripted(table([1, 5, 3], [9, 5, 3])), generator), method(written))
    for number, best in ((0, 1), (1, 0)):
        progress = done.trials[number]
        assert progress.best_noise.dtype == np.float32
        np.testing.assert_array_equal(progress.initial_noise, generator.noises[0][number].numpy())
        np.testing.assert_array_equal(progress.best_noise, generator.noises[best][number].numpy())
    assert not np.array_equal(done.trials[0].initial_noise, done.trials[0].best_noise)


def test_a_gradient_norm_that_was_not_taken_is_none():
    (progress,) = run(trials(1), models_of(Scripted(lambda *_: 1.0)), settings(1)).trials
    assert column(progress, "grad_norm") == [None, None] and column(progress, "regularizer") == [0.0, 0.0]


def test_a_weighted_sum_has_a_column_a_term_before_weighting_and_its_total_decides():
    """By its second term alone the best were iteration 0, by the first alone 2, by an unweighted sum 0."""
    first, second = Scripted(table([1.0, 3.0, 4.0])), Scripted(table([9.0, 6.0, 1.0]))
    both = WeightedSum(("first", "second"), (first, second), (3.0, 1.0))
    other = WeightedSum(("x", "y"), (Scripted(table([1, 2, 3])), Scripted(table([4, 5, 6]))), (2.0, 10.0))
    models = models_of(both)
    models.recorded["other"] = other
    (progress,) = run(trials(1), models, settings(2), "both").trials
    assert column(progress, "score/first") == [1.0, 3.0, 4.0]
    assert column(progress, "score/second") == [9.0, 6.0, 1.0]
    assert column(progress, "score") == [12.0, 15.0, 13.0]
    assert column(progress, "loss") == [28.0, 25.0, 27.0]  # 3 * 10 + 1 * 10 is the best that can be
    assert progress.best == 1
    assert progress.scores == {
        "initial": {"both": 12.0, "other": 42.0},
        "best": {"both": 15.0, "other": 54.0},
        "last": {"both": 13.0, "other": 66.0},
    }


# --- What the method works on -----------------------------------------------------------------------------------------


class Handed(Exception):
    pass


@pytest.fixture
def handed(method):
    """handed(models, batch): the problem that the method is given."""

    def make(models, batch):
        problems = []

        def steps(problem, settings):
            problems.append(problem)
            raise Handed
            yield

        with pytest.raises(Handed):
            run(batch, models, method(steps))
        return problems[0]

    return make


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_noise_is_of_each_trials_seed_in_float32_or_wider(handed, dtype):
    problem = handed(models_of(Scripted(lambda *_: 1.0), Numbered(dtype=dtype)), trials(3))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS[:3]]
    for noise in (problem.noise, problem.draw()):
        assert noise.dtype == wide
        for place, generator in enumerate(generators):
            assert torch.equal(noise[place], torch.randn(1, 2, 2, generator=generator).to(wide))


def test_noise_is_on_the_generators_device(handed):
    generator = Numbered(device=torch.device("meta"))
    assert handed(models_of(Scripted(lambda *_: 1.0), generator), trials(1)).noise.is_meta


def test_the_loss_is_scaled_for_float16_alone(handed):
    for dtype, scale in (("float32", 1.0), ("bfloat16", 1.0), ("float16", 4096.0)):
        assert handed(models_of(Scripted(lambda *_: 1.0)), trials(1, dtype)).loss_scale == scale


def test_scores_losses_and_the_decoder_are_the_models_own(handed):
    both = WeightedSum(("a", "b"), (Scripted(table([1.0], [2.0])), Scripted(table([5.0], [7.0]))), (2.0, 3.0))
    generator = Numbered()
    problem = handed(models_of(both, generator), trials(2))
    scores = problem.score(problem.generate(problem.noise))
    assert isinstance(scores, TermScores)
    assert scores.terms.tolist() == [[1.0, 5.0], [2.0, 7.0]] and scores.total.tolist() == [17.0, 25.0]
    assert problem.loss(scores.total).tolist() == [33.0, 25.0]
    with pytest.raises(BadInput, match="no image decoder"):
        problem.decode(problem.noise)


def test_a_prompt_is_encoded_once():
    class Counting(Scripted):
        def encode(self, prompts):
            counts.append(list(prompts))
            return super().encode(prompts)

    counts: list[list[str]] = []
    run(trials(2), models_of(Counting(lambda *_: 1.0)), settings(4))
    assert counts == [["trial 0", "trial 1"]]


# --- Time, memory, order ----------------------------------------------------------------------------------------------


def test_seconds_are_of_the_optimisation_and_not_of_its_onlookers(monkeypatch):
    """A pass of the generator takes 1 s, whoever consumes the steps 10 s, a recorded metric 100 s, a judge 1000 s."""
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    recorded = Scripted(lambda *_: 1.0, clock)
    models = models_of(Scripted(lambda *_: 1.0), Numbered(clock), {"recorded": recorded}, [Looking(clock)])
    totals = []
    for run in run_batch(trials(2), settings(3), "scripted", models):
        totals.append(run.seconds)
        clock.now += 10
    assert totals == [1, 2, 3, 4, 4]
    assert [column(progress, "seconds") for progress in run.trials] == [[1.0] * 4] * 2
    assert clock.now > 1000 + 2000


def test_the_state_is_handed_on_after_each_step_and_at_the_end():
    states = [
        (
            run.scored,
            [len(progress.trace) for progress in run.trials],
            [bool(progress.scores) for progress in run.trials],
        )
        for run in run_batch(trials(2), settings(2), "scripted", models_of(Scripted(lambda *_: 1.0)))
    ]
    assert states == [
        (False, [1, 1], [False] * 2), (False, [2, 2], [False] * 2), (False, [3, 3], [False] * 2),
        (True, [3, 3], [True] * 2),
    ]  # fmt: skip


class Card(str):
    """A device that tensors take for the CPU and the code for a GPU."""

    type = "cuda"


def test_the_peak_is_that_of_the_optimisation_on_a_gpu_and_none_elsewhere(monkeypatch):
    bytes_held = [77]
    asked = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda card: asked.append(card) or bytes_held.clear())
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda card: asked.append(card) or max(bytes_held))

    class Hungry(Numbered):
        def __call__(self, noise, conditioning):
            bytes_held.append(10 * (self.made + 1))
            return super().__call__(noise, conditioning)

    def greedy(trial, iteration):
        bytes_held.append(5000)
        return 1.0

    recorded = Scripted(greedy)
    for device, peak in ((Card("cpu"), 30), (torch.device("cpu"), None)):
        models = models_of(Scripted(lambda *_: 1.0), Hungry(device=device), {"recorded": recorded})
        assert run(trials(1), models, settings(2)).device_bytes == peak
    assert [type(card) for card in asked] == [Card, Card]  # of several GPUs the models' own


def test_a_recorded_metric_is_on_the_device_only_while_it_scores():
    own, recorded = Scripted(lambda *_: 1.0), Scripted(lambda *_: 1.0)
    run(trials(1), models_of(own, recorded={"recorded": recorded}), settings(1))
    assert recorded.moves == ["bring", "leave"]
    assert own.moves == ["bring"]  # it may share a model with a recorded one


def test_a_recorded_metric_that_fails_leaves_and_the_optimised_one_comes_back():
    def failing(trial, iteration):
        raise MemoryError

    own, recorded = Scripted(lambda *_: 1.0), Scripted(failing)
    with pytest.raises(MemoryError):
        run(trials(1), models_of(own, recorded={"recorded": recorded}), settings(1))
    assert recorded.moves == ["bring", "leave"] and own.moves == ["bring"]


def test_recorded_metrics_score_without_a_graph():
    enabled = []

    def watching(trial, iteration):
        enabled.append(torch.is_grad_enabled())
        return 1.0

    run(trials(1), models_of(Scripted(lambda *_: 1.0), recorded={"recorded": Scripted(watching)}), settings(1))
    assert enabled == [False] * 3
