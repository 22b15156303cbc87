"""A small decoder: which images the generator's own decoder makes, and what is chosen by whose scores."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from reno.device.checkpointing import blocks
from reno.generators import Generator
from reno.methods import unoptimised
from reno.methods._ahead import Ahead
from reno.run import main
from reno.running import batch as batches
from reno.running.batch import run_batch
from reno.running.fit.prediction import predict, rehearsed_growth
from reno.running.plan import estimate_seconds, make_plan
from reno.running.reproducing import reproduce
from reno.spec.errors import BadInput
from reno.spec.job import Stop
from scripts.make_checkpoints import make_checkpoint
from tests.running.jobs import PROMPTS, stored, without_times
from tests.running.stand_in_models import NAN, Clock, Scripted, column, models_of, ran, seen, trials
from tests.running.test_ahead_batch import LAUNCHED, READ, REPLAYED, numbers

CPU = torch.device("cpu")


class Drafting(Generator):
    """Images that tell the noise they are of (red), their trial (green) and whether they are full ones (blue)."""

    device, dtype, latent_shape, image_size = CPU, torch.float32, (1, 2, 2), (3, 5)
    static = drafts = True

    def __init__(self):
        self.made = []

    def encode(self, prompts):
        return [int(text.split()[-1]) for text in prompts]

    def __call__(self, noise, conditioning):
        self.made.append(noise[:, 0, 0, 0].tolist())
        return self.images(noise, conditioning, 1.0)

    def draft(self, noise, conditioning):
        return self.images(noise, conditioning, 0.0)

    def images(self, noise, conditioning, blue):
        images = torch.zeros(len(noise), 3, *self.image_size, dtype=torch.float64)
        images[:, 0] = (noise[:, 0, :1, :1].double() + 0.25) / 255
        images[:, 1] = torch.tensor(conditioning, dtype=torch.float64)[:, None, None] / 255
        images[:, 2] = blue
        return images


class TwoScripts(Scripted):
    """Scores of drafts and of full images, each by trial and iteration."""

    def __init__(self, drafts, full):
        super().__init__(None)
        self.drafts, self.full = drafts, full

    def __call__(self, images, encoded):
        told = zip(images, seen(images), strict=True)
        scores = [(self.full if image[2, 0, 0] else self.drafts)(trial, round(at)) for image, (trial, at) in told]
        return torch.tensor(scores, dtype=torch.float64)


def counting(problem, settings):
    """The noise of iteration k is k everywhere; it changes in place."""
    for iteration in range(settings.iterations + 1):
        yield unoptimised(problem, problem.noise.fill_(iteration), iteration)


def peak(*places):
    """A script with its highest score, 9, at each trial's own place; equal scores elsewhere."""
    return lambda trial, at: 9.0 if at == places[trial] else 1.0 + at / 100


def frames(progress):
    """(iteration, whether it is full) of each stored image."""
    return [(int(frame[0, 0, 0]), bool(frame[0, 0, 2])) for frame in progress.frames]


@pytest.fixture
def drafted(method_of):
    """drafted(drafts, full): a batch of two trials in 23 iterations, and its generator."""

    def go(drafts, full, stop=None, recorded=None):
        generator, chosen = Drafting(), method_of(counting, iterations=23)
        if stop:
            object.__setattr__(chosen, "stop", stop)
        done = ran(trials(2), models_of(TwoScripts(drafts, full), generator, recorded), chosen)
        return done, generator

    return go


# --- Which images are full --------------------------------------------------------------------------------------------


def test_the_first_every_tenth_the_best_draft_and_the_last_are_full_images(drafted):
    done, generator = drafted(peak(13, 7), peak(20, 20))
    for progress, led in zip(done.trials, (13, 7), strict=True):
        assert frames(progress) == [(at, at in (0, 10, 20, 23, led)) for at in range(24)]
        assert [row["iteration"] for row in progress.trace if row["score"] is not None] == sorted([0, 10, 20, 23, led])
        assert column(progress, "draft_score") == [peak(13, 7)(progress.trial.seed - 11, at) for at in range(24)]
        assert column(progress, "loss") == [10 - score for score in column(progress, "draft_score")]
    assert generator.made == [[0, 0], [10, 10], [20, 20], [13, 7], [23, 23]]


def test_what_is_full_already_is_not_made_again(drafted, method_of):
    generator = Drafting()
    ran(trials(2), models_of(TwoScripts(peak(10, 20), peak(0, 0)), generator), method_of(counting, iterations=20))
    assert generator.made == [[0, 0], [10, 10], [20, 20]]


def test_the_best_is_chosen_by_the_scores_of_full_images(drafted):
    """By the drafts' scores it would be 13 and 7; the best full images are at 20 and at 7."""
    last = Scripted(lambda trial, at: at)
    done, _ = drafted(
        peak(13, 7), lambda trial, at: {(0, 20): 5.0, (1, 7): 6.0}.get((trial, at), 2.0), None, {"other": last}
    )
    for progress, best, score in zip(done.trials, (20, 7), (5.0, 6.0), strict=True):
        assert progress.best == best and np.all(progress.best_noise == best) and np.all(progress.initial_noise == 0)
        assert progress.scores["best"] == {"scripted": score, "other": best + 0.25}
        assert progress.scores["initial"] == {"scripted": 2.0, "other": 0.25}
        assert progress.scores["last"] == {"scripted": 2.0, "other": 23.25}
    assert [progress.leading for progress in done.trials] == [13, 7]


def test_the_seconds_of_full_images_that_are_made_at_the_end_count(method_of, monkeypatch):
    """A draft takes a second and a full image five: of 24 drafts and five full images, the last two are made at the
    end, and count as the last iteration's."""
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)

    class Timed(Drafting):
        def __call__(self, noise, conditioning):
            clock.now += 5
            return super().__call__(noise, conditioning)

        def draft(self, noise, conditioning):
            clock.now += 1
            return super().draft(noise, conditioning)

    models = models_of(TwoScripts(peak(13, 7), peak(20, 20)), Timed())
    done = ran(trials(2), models, method_of(counting, iterations=23))
    assert done.seconds == 24 + 5 * 5
    for progress in done.trials:
        seconds = column(progress, "seconds")
        assert (seconds[0], seconds[1], seconds[10], seconds[-1]) == (6, 1, 6, 11)


def test_of_equal_scores_the_first_image_is_the_best(drafted):
    done, _ = drafted(peak(13, 7), lambda trial, at: 3.0 if at in (7, 13, 20) else 2.0)
    assert [progress.best for progress in done.trials] == [13, 7]


def test_a_full_image_without_a_finite_score_is_not_the_best(drafted):
    done, _ = drafted(peak(13, 7), lambda trial, at: NAN if at in (7, 20) else float(at))
    assert [progress.best for progress in done.trials] == [23, 23]
    lost, _ = drafted(peak(13, 7), lambda trial, at: NAN)
    assert [progress.failure for progress in lost.trials] == ["the metric's score was never finite"] * 2


# --- Stops ------------------------------------------------------------------------------------------------------------


def test_a_trial_stops_by_the_scores_of_its_drafts_and_its_own_last_image_is_full(drafted):
    def rising_until(trial, at):
        return float(min(at, (4, 11)[trial]))

    done, generator = drafted(rising_until, peak(0, 0), Stop(patience=3))
    assert [progress.stopped for progress in done.trials] == ["patience", "patience"]
    assert [len(progress.trace) for progress in done.trials] == [8, 15]
    assert frames(done.trials[0]) == [(at, at in (0, 4, 7)) for at in range(8)]
    assert frames(done.trials[1]) == [(at, at in (0, 10, 11, 14)) for at in range(15)]
    assert generator.made == [[0, 0], [10, 10], [4, 11], [7, 14]]
    by_score, _ = drafted(rising_until, peak(0, 0), Stop(score=4.0))
    assert [len(progress.trace) for progress in by_score.trials] == [5, 5]


def test_a_method_that_decodes_by_itself_is_refused(drafted, method_of):
    def decoding(problem, settings):
        yield problem.decode(problem.noise)

    with pytest.raises(BadInput, match=r"use models\.generator\.decoder=null"):
        ran(trials(1), models_of(TwoScripts(peak(0), peak(0)), Drafting()), method_of(decoding))


# --- The true modules -------------------------------------------------------------------------------------------------

SMALL = "models.generator.decoder=taesd"
TWO = "prompt=[a red car,a blue cup]"


def through(job, pool, monkeypatch, way=None):
    plan = make_plan(job)
    models = pool.load(plan, CPU)
    monkeypatch.setattr(batches, "_ahead", lambda device, graph: way)
    *_, done = run_batch(plan.trials, job.settings, job.metric.name, models)
    return plan, models, done.trials


@pytest.mark.parametrize("metric", ["clip", "clip+blip"])
def test_full_images_are_those_of_the_generator_and_all_others_the_small_decoders(compose, pool, monkeypatch, metric):
    job = compose(TWO, SMALL, f"metric={metric}", "iterations=12", "lr=0.1", "record=[]")
    plan, models, done = through(job, pool, monkeypatch)
    texts = [trial.prompt.text for trial in plan.trials]
    conditioning, encoded = models.generator.encode(texts), models.metric.encode(texts)
    initial = torch.stack([torch.tensor(progress.initial_noise) for progress in done])
    with torch.no_grad():
        full, draft = (make(initial, conditioning) for make in (models.generator, models.generator.draft))
        terms = models.metric(full, encoded)
    for place, progress in enumerate(done):
        first, row = progress.frames[0] / 255, progress.trace[0]
        np.testing.assert_allclose(first, full[place].permute(1, 2, 0), atol=0.51 / 255)
        assert np.abs(first - draft[place].permute(1, 2, 0).numpy()).max() > 0.1
        assert row["score"] == pytest.approx(float(models.metric.total(terms)[place]), rel=1e-6)
        assert [row[f"score/{name}"] for name in models.metric.names if metric != "clip"] == (
            pytest.approx(terms[place].tolist(), rel=1e-6) if metric != "clip" else []
        )
        counted = {0, 10, 12, progress.leading}
        assert {row["iteration"] for row in progress.trace if row["score"] is not None} == counted
        assert progress.best == max(counted, key=lambda at: progress.trace[at]["score"])


@pytest.mark.slow
def test_one_step_ahead_and_on_a_tape_the_trial_is_the_same(compose, pool, monkeypatch):
    job = compose(TWO, SMALL, "iterations=12", "lr=0.1", "record=[blip]")
    _, _, plain = through(job, pool, monkeypatch)
    _, _, launched = through(job, pool, monkeypatch, LAUNCHED)
    _, _, replayed = through(job, pool, monkeypatch, REPLAYED)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)  # as in test_ahead_batch.py
    _, _, same_kernels = through(job, pool, monkeypatch, Ahead(READ, fused=True))
    for ours, theirs in (*zip(launched, plain, strict=True), *zip(replayed, same_kernels, strict=True)):
        assert numbers(ours) == numbers(theirs) and ours.scores == theirs.scores
        assert all(map(np.array_equal, ours.frames, theirs.frames))
        assert np.array_equal(ours.best_noise, theirs.best_noise)


@pytest.mark.parametrize(
    "method", ["halving", "none", *(pytest.param(name, marks=pytest.mark.slow) for name in ("best_of_n", "gper"))]
)
def test_every_method_ends_with_full_images(compose, pool, monkeypatch, method):
    _, _, done = through(compose(TWO, SMALL, f"method={method}", "iterations=25", "record=[]"), pool, monkeypatch)
    for progress in done:
        counted = {row["iteration"] for row in progress.trace if row["score"] is not None}
        assert counted == {*range(0, len(progress.trace), 10), progress.leading, len(progress.trace) - 1}
        assert progress.failure is None and progress.best in counted


@pytest.mark.slow
def test_a_trial_is_reproduced_and_a_missing_one_is_made_as_it_was(run, tmp_path, pool):
    """The third trial runs beside a copy of itself; one is taken away, as if the job had been interrupted before it."""
    words = (PROMPTS, SMALL, "batch_size=2", "lr=0.1", "iterations=12")
    assert len(run(*words).done) == 3
    found = stored(tmp_path)
    for trial in found.values():
        assert trial.record.provenance.checkpoints.decoder.model == "taesd"
        assert reproduce(trial, pool).identical
    before = {name: (without_times(trial), trial.read("frames.webp")) for name, trial in found.items()}
    victim = next(iter(found.values()))
    shutil.rmtree(victim.folder)
    assert run(*words).done == [victim.id]
    for name, trial in stored(tmp_path).items():
        assert without_times(trial).equals(before[name][0]) and trial.read("frames.webp") == before[name][1]


def test_the_decoders_weights_are_part_of_the_identity(compose, tiny, tmp_path):
    def first(*words):
        return make_plan(compose("prompt=a red car", *words)).trials[0]

    shutil.copytree(tiny / "taesd", tmp_path / "copy")
    other = make_checkpoint("taesd", "tiny", tmp_path, seed=1)
    plain, small = first(), first(SMALL)
    assert plain == first("models.generator.decoder=null") and plain.generator.startswith("sha256:")
    assert small.id == first(SMALL, f"models.checkpoints.taesd.path={tmp_path / 'copy'}").id != plain.id
    random_mark = other / "random_weights.json"
    assert random_mark.exists() and first(SMALL, f"models.checkpoints.taesd.path={other}").id not in (
        small.id,
        plain.id,
    )


def test_a_trial_of_other_decoder_weights_is_not_reproduced(run, tmp_path, tiny, pool):
    shutil.copytree(tiny / "taesd", tmp_path / "mine")
    run("prompt=a red car", SMALL, f"models.checkpoints.taesd.path={tmp_path / 'mine'}")
    (trial,) = stored(tmp_path).values()
    shutil.rmtree(tmp_path / "mine")
    make_checkpoint("taesd", "tiny", tmp_path, seed=1).rename(tmp_path / "mine")
    with pytest.raises(BadInput, match=r"mine now holds other weights"):
        reproduce(trial, pool)


@pytest.mark.slow
def test_a_rehearsal_holds_both_decoders(compose):
    """The drafts keep fewer activations, and a full image is made without a graph."""
    own, small = (
        make_plan(compose("prompt=a red car", "checkpointing=false", "record=[]", *words)) for words in ((), (SMALL,))
    )
    assert rehearsed_growth(small, "cpu", 1) < 0.9 * rehearsed_growth(own, "cpu", 1)


@pytest.mark.slow
def test_memory_is_predicted_with_both_decoders(compose):
    own = predict(compose("prompt=a red car", "checkpointing=false"), "cpu")
    small = predict(compose("prompt=a red car", "checkpointing=false", SMALL), "cpu")
    assert small.weights["small_decoder"] == 4 * 9_251
    assert {name: size for name, size in small.weights.items() if name != "small_decoder"} == own.weights
    assert small.peak(1) - small.weight_bytes < own.peak(1) - own.weight_bytes
    assert small.peak(5) - small.peak(4) < own.peak(5) - own.peak(4)


def test_a_first_estimate_of_the_time_is_not_that_of_the_full_decoder(compose):
    """It is only known from stored trials."""
    assert estimate_seconds(make_plan(compose("prompt=a red car")), [], 1) is not None
    assert estimate_seconds(make_plan(compose("prompt=a red car", SMALL)), [], 1) is None


def test_the_small_decoders_blocks_are_checkpointed(compose, pool):
    models = pool.load(make_plan(compose("prompt=a red car", SMALL, "checkpointing=true")), CPU)
    assert all("forward" in vars(block) for block in blocks(models.generator.small_decoder.decoder))
    assert len(list(blocks(models.generator.small_decoder.decoder))) == 4


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["models.generator.decoder=tased"], "these models have no such decoder; use taesd, or give one with "),
        ([SMALL, "method=decoder_only"], "method=decoder_only is about the generator's own decoder"),
        (
            [SMALL, "models.checkpoints.taesd.variant=fp16"],
            "variant means nothing for a decoder, which is read from its plain files",
        ),
        (["models=testbed", SMALL], "these models have no small decoder; leave it out, or give one with "),
        (
            ["models=testbed", SMALL, "models.checkpoints.taesd.path={tiny}/taesd"],
            "takes latents of 4 channels to images 8 times as wide, and the generator's latents have 8 channels",
        ),
        (
            ["models.generator.kind=tests.running.undecoded", SMALL],
            "takes no small decoder; use models.generator.decoder=null",
        ),
    ],
)
@pytest.mark.parametrize("dry", ["true", "false"])
def test_a_decoder_that_cannot_be_is_refused_in_one_sentence(knobs, tiny, tmp_path, capsys, words, says, dry):
    own = [] if words[0] == "models=testbed" else knobs
    words = [word.replace("{tiny}", str(tiny)) for word in words]
    common = ["prompt=a red car", f"results={tmp_path / 'r'}", "tracking=disabled", f"dry_run={dry}"]
    assert main([*own, *common, *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1 and says in told
    assert not (tmp_path / "r").exists()


def test_a_checkpoint_of_another_kind_is_no_decoder(compose, tiny, pool):
    plan = make_plan(compose("prompt=a red car", SMALL, f"models.checkpoints.taesd.path={tiny / 'clip'}"))
    with pytest.raises(BadInput, match=r"clip has no diffusion_pytorch_model\.safetensors"):
        pool.load(plan, CPU)
