"""Jobs with a generator whose text encoders are let go and whose parts are from several checkpoints: SDXL-Turbo."""

from __future__ import annotations

import shutil
import weakref

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.allocator import measured_peak
from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.generators import sdxl
from reno.run import main
from reno.running.fit.prediction import Prediction, Reading, _rehearse_reading, predict
from reno.running.fit.rehearsal import plan_without_weights, rehearsal
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.running.reproducing import reproduce
from reno.spec.errors import BadInput
from reno.spec.job import Checkpoint, Execution
from reno.store.store import Store
from tests.commands.words_over import over

CPU = torch.device("cpu")
PROMPTS = "prompt=[a red car,a blue cup and a pink star]"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def words(tiny, tmp_path, monkeypatch):
    """words(*overrides): of reno.run, for models=sdxl_turbo on the tiny checkpoints, with a cache of the test's own."""
    monkeypatch.setenv("RENO_CACHE", str(tmp_path / "cache"))
    paths = [f"models.generator.path={tiny / 'sdxl_turbo'}", f"models.generator.parts.vae.path={tiny / 'sdxl_vae'}"]
    paths.append(f"models.checkpoints.clip.path={tiny / 'clip'}")
    fixed = ["models=sdxl_turbo", *paths, "record=[]", "evaluators=[]", "threads=1", "tracking=disabled"]
    mine = [*fixed, "iterations=2", PROMPTS, f"results={tmp_path / 'results'}"]
    return lambda *overrides: over(mine, *overrides)


@pytest.fixture
def job(words):
    def make(*overrides):
        read = parse(RUN, words(*overrides))
        return job_from_config(composed(RUN, read), read.conf)

    return make


def ran(words, folder, *overrides):
    """The trials of a job, by prompt."""
    assert main(words(f"results={folder}", *overrides)) == 0
    return {trial.record.prompt.text: trial for trial in Store(folder)}


def test_the_text_encoders_are_gone_before_the_rest_is_loaded(job, monkeypatch):
    """And they are loaded once for all prompts, and not again for those of a later job that are known."""
    alive, loaded = [], []
    load = sdxl.Parts.load

    def watched(self, model_class, name, **how):
        loaded.append((name, sum(one() is not None for one in alive)))
        made = load(self, model_class, name, **how)
        if name.startswith("text_encoder"):
            alive.append(weakref.ref(made))
        return made

    monkeypatch.setattr(sdxl.Parts, "load", watched)
    pool = ModelPool()
    models = pool.load(make_plan(job()), CPU)
    assert loaded == [("text_encoder", 0), ("text_encoder_2", 1), ("unet", 0), ("vae", 0)]
    models.generator.encode(["a red car"])
    pool.load(make_plan(job("lr=1")), CPU)
    assert len(loaded) == 4
    pool.load(make_plan(job("prompt=a gold bench")), CPU)
    assert [name for name, _ in loaded[4:]] == ["text_encoder", "text_encoder_2"]


def test_embeddings_have_the_same_bits_whether_they_are_new_kept_or_damaged(job, tmp_path):
    generator, prompts = make_plan(job()).generator, ["a red car", "a blue cup and a pink star"]

    def embedded():
        return ModelPool().embeddings(generator, torch.float32, CPU)(prompts)

    found = [embedded(), embedded()]
    for file in (tmp_path / "cache").glob("embeddings/*/*"):
        file.write_bytes(file.read_bytes()[:-1])
    found.append(embedded())
    assert found[0][0].shape == (2, 77, 56) and found[0][1].shape == (2, 24)
    for other in found[1:]:
        assert all(torch.equal(one, same) for one, same in zip(found[0], other, strict=True))


@pytest.mark.slow
def test_a_trial_of_two_steps_is_reproduced_with_the_parts_that_its_record_names(words, tiny, tmp_path, monkeypatch):
    """The noise between its steps, too, is that of its seed; and its embeddings are those that were kept."""
    trials = ran(words, tmp_path / "results", "models.generator.steps=2", "batch_size=2", "iterations=1")
    (trial, _) = trials.values()
    assert reproduce(trial, ModelPool()).identical
    origins = trial.record.provenance.checkpoints
    assert set(origins.parts) == {"vae"} and origins.parts["vae"].source == str(tiny / "sdxl_vae")
    other = shutil.copytree(tiny / "sdxl_vae", tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text().replace("0.13025", "0.13026"))
    elsewhere = msgspec.structs.replace(origins.parts["vae"], source=str(other))
    monkeypatch.setitem(origins.parts, "vae", elsewhere)
    with pytest.raises(BadInput, match="other"):
        reproduce(trial, ModelPool())


def test_what_decides_an_image_is_identity_and_what_is_left_to_the_model_is_not(job, tiny, tmp_path):
    def trial(*overrides):
        return make_plan(job("prompt=a red car", *overrides)).trials[0].id

    usual = trial()
    assert usual == trial("models.generator.steps=1", "models.generator.most_steps=2", "models.generator.height=null")
    vae = shutil.copytree(tiny / "sdxl_vae", tmp_path / "vae")
    assert usual == trial(f"models.generator.parts.vae.path={vae}")
    (vae / "config.json").write_text((vae / "config.json").read_text() + " ")
    others = [
        trial(f"models.generator.parts.vae.path={vae}"),
        trial("models.generator.parts.vae=null"),
        trial("models.generator.steps=2"),
        trial("models.generator.width=96"),
    ]
    assert len({usual, *others}) == 5


def test_a_parts_revision_is_of_its_own_path_only_and_its_file_of_copies_too(job, tiny, tmp_path):
    def unet(*overrides):
        named = job("models=hyper_sdxl", *overrides).generator.parts
        return {part.name: part.checkpoint for part in named}.get("unet")

    published = "Hyper-SDXL-1step-Unet.safetensors"
    assert unet() == Checkpoint("ByteDance/Hyper-SD", None, None, published)
    where = "models.generator.parts.unet"
    assert unet(f"{where}.path={tiny / 'hyper_sdxl'}") == Checkpoint(str(tiny / "hyper_sdxl"))
    (tmp_path / published).touch()
    (tmp_path / "config.json").write_text("{}")  # a copy of the repository may hold more than that file
    assert unet(f"{where}.path={tmp_path}") == Checkpoint(str(tmp_path), inside=published)
    assert unet(f"{where}.path=a/b") == Checkpoint("a/b", inside=published)
    assert unet(f"{where}.path=a/b", f"{where}.inside=x.safetensors").inside == "x.safetensors"
    assert unet(f"{where}=null") is None


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["+models.generator.parts.vea.path=x"], "it has unet, vae; did you mean 'vae'?"),
        (["models.generator.steps=5"], "models.generator.steps must be a whole number, 1 to 4, not 5"),
        (["models.generator.parts.vae.path=./nowhere"], "models.generator.parts.vae.path=./nowhere is not a folder"),
        (["models.generator.parts.vae.kind=x"], "models.generator.parts.vae.kind is not a knob"),
        (["models=testbed", "+models.generator.parts.vae.path=x"], "diffusion takes from elsewhere; it has none"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_gets_one_sentence_and_nothing_is_written(words, tmp_path, overrides, sentence, capsys):
    assert main(overrides if "models=testbed" in overrides else words(*overrides)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and sentence in said and said.count("\n") == 1
    assert not (tmp_path / "results").exists() and not (tmp_path / "cache").exists()


# --- Memory -----------------------------------------------------------------------------------------------------------


def text_bytes(tiny):
    files = (tiny / "sdxl_turbo" / name / "model.safetensors" for name in ("text_encoder", "text_encoder_2"))
    return sum(4 * weight.numel() for file in files for weight in load_file(file).values())


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2])
def test_the_prediction_is_within_a_tenth_of_what_is_measured(job, tiny, steps):
    """The weights of the text encoders are not beside those of the loop, on the CPU either."""
    asked = job(f"models.generator.steps={steps}", "seed=[0,1]", "device=cpu", "dtype=float32", "checkpointing=false")
    found = predict(asked, "cpu")
    assert found.peak(len(asked.prompts) * len(asked.seeds)) == pytest.approx(measured_peak(asked), rel=0.1)
    assert set(found.weights) == {"unet", "vae", "clip"}
    assert found.phases(1)[-1] == (found.reading.peak, found.reading.weights)


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_reading_is_a_phase_of_its_own(job, tiny, tmp_path, device):
    plan = plan_without_weights(job("dtype=float32"), device, tmp_path)
    with rehearsal(device) as live:
        reading = _rehearse_reading(plan, live)
        assert text_bytes(tiny) <= reading.weights < text_bytes(tiny) + 4096  # and the places of tokens
        assert reading.peak > reading.weights and live.now < 4096  # nothing of it is left


def test_a_job_needs_the_larger_of_reading_and_optimising():
    """Hand-worked: 10 bytes of weights; the loop takes 30, then 40, 50, ... bytes; reading 45."""
    pair, another = np.array([40]), np.array([10])
    found = Prediction("float32", Execution(), (64, 64), {"unet": 10}, 30, pair, another, reading=Reading(41, 45))
    assert [found.peak(batch) for batch in (1, 2, 3)] == [45, 45, 50]
    assert found.phases(1) == [(30, 10), (45, 41)]
