"""Jobs with the diffusion transformers: SANA-Sprint, FLUX.1-schnell and PixArt-alpha DMD."""

from __future__ import annotations

import pytest
import torch

from benchmarks.allocator import measured_peak
from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.run import main
from reno.running.checking.checking import CheckRequest, check_all
from reno.running.checking.pictures import PictureSource
from reno.running.checking.published import published_values
from reno.running.fit.prediction import predict
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.running.reproducing import reproduce
from reno.store.store import Store
from reno.weights.checkpoints import CheckpointFinder
from scripts.make_checkpoints import make_checkpoint

OPTIONS = {
    "sana_sprint": ["models.generator.steps=2"],
    "flux_schnell": ["models.generator.height=64", "models.generator.width=96", "models.generator.steps=2"],
    "pixart_dmd": [],
}
FOLDERS = {"pixart_dmd": "pixart_alpha"}
"""The checkpoint with the pipeline, if it is called otherwise."""

CPU = torch.device("cpu")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """words(name, *overrides): of reno.run, for a generator's tiny checkpoint and the tiny CLIP."""
    folder = tmp_path_factory.mktemp("models")

    def make(name, *overrides):
        pipeline = make_checkpoint(FOLDERS.get(name, name), "tiny", folder)
        paths = [f"models.generator.path={pipeline}"]
        if name == "pixart_dmd":
            paths.append(f"models.generator.parts.transformer.path={make_checkpoint(name, 'tiny', folder)}/transformer")
        paths.append(f"models.checkpoints.clip.path={make_checkpoint('clip', 'tiny', folder)}")
        fixed = ["record=[]", "evaluators=[]", "threads=1", "tracking=disabled", "iterations=1"]
        prompts = "prompt=[a red car,a blue cup and a pink star]"
        return [f"models={name}", *paths, *OPTIONS[name], *fixed, prompts, *overrides]

    return make


def job_of(words):
    read = parse(RUN, words)
    return job_from_config(composed(RUN, read), read.conf)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "sana_sprint" else pytest.mark.slow) for name in OPTIONS]
)
def test_a_trial_is_run_and_reproduced_to_the_last_bit(words, tmp_path, name):
    assert main(words(name, "batch_size=2", "optimizer=sgd_nesterov", f"results={tmp_path}")) == 0
    trials = list(Store(tmp_path))
    assert len(trials) == 2
    for trial in trials:
        assert trial.record.scores.last != trial.record.scores.initial
    assert reproduce(trials[0], ModelPool()).identical


@pytest.mark.parametrize("name", OPTIONS)
def test_its_image_is_its_pipelines_by_the_programs_own_check(words, name):
    """In one step, whatever number of steps is asked for."""
    generator = job_of(words(name)).generator
    no_pictures = PictureSource(None, False)
    (result,) = check_all(CheckRequest(generator, {}, (), no_pictures, CPU, published_values(), CheckpointFinder()))
    assert (result.check, result.verdict) == ("generator: an image", "ok"), result


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_what_is_published_is_known_without_its_weights(name):
    """By the names in conf/models: on a GPU in half precision the loop holds the transformer and the decoder alone."""
    published = [f"models={name}", "metric=clip", "record=[]", "evaluators=[]", "prompt=a red car", "iterations=1"]
    found = predict(job_of([*published, "batch_size=1", "checkpointing=true"]), "cuda")
    transformer = {"sana_sprint": 593_501_216, "flux_schnell": 11_891_178_560, "pixart_dmd": 610_856_096}[name]
    assert set(found.weights) == {"transformer", "vae", "clip"}
    assert found.weights["transformer"] == pytest.approx(2 * transformer, rel=0.002)  # and tables of places
    assert found.dtype == ("float16" if name == "pixart_dmd" else "bfloat16")
    assert found.image_size == ((1024, 1024) if name == "sana_sprint" else (512, 512))
    assert found.reading.weights > (5e9 if name == "sana_sprint" else 9e9)


@pytest.mark.parametrize("name", OPTIONS)
def test_what_the_model_was_not_made_for_is_refused_before_anything_is_read(words, tmp_path, capsys, name):
    option = "models.generator.timestep=1000" if name == "pixart_dmd" else "models.generator.steps=5"
    asked = words(name, option, f"results={tmp_path / 'results'}", "dry_run=true")
    assert main([one for one in asked if one != "models.generator.steps=2"]) == 2
    assert "must be a whole number" in capsys.readouterr().err and not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_the_prediction_is_within_a_tenth_of_what_is_measured(words, name):
    """Of the loop; what reads the prompts is gone by then."""
    job = job_of(words(name, "seed=[0,1]", "device=cpu", "dtype=float32", "checkpointing=false"))
    assert predict(job, "cpu").optimising(4) == pytest.approx(measured_peak(job), rel=0.1)


def test_float16_is_refused_for_those_that_overflow_in_it(words, tmp_path, capsys):
    for name in ("sana_sprint", "flux_schnell"):
        assert main(words(name, "dtype=float16", f"results={tmp_path}")) == 2
        said = capsys.readouterr().err
        assert "dtype=float16 does not work with this generator; use bfloat16, float32 or auto" in said
    assert make_plan(job_of(words("pixart_dmd", "dtype=float16"))).dtype == "float16"
