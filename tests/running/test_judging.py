"""Judging stored trials again: what is judged, resumed, kept apart, refused, and that no trial is touched."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from reno.evaluate import PAGE, main
from reno.evaluators import blip_vqa
from reno.evaluators.blip_vqa import BlipVqa
from reno.prompts.reader import read_text
from reno.running.located import locate_evaluator
from reno.spec.errors import BadInput
from reno.spec.judgements import Verdict
from reno.spec.prompts import Binding
from reno.store.files import FILES
from reno.store.records import JudgedTrial
from reno.store.store import Store
from reno.weights.images import to_uint8
from tests.commands.words_over import over
from tests.store.records import finished, record

ROOT = Path(__file__).resolve().parent.parent.parent
PROMPTS = ("a gold bench and a green clock", "a red car", "an orange cup and a blue bowl")


@pytest.fixture(autouse=True)
def quiet():
    """As in a process of its own, where the command quietens the libraries before they are imported."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def record_of(number, prompt=None):
    return record(number, prompt or (*PROMPTS, *[PROMPTS[1]] * 9)[number])


def trial_id(number, prompt=None):
    return record_of(number, prompt).id


def put(store, number, prompt=None, bindings=None, side=64, judgements=None, blank=False):
    """Stores a trial with random pictures."""
    rng = np.random.default_rng(number)
    frames = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(2)]
    if blank:
        frames = [np.zeros((side, side, 3), np.uint8)] * 2
    made = record_of(number, prompt)
    made = msgspec.structs.replace(
        made,
        bindings=read_text(made.spec.prompt).bindings if bindings is None else bindings,
        best_iteration=1,
        judgements=judgements or {},
    )
    return store.commit(finished(2, record=made, frames=frames, best=1))


@pytest.fixture
def store(tmp_path):
    """A store of three trials that nobody judged."""
    store = Store(tmp_path / "results")
    store.prepare()
    for number, prompt in enumerate(PROMPTS):
        put(store, number, prompt)
    return store


@pytest.fixture
def words(tiny, store):
    """The command for that store, with the tiny BLIP-VQA."""
    return ["evaluators=blip_vqa", f"results={store.root}", *blip(tiny), "batch_size=2", "threads=1"]


def blip(tiny):
    return [f"models.checkpoints.blip_vqa.path={tiny / 'blip_vqa'}"]


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def judged_files(store):
    return {path: path.stat().st_mtime_ns for path in (store.root / "judgements").rglob("*.json")}


def test_every_trial_is_judged_and_none_is_touched(words, store, tiny, capsys):
    from reno.spec.job import Checkpoint
    from reno.weights.checkpoints import locate

    before = everything(store.trials)
    assert main(words) == 0
    assert everything(store.trials) == before
    weights = locate(Checkpoint(str(tiny / "blip_vqa")), "x").identity
    for trial in store:
        assert trial.damage() is None and trial.record.judgements == {}
        (judge, said), *others = trial.judgements().items()
        assert (judge, others, said.kin) == ("blip_vqa", [], "blip")
        assert said.identity["weights"] == {"blip_vqa": weights}
        assert said.identity["settings"] == {"threshold": 0.5, "image_size": 480}
        for verdict in (said.initial, said.best):
            asked = [(one.attribute, one.object) for one in verdict.judgements]
            assert asked == [(one.attribute, one.object) for one in trial.record.bindings]
            assert 0 < verdict.score < 1
    shown = capsys.readouterr()
    assert "blip_vqa: images with all bindings right " in shown.out and " -> " in shown.out
    assert "3 trials to judge" in shown.out and "blip_vqa: 3 trials judged, 0 judged before" in shown.out
    assert shown.err == ""
    (folder,) = (store.root / "judgements").iterdir()
    entry = json.loads(next(folder.iterdir()).read_text())
    assert entry["provenance"]["threads"] == 1 and entry["provenance"]["versions"]["transformers"]


def test_the_judge_sees_the_stored_images_beside_their_own_prompts(words, store, monkeypatch):
    seen = {}
    whole = BlipVqa.judge

    def judge(self, images, prompts):
        for pixels, prompt in zip(to_uint8(images), prompts, strict=True):
            seen.setdefault(prompt.text, []).append(pixels)
        return whole(self, images, prompts)

    monkeypatch.setattr(BlipVqa, "judge", judge)
    assert main(words) == 0
    for trial in store:
        initial, best = seen[trial.record.spec.prompt]
        np.testing.assert_array_equal(initial, trial.image("initial"))
        np.testing.assert_array_equal(best, trial.image("best"))


def test_the_same_command_again_judges_only_what_is_new(words, store, monkeypatch, capsys):
    assert main(words) == 0
    before = judged_files(store)
    monkeypatch.setattr(blip_vqa, "load", lambda *_, **__: pytest.fail("the judge was loaded for nothing"))
    assert main(words) == 0
    assert judged_files(store) == before
    monkeypatch.undo()
    put(store, 7)
    capsys.readouterr()
    assert main(words) == 0
    assert "1 trial judged, 3 judged before" in capsys.readouterr().out
    assert len(judged_files(store)) == 4 and before.items() <= judged_files(store).items()


def test_an_interrupted_command_goes_on_where_it_stopped(words, store, monkeypatch, capsys):
    whole, calls = BlipVqa.judge, []

    def interrupted(self, images, prompts):
        calls.append(len(prompts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(self, images, prompts)

    monkeypatch.setattr(BlipVqa, "judge", interrupted)
    assert main(words) == 130
    assert "1 left; the same command goes on" in capsys.readouterr().out
    assert len(judged_files(store)) == 2
    assert main(words) == 0
    assert calls == [4, 2, 2]
    assert len(judged_files(store)) == 3
    assert not list((store.root / "judgements").rglob("*.part"))


def test_each_file_of_a_trial_is_read_once(words, store, monkeypatch):
    opened = Counter()
    read = Path.read_bytes

    def counted(path):
        opened[path.name] += path.is_relative_to(store.trials)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert main(words) == 0
    assert {name: opened[name] for name in FILES} == dict.fromkeys(FILES, len(PROMPTS))


def test_one_trial_that_cannot_be_judged_does_not_stop_the_others(words, store, monkeypatch, capsys):
    put(store, 3, "a zebra " * 9, (Binding("red", "zebra " * 600),))
    put(store, 4, side=32)  # another size than the others
    put(store, 5, "no bindings here", ())
    (store.trials / trial_id(0) / "best.png").write_bytes(b"")
    picture = store.trials / trial_id(1) / "initial.png"
    data = bytearray(picture.read_bytes())
    data[-20] ^= 1
    picture.write_bytes(bytes(data))
    assert main([word.replace("batch_size=2", "batch_size=8") for word in words]) == 1
    shown = capsys.readouterr()
    assert "2 trials judged, 0 judged before, 3 failed, 1 with nothing to judge" in shown.out
    failures = sorted(line.split(": ", 2)[1:] for line in shown.err.strip().splitlines())
    long = trial_id(3, "a zebra " * 9)
    assert sorted(id for id, _ in failures) == sorted(one[:12] for one in (trial_id(0), trial_id(1), long))
    reasons = dict(failures)
    assert "best.png has 0 bytes" in reasons[trial_id(0)[:12]]
    assert "initial.png is not what was written" in reasons[trial_id(1)[:12]]
    assert "would be cut" in reasons[long[:12]]
    assert {path.stem for path in judged_files(store)} == {trial_id(2), trial_id(4)}


def test_a_judge_that_breaks_on_one_trial_is_asked_for_the_others(words, store, monkeypatch, capsys):
    whole = BlipVqa.judge

    def breaking(self, images, prompts):
        if any(prompt.text == "a red car" for prompt in prompts):
            raise RuntimeError("it broke")
        return whole(self, images, prompts)

    def unsure(self, images, prompts):
        verdicts = whole(self, images, prompts)
        places = [place for place, prompt in enumerate(prompts) if prompt.text == "a red car"]
        for place in places:
            verdicts[place] = msgspec.structs.replace(verdicts[place], score=float("nan"))
        return verdicts

    monkeypatch.setattr(BlipVqa, "judge", unsure)
    assert main([word.replace("batch_size=2", "batch_size=3") for word in words]) == 1
    assert "the judge blip_vqa gave nan as score; it has to be a finite number" in capsys.readouterr().err
    assert {path.stem for path in judged_files(store)} == {trial_id(0), trial_id(2)}
    shutil.rmtree(store.root / "judgements")
    monkeypatch.setattr(BlipVqa, "judge", breaking)
    assert main([word.replace("batch_size=2", "batch_size=3") for word in words]) == 1
    shown = capsys.readouterr()
    assert "RuntimeError: it broke" in shown.err and len(shown.err.strip().splitlines()) == 1
    assert {path.stem for path in judged_files(store)} == {trial_id(0), trial_id(2)}


def test_other_weights_are_another_judge_and_the_last_one_counts(words, store, tiny, tmp_path):
    from scripts.make_checkpoints import make_checkpoint

    assert main(words) == 0
    first = next(iter(store)).judgements()["blip_vqa"]
    make_checkpoint("blip_vqa", "tiny", tmp_path / "other", seed=1)
    other = [f"models.checkpoints.blip_vqa.path={tmp_path / 'other' / 'blip_vqa'}"]
    assert main([word for word in words if "path" not in word] + other) == 0
    assert len(judged_files(store)) == 6
    second = next(iter(store)).judgements()["blip_vqa"]
    assert second.identity != first.identity and second.best.score != first.best.score
    trial = next(iter(store))
    assert [trial.judgement_by("blip_vqa", each.identity) for each in (first, second)] == [first, second]


def test_what_was_judged_in_the_run_is_not_judged_again(tiny, tmp_path, capsys):
    store = Store(tmp_path / "results")
    store.prepare()
    words = ["evaluators=blip_vqa", f"results={store.root}", *blip(tiny)]
    put(store, 0)
    assert main(words) == 0
    said, empty = store.find(trial_id(0)).judgements()["blip_vqa"], Verdict((), {})
    put(
        store,
        1,
        PROMPTS[0],
        judgements={"blip_vqa": said, "oracle": JudgedTrial(kin="none", initial=empty, best=empty)},
    )
    capsys.readouterr()
    assert main(words) == 0
    assert "0 trials judged, 2 judged before" in capsys.readouterr().out
    judged = store.find(trial_id(1, PROMPTS[0])).judgements()
    assert judged["blip_vqa"] == said and set(judged) == {"blip_vqa", "oracle"}


def test_a_judgement_of_other_images_or_a_torn_one_does_not_count(words, store):
    import shutil

    assert main(words) == 0
    torn = next(iter(judged_files(store)))
    torn.write_bytes(torn.read_bytes()[:50])
    assert store.find(torn.stem).judgements() == {}
    other = trial_id(1) if torn.stem == trial_id(0) else trial_id(0)
    shutil.rmtree(store.trials / other)
    put(store, 1 if other == trial_id(1) else 0, blank=True)
    assert store.find(other).judgements() == {}
    assert main(words) == 0
    assert all(set(trial.judgements()) == {"blip_vqa"} for trial in store)


BAD = [
    (["evaluators=blip_vqq"], "did you mean 'blip_vqa'"),
    (["evaluators=[]"], "evaluators is empty; name a judge"),
    (["evaluator=blip_vqa"], "did you mean 'evaluators'"),
    (["blip_vqa"], "'blip_vqa' is not knob=value"),
    (["evaluators=[blip_vqa"], "cannot be read as knob=value"),
    (["batch_size=0"], "batch_size must be a whole number"),
    (["device=gpu"], "device=gpu is not a device"),
    (["device=cuda:99"], "device=cuda:99 is not there"),
    (["results=/no/such/folder"], "holds no trials"),
    (["models=sd_turbo"], "models cannot be set as a whole here"),
    (["models.checkpoints.blip_vqz.path=/x"], "did you mean 'blip_vqa'"),
    (["models.checkpoints.blip_vqa.pth=/x"], "did you mean 'path'"),
    (["models.checkpoints.blip_vqa.path=/no/such/folder"], "is not a folder"),
    (["models.checkpoints.blip_vqa.path=CLIP"], "is not a BlipForQuestionAnswering"),
]


@pytest.mark.parametrize(("more", "says"), BAD)
def test_bad_input_gets_one_sentence_exit_status_2_and_leaves_nothing(words, store, tiny, more, says, capsys):
    more = [word.replace("CLIP", str(tiny / "clip")) for word in more]
    before = everything(store.root)
    assert main(over(words, *more)) == 2
    shown = capsys.readouterr()
    assert says in shown.err and len(shown.err.strip().splitlines()) == 1
    assert everything(store.root) == before


def test_without_a_path_the_judges_own_checkpoint_is_looked_for(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert main(["evaluators=blip_vqa", f"results={store.root}"]) == 2
    said = capsys.readouterr().err
    assert "Salesforce/blip-vqa-capfilt-large" in said and "give models.checkpoints.blip_vqa.path=FOLDER" in said


def test_two_judges_in_one_command(store, tiny, capsys):
    paths = [f"models.checkpoints.{name}.path={tiny / name}" for name in ("blip_vqa", "owlv2", "clip_vit_l")]
    assert main(["evaluators=[blip_vqa,detector_open]", f"results={store.root}", *paths]) == 0
    for trial in store:
        assert {name: said.kin for name, said in trial.judgements().items()} == {
            "blip_vqa": "blip",
            "detector_open": "clip",
        }
    assert "detector_open: 3 trials judged" in capsys.readouterr().out


def test_help_explains_every_knob(capsys):
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert "python -m reno.evaluate evaluators=JUDGE" in page
    assert all(f"\n{name} " in page for name in PAGE.names())


# --- Beside reno.run ----------------------------------------------------------------------------------------


def test_a_run_records_the_identity_and_evaluate_finds_it_judged(knobs, tiny, tmp_path, capsys):
    from reno.run import main as run

    results = f"results={tmp_path / 'results'}"
    words = [*knobs, results, "tracking=disabled", "prompt=a red car"]
    assert run([*words, "seed=1"]) == 0
    assert run([*words, "seed=[1,2]", "evaluators=[blip_vqa,detector_open]"]) == 0
    shown = capsys.readouterr().out
    assert "1 trial stored before without blip_vqa's judgement; to judge: python -m reno.evaluate" in shown
    trials = {trial.record.spec.seed: trial for trial in Store(tmp_path / "results")}
    assert trials[1].judgements() == {}
    assert {name: said.kin for name, said in trials[2].record.judgements.items()} == {
        "blip_vqa": "blip",
        "detector_open": "clip",
    }
    assert main(["evaluators=blip_vqa", results, *blip(tiny), "threads=1"]) == 0
    assert "1 trial judged, 1 judged before" in capsys.readouterr().out
    later, then = (trials[seed].judgements()["blip_vqa"] for seed in (1, 2))
    assert later.identity == then.identity


def test_a_run_takes_a_judges_checkpoint_with_a_plus_or_without(knobs, tmp_path, capsys):
    from reno.run import main as run

    generator = next(word for word in knobs if word.startswith("models.generator"))
    clip = next(word for word in knobs if word.startswith("models.checkpoints.clip."))
    named = [generator, clip, "record=[]", "dry_run=true", f"results={tmp_path / 'r'}", "evaluators=blip_vqa"]
    missing = "models.checkpoints.blip_vqa.path=/no/such/folder"
    own = next(word for word in knobs if "blip_vqa" in word)
    for plus in ("", "+"):
        assert run([*named, f"{plus}{missing}"]) == 2
        assert "is not a folder" in capsys.readouterr().err
        assert run([*named, f"{plus}{own}"]) == 0


def test_an_unknown_option_of_a_judge_is_named(compose):
    (spec,) = compose("evaluators=[blip_vqa]").evaluators
    says = "has no option 'treshold'; it has threshold, image_size; did you mean 'threshold'"
    with pytest.raises(BadInput, match=says):
        locate_evaluator(dataclasses.replace(spec, options={"treshold": 0.5}))


def test_a_request_that_cannot_be_used_is_refused_without_loading_models():
    code = (
        "import sys; from reno.evaluate import main; main(['evaluators=blip_vqb', 'results=/no/such/folder']); "
        "sys.exit(bool({'diffusers', 'wandb'} & set(sys.modules)))"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True).returncode == 0


def test_a_judge_that_looks_for_places_judges_those_prompts_alone_in_a_run_and_later(knobs, tiny, tmp_path, capsys):
    from reno.run import main as run

    words = [*knobs, f"results={tmp_path / 'results'}", "tracking=disabled", "iterations=0"]
    prompts = "prompt=[a bee on the left of a lamp,a red car]"
    assert run([*words, prompts, "seed=1", "evaluators=[blip_vqa,detector_spatial]"]) == 0
    shown = capsys.readouterr().out
    assert (
        "wrong -> wrong," in shown and "score 0.00 ->" in shown and "without detector_spatial's judgement" not in shown
    )
    assert run([*words, prompts, "seed=2"]) == 0
    paths = [f"models.checkpoints.owlv2.path={tiny / 'owlv2'}", f"results={tmp_path / 'results'}", "threads=1"]
    assert main(["evaluators=detector_spatial", *paths]) == 0
    assert "1 trial judged, 1 judged before, 2 with nothing to judge" in capsys.readouterr().out
    said = {(one.record.spec.prompt, one.record.spec.seed): one.judgements() for one in Store(tmp_path / "results")}
    for seed in (1, 2):
        assert said["a bee on the left of a lamp", seed].keys() == {"detector_spatial"}
        verdict = said["a bee on the left of a lamp", seed]["detector_spatial"].best
        assert (verdict.judgements, verdict.score, verdict.correct) == ((), 0.0, False)
    assert said["a red car", 1].keys() == {"blip_vqa"} and said["a red car", 2] == {}


def test_the_runs_of_the_trials_that_were_judged_now_get_the_judgements(words, store, monkeypatch, capsys):
    shown = []

    def show(judged, settings, results, warn):
        shown.append((sorted(trial.id for trial in judged), settings.project, results))
        return ["the runs are there"]

    monkeypatch.setattr("reno.tracking.judgements.show_judgements", show)
    for _ in range(2):  # the second command judges nothing
        assert main([*words, "tracking.project=p"]) == 0
    own = sorted(trial.id for trial in store)
    assert shown == [(own, "p", store.root), ([], "p", store.root)]
    assert "the runs are there" in capsys.readouterr().out
