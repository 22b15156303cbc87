"""What a batch hands its method: noise, scores, losses and a decoder, which are those of its seeds and models."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from reno.device.graphs import record_graph
from reno.methods import TermScores
from reno.methods._ahead import Ahead
from reno.metrics import WeightedSum
from reno.running import batch as batches
from reno.spec.errors import BadInput
from tests.running.stand_in_models import SEEDS, Numbered, Scripted, models_of, ran, settings, table, trials


class Handed(Exception):
    pass


@pytest.fixture
def handed(method_of):
    """handed(models, batch): the problem that the method is given."""

    def make(models, batch):
        problems = []

        def steps(problem, settings):
            problems.append(problem)
            raise Handed
            yield

        with pytest.raises(Handed):
            ran(batch, models, method_of(steps))
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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_method_is_told_the_dtype_of_its_trials(handed, dtype):
    assert handed(models_of(Scripted(lambda *_: 1.0)), trials(2, dtype)).dtype == dtype


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
    ran(trials(2), models_of(Counting(lambda *_: 1.0)), settings(4))
    assert counts == [["trial 0", "trial 1"]]


@pytest.mark.parametrize("graph", [True, False])
def test_a_gpu_runs_ahead_of_the_host_and_replays_a_graph_where_it_may(handed, monkeypatch, graph):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(batches, "Reader", lambda device: SimpleNamespace(begin=device))  # without a GPU
    assert batches._ahead(cpu, graph) is None
    assert batches._ahead(gpu, graph) == Ahead(gpu, record_graph if graph else None, fused=True)
    monkeypatch.setattr(batches, "_ahead", lambda *given: given)
    models = models_of(Scripted(lambda *_: 1.0))
    models = replace(models, execution=replace(models.execution, graph=graph))
    assert handed(models, trials(1)).ahead == (cpu, graph)
