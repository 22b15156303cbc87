"""A batch's best images, its trace, its seconds and its memory are those of its own trials, to the number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reno.device.reading import Reader
from reno.metrics import WeightedSum
from reno.running.batch import run_batch
from tests.running.stand_in_models import (
    NAN,
    Clock,
    Looking,
    Numbered,
    Scripted,
    column,
    models_of,
    ran,
    said,
    settings,
    table,
    trials,
    written,
)

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
    done = ran(trials(1), models_of(Scripted(table(scores)), generator, {"recorded": recorded}, [judge]), settings(3))
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
    done = ran(trials(4), models_of(Scripted(table(*rows)), generator, {"recorded": recorded}, [judge]), settings(2))
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
    alone = ran(trials(2), models_of(scores, Numbered(), recorded, [Looking()]), settings(2))
    assert len(filled.trials) == 2
    for one, other in zip(filled.trials, alone.trials, strict=True):
        assert one.scores == other.scores and one.verdicts == other.verdicts and one.best == other.best
        np.testing.assert_array_equal(one.best_noise, other.best_noise)


def test_a_judge_that_no_prompt_asks_is_passed_over_and_the_next_one_judges():
    class Idle(Looking):
        name = "idle"

        @staticmethod
        def asks(prompt):
            return False

    idle, judge = Idle(), Looking()
    (progress,) = ran(trials(1), models_of(Scripted(table([1.0])), judges=[idle, judge]), settings(0)).trials
    assert progress.verdicts == {"looker": ("clip", said(0, 0), said(0, 0))} and idle.calls == idle.moves == []


def test_frames_are_the_images_in_whole_levels():
    done = ran(trials(2), models_of(Scripted(lambda *_: 1.0)), settings(2))
    for number, progress in enumerate(done.trials):
        assert len(progress.frames) == 3
        for iteration, frame in enumerate(progress.frames):
            assert frame.shape == (3, 5, 3) and frame.dtype == np.uint8
            assert frame[1, 2].tolist() == [iteration, number, 0]


def test_a_recorded_score_that_is_not_finite_is_none():
    recorded = Scripted(lambda trial, iteration: NAN if iteration < 1 else math.inf if iteration < 2 else 7.0)
    (progress,) = ran(
        trials(1), models_of(Scripted(table([1.0, 2.0, 0.0])), None, {"recorded": recorded}), settings(2)
    ).trials
    assert [progress.scores[which]["recorded"] for which in ("initial", "best", "last")] == [None, None, 7.0]


# --- The trace --------------------------------------------------------------------------------------------------------


def test_every_row_has_its_own_trials_numbers(method_of):
    generator = Numbered()
    script = table([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0])
    done = ran(trials(3), models_of(Scripted(script), generator), method_of(written))
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


def test_a_kept_noise_does_not_change_when_the_method_changes_its_own(method_of):
    generator = Numbered()
    done = ran(trials(2), models_of(Scripted(table([1, 5, 3], [9, 5, 3])), generator), method_of(written))
    for number, best in ((0, 1), (1, 0)):
        progress = done.trials[number]
        assert progress.best_noise.dtype == np.float32
        np.testing.assert_array_equal(progress.initial_noise, generator.noises[0][number].numpy())
        np.testing.assert_array_equal(progress.best_noise, generator.noises[best][number].numpy())
    assert not np.array_equal(done.trials[0].initial_noise, done.trials[0].best_noise)


def test_a_gradient_norm_that_was_not_taken_is_none():
    (progress,) = ran(trials(1), models_of(Scripted(lambda *_: 1.0)), settings(1)).trials
    assert column(progress, "grad_norm") == [None, None] and column(progress, "regularizer") == [0.0, 0.0]


def test_a_weighted_sum_has_a_column_a_term_before_weighting_and_its_total_decides():
    """By its second term alone the best were iteration 0, by the first alone 2, by an unweighted sum 0."""
    first, second = Scripted(table([1.0, 3.0, 4.0])), Scripted(table([9.0, 6.0, 1.0]))
    both = WeightedSum(("first", "second"), (first, second), (3.0, 1.0))
    other = WeightedSum(("x", "y"), (Scripted(table([1, 2, 3])), Scripted(table([4, 5, 6]))), (2.0, 10.0))
    models = models_of(both)
    models.recorded["other"] = other
    (progress,) = ran(trials(1), models, settings(2), "both").trials
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
    monkeypatch.setattr("reno.running.batch.Reader", lambda _: Reader(torch.device("cpu")))
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
        assert ran(trials(1), models, settings(2)).device_bytes == peak
    assert [type(card) for card in asked] == [Card, Card]  # of several GPUs the models' own


def test_a_recorded_metric_is_on_the_device_only_while_it_scores():
    own, recorded = Scripted(lambda *_: 1.0), Scripted(lambda *_: 1.0)
    ran(trials(1), models_of(own, recorded={"recorded": recorded}), settings(1))
    assert recorded.moves == ["bring", "leave"]
    assert own.moves == ["bring"]  # it may share a model with a recorded one


def test_a_recorded_metric_that_fails_leaves_and_the_optimised_one_comes_back():
    def failing(trial, iteration):
        raise MemoryError

    own, recorded = Scripted(lambda *_: 1.0), Scripted(failing)
    with pytest.raises(MemoryError):
        ran(trials(1), models_of(own, recorded={"recorded": recorded}), settings(1))
    assert recorded.moves == ["bring", "leave"] and own.moves == ["bring"]


def test_each_judge_is_on_the_device_once_after_the_loop_and_leaves_before_the_next():
    moves = []

    class Watched(Looking):
        def __init__(self, name, generator):
            super().__init__()
            self.name, self.generator = name, generator

        def bring(self):
            super().bring()
            moves.append(f"{self.name} comes after {self.generator.made} images")

        def leave(self):
            super().leave()
            moves.append(f"{self.name} leaves")

    generator = Numbered()
    judges = [Watched("a", generator), Watched("b", generator)]
    done = ran(trials(2), models_of(Scripted(lambda *_: 1.0), generator, judges=judges), settings(2))
    assert moves == ["a comes after 3 images", "a leaves", "b comes after 3 images", "b leaves"]
    assert done.trials[0].verdicts.keys() == {"a", "b"}


def test_a_judge_that_fails_leaves():
    class Failing(Looking):
        def judge(self, images, prompts):
            raise MemoryError

    judge = Failing()
    with pytest.raises(MemoryError):
        ran(trials(1), models_of(Scripted(lambda *_: 1.0), judges=[judge]), settings(1))
    assert judge.moves == ["bring", "leave"]


def test_a_judge_sees_a_few_images_at_once_and_each_trial_gets_its_own_verdicts():
    """Eleven trials: four, four and three; `Looking` checks that each image is of its prompt."""
    judge = Looking()
    done = ran(trials(11), models_of(Scripted(lambda trial, iteration: iteration), judges=[judge]), settings(1))
    assert [len(call) for call in judge.calls] == [4, 4, 4, 4, 3, 3]
    for number, trial in enumerate(done.trials):
        assert trial.verdicts["looker"] == ("clip", said(number, 0), said(number, 1))


def test_recorded_metrics_score_without_a_graph():
    enabled = []

    def watching(trial, iteration):
        enabled.append(torch.is_grad_enabled())
        return 1.0

    ran(trials(1), models_of(Scripted(lambda *_: 1.0), recorded={"recorded": Scripted(watching)}), settings(1))
    assert enabled == [False] * 3
