"""A user's own generator, metric, method and judge, each one file and one YAML outside the checkout, through every
command: run, evaluate, reproduce, memory, W&B offline and the report."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from reno.evaluate import main as evaluate
from reno.memory import main as memory
from reno.reproduce import main as reproduce
from reno.run import main as run
from reno.store.store import Store

MODULES = {
    "generator": '''
import torch
from reno.generators import Generator

DTYPES = ("float32", "float64")


class Toy(Generator):
    """Noise is its own image, squashed; a prompt that says red adds some red."""

    latent_shape, image_size = (3, 16, 16), (16, 16)

    def __init__(self, folder, *, variant, dtype, device, gain=1.0):
        assert folder is None and variant is None
        self.dtype, self.device = dtype, device
        self.mix = torch.nn.Conv2d(3, 3, 1, device=device, dtype=dtype).requires_grad_(False)
        if device.type != "meta":
            self.mix.weight.copy_(gain * torch.eye(3)[:, :, None, None])
            self.mix.bias.zero_()
        self.parts = (self.mix,)

    def encode(self, prompts):
        red = [[0.2 * ("red" in prompt), 0.0, 0.0] for prompt in prompts]
        return torch.tensor(red, dtype=self.dtype, device=self.device)[:, :, None, None]

    def __call__(self, noise, conditioning):
        return torch.sigmoid(self.mix(noise.to(self.dtype)) + conditioning).to(noise.dtype)


load = Toy
''',
    "metric": '''
from typing import Literal
from reno.metrics import Metric

CHANNELS = {"red": 0, "green": 1, "blue": 2}


class Hue(Metric):
    """How much more of one channel than of all there is, from -1 to 1; needs no weights."""

    best = 1.0

    def __init__(self, folder, *, dtype, device, channel: Literal["red", "green", "blue"] = "red"):
        assert folder is None
        self.place, self.device = CHANNELS[channel], device

    def __call__(self, images, encoded):
        means = images.mean((2, 3))
        return means[:, self.place] - means.mean(1)


load = Hue
''',
    "method": '''
import torch
from reno.methods import unoptimised


def steps(problem, settings, *, width=0.5):
    """A random walk around the initial noise."""
    for iteration in range(settings.iterations + 1):
        noise = problem.noise if iteration == 0 else problem.noise + width * problem.draw()
        yield unoptimised(problem, noise, iteration)
''',
    "judge": '''
from reno.evaluators import Evaluator
from reno.spec.errors import BadInput
from reno.spec.judgements import Judgement, Verdict

CHANNELS = {"red": 0, "green": 1, "blue": 2}


class Looker(Evaluator):
    """Says that a colour is there where its channel's mean is above a threshold."""

    def __init__(self, name, *, checkpoints, device, threshold=0.5):
        assert checkpoints == {}
        self.name, self.threshold = name, threshold

    def check_prompt(self, prompt):
        for binding in prompt.bindings:
            if binding.attribute not in CHANNELS:
                raise BadInput(f"{self.name} does not know {binding.attribute!r}; use red, green or blue")

    def judge(self, images, prompts):
        return [self.verdict(image, prompt) for image, prompt in zip(images, prompts, strict=True)]

    def verdict(self, image, prompt):
        judged = []
        for binding in prompt.bindings:
            share = float(image[CHANNELS[binding.attribute]].mean())
            there = share > self.threshold
            judged.append(Judgement(binding.attribute, binding.object, True, there, there, 1.0, share, share))
        return Verdict(tuple(judged), {"missing": False})


load = Looker
''',
}
YAML = {
    "models/toy.yaml": """
name: toy
generator: {kind: mine.generator, gain: 0.5}
record: []
evaluators: [looker]
batch_size: 2
""",
    "metric/redness.yaml": "name: redness\nterms:\n  - {kind: mine.metric, channel: red}\n",
    "metric/Aquality.yaml": "name: Aquality\nterms:\n  - {kind: mine.metric, channel: green}\n",
    "method/walk.yaml": "name: walk\nkind: mine.method\nwidth: 0.3\n",
    "evaluator/looker.yaml": "name: looker\nkind: mine.judge\nthreshold: 0.5\n",
    "evaluator/lenient.yaml": "name: lenient\nkind: mine.judge\nthreshold: 0.1\n",
    "prompt_sets/three.txt": "a red car and a blue cup\na green star and a red bowl\na blue clock and a green bench\n",
    "experiments/hues.yaml": """
# @package _global_
study: hues
prompts: three
claims: hues
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      metric: redness,Aquality,clip
      method: reno,walk
""",
    "claim_sets/hues.yaml": """
claims:
  - key: a
    statement: redness binds better than Aquality
    definition: After optimisation, the share of images with every binding right is larger with redness.
    parts:
      - {measure: fully_bound, a: redness, b: Aquality}
""",
}


@pytest.fixture
def mine(tmp_path, monkeypatch) -> Path:
    """A folder outside the checkout, with a user's modules and YAML files; it is the working directory."""
    for name, source in MODULES.items():
        path = tmp_path / "mine" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    for name, text in YAML.items():
        path = tmp_path / "myconf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name == "mine" or name.startswith("mine.")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def small_png(figure, path: Path) -> list[Path]:
    """In place of analysis.figures.style.save, whose two files tests/analysis/figures looks at."""
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    pdf, png = (path.with_name(f"{path.name}.{suffix}") for suffix in ("pdf", "png"))
    figure.savefig(png, dpi=40)
    plt.close(figure)
    return [pdf, png]


@pytest.mark.slow
def test_parts_of_ones_own_go_through_every_command(mine, tiny, capsys, monkeypatch):
    from analysis.__main__ import main as report

    monkeypatch.setattr("analysis.figures.save", small_png)

    clip = f"models.checkpoints.clip.path={tiny / 'clip'}"
    own = ["-cd", "myconf", "models=toy", "threads=1", "iterations=4", "lr=0.3"]
    assert run([*own, "+experiments=hues", clip, "tracking=offline", "results=results"]) == 0
    shown = capsys.readouterr()
    assert "toy, walk, metric redness: 3 trials to run" in shown.out and shown.err == ""
    trials = list(Store(mine / "results"))
    assert len(trials) == 3 * 2 * 3  # metrics, methods, prompts
    assert {trial.record.labels.metric for trial in trials} == {"redness", "Aquality", "clip"}
    assert all(set(trial.record.judgements) == {"looker"} for trial in trials)
    reds = [t for t in trials if t.record.labels.metric == "redness" and t.record.labels.method == "reno"]
    assert all(t.record.scores.best["redness"] > t.record.scores.initial["redness"] + 0.01 for t in reds)
    for trial in reds:
        trace = trial.trace()
        assert trace["loss"].tolist() == pytest.approx((1 - trace["score"]).tolist())  # its best score is 1
    assert len(list((mine / "results" / "wandb").glob("offline-run-*"))) == len(trials)

    walk = next(t for t in trials if t.record.labels.method == "walk")
    assert walk.record.spec.method["options"] == {"width": 0.3}
    for trial in (walk, reds[0]):
        assert reproduce([trial.id, "results=results"]) == 0
        assert "identical: 5 iterations" in capsys.readouterr().out

    assert evaluate(["-cd", "myconf", "evaluators=lenient", "results=results"]) == 0
    assert f"lenient: {len(trials)} trials judged" in capsys.readouterr().out

    assert memory([*own, "metric=redness", "prompts=three", "batch_size=3"]) == 0
    shown = capsys.readouterr().out
    assert "toy, metric redness, method reno, 16 x 16, float32" in shown and "weights of mix" in shown

    assert report(["results", "report"]) == 0
    capsys.readouterr()
    for path in (mine / "report" / "tables").glob("*.md"):
        text = path.read_text()
        assert "– = – sd" not in text and "nan" not in text, path
    headline = next((mine / "report" / "tables").glob("1_headline*.md")).read_text()
    places = [headline.index(f"| {metric} |") for metric in ("redness", "Aquality", "clip")]
    assert places == sorted(places), "metrics stand in the order of the study, not of the alphabet"
    assert all(judge in headline for judge in ("looker", "lenient"))
    assert "redness binds better than Aquality" in (mine / "report" / "claims.md").read_text()
    assert "CLIP" not in (mine / "report" / "claims.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["metric=rednes"], "did you mean 'redness'"),
        (["metric=redness", "metric.channel=red"], "channel is an option of a term: write metric.terms.0.channel=..."),
        (["metric=redness", "metric.terms.0.channel=blu"], "channel=blu is not known; use red or green or blue"),
        (["method=walk", "method.widht=1"], "did you mean 'width'"),
        (["models.generator.gian=2"], "did you mean 'gain'"),
        (["models.generator.kind=mine.generatr"], "Python finds no module mine.generatr"),
        (["dtype=float16"], "dtype=float16 does not work with this generator; use float32, float64 or auto"),
        (["method=decoder_only", "prompt=a red car"], "has no image decoder of its own"),
        (["prompt=a pink car"], "the judge looker cannot judge the prompt 'a pink car': looker does not know 'pink'"),
        (["prompts=thre"], "did you mean 'three'"),
        (["claims=hue"], "did you mean 'hues'"),
    ],
)
def test_mistakes_in_ones_own_parts_get_one_sentence(mine, words, says, capsys):
    own = ["-cd", "myconf", "models=toy", "metric=redness", "record=[]", "tracking=disabled"]
    own += [] if any(word.startswith("prompt=") for word in words) else ["prompts=three"]
    assert run([*own, *words]) in (1, 2)
    shown = capsys.readouterr().err
    assert says in shown and "Traceback" not in shown


def test_a_folder_that_is_not_there_is_named(mine, capsys):
    assert run(["-cd", "no_such", "models=toy"]) == 2
    assert "-cd no_such is not a folder" in capsys.readouterr().err
