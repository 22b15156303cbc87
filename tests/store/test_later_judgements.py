"""A later judgement is added beside its trial, and one that is damaged or of other images does not count."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reno.spec.errors import BadInput
from reno.spec.judgements import Verdict
from reno.store.records import JudgedTrial, JudgementRecord, read_json
from reno.store.stored import BROKEN, judge_folder
from tests.store.records import ID, finished


def verdict(score):
    return Verdict((), {}, score)


TORN = {"faults": {}, "judgements": [{
    "attribute": "a", "object": "b", "object_present": True, "attribute_present": True, "bound": True,
    "object_confidence": 1.0, "attribute_confidence": 1.0, "bound_confidence": 1.0,
}]}  # fmt: skip


def later(stored, judge="vqa", identity=None, judged="2026-01-01", **changes):
    values = {
        "trial": stored.id, "judge": judge, "images": stored.image_digests(), "kin": "blip",
        "identity": {"version": 1} if identity is None else identity, "initial": verdict(0.1), "best": verdict(0.2),
        "judged": judged,
    }  # fmt: skip
    return JudgementRecord(**{**values, **changes})


def test_a_later_judgement_is_added_and_the_trial_stays_as_it_is(store):
    stored = store.commit(finished())
    before = {path.name: path.read_bytes() for path in stored.folder.iterdir()}
    assert stored.judgement_by("vqa", {"version": 1}) is None
    store.add_judgement(later(stored))
    said = JudgedTrial(kin="blip", initial=verdict(0.1), best=verdict(0.2), identity={"version": 1})
    assert stored.judgements()["vqa"] == stored.judgement_by("vqa", {"version": 1}) == said
    assert stored.judgement_by("vqa", {"version": 2}) is stored.judgement_by("detector", {"version": 1}) is None
    assert stored.judgements()["oracle"] == stored.record.judgements["oracle"]
    assert {path.name: path.read_bytes() for path in stored.folder.iterdir()} == before
    folder = judge_folder(store.root, "vqa", {"version": 1})
    assert [path.name for path in folder.iterdir()] == [f"{ID}.json"] and folder.parent == store.root / "judgements"


def test_what_the_record_says_counts_as_judged(store):
    stored = store.commit(finished())
    identity = stored.record.judgements["oracle"].identity
    assert stored.judgement_by("oracle", identity) == stored.record.judgements["oracle"]
    assert stored.judgement_by("oracle", {**identity, "version": 2}) is stored.judgement_by("other", identity) is None


def test_of_several_identities_the_one_that_judged_last_speaks(store):
    stored = store.commit(finished())
    for version, day in ((1, "03"), (2, "09"), (3, "05")):
        store.add_judgement(later(stored, "oracle", {"version": version}, f"2026-01-{day}", kin=str(version)))
    assert stored.judgements()["oracle"].kin == "2"
    assert len(list((store.root / "judgements").iterdir())) == 3


def test_a_judgement_of_other_images_does_not_count_and_is_moved_aside(store):
    stored = store.commit(finished())
    store.add_judgement(later(stored, images={"initial": "ff", "best": "ff"}))
    assert stored.judgement_by("vqa", {"version": 1}) is None and stored.later() == ([], [])
    store.add_judgement(later(stored))
    assert stored.judgement_by("vqa", {"version": 1}) == later(stored).judged_trial
    assert len(list((store.root / "damaged" / "judgements").rglob(f"{ID}.json-*"))) == 1
    (store.root / "judgements" / "a file").touch()
    assert set(stored.judgements()) == {*stored.record.judgements, "vqa"}


def test_of_two_commands_that_judge_at_once_the_first_judgement_stays(store):
    stored = store.commit(finished())
    first = later(stored)
    store.add_judgement(first)
    path = judge_folder(store.root, "vqa", {"version": 1}) / f"{ID}.json"
    before = path.stat()
    store.add_judgement(later(stored, judged="2026-01-02"))
    assert stored.later() == ([first], []) and not (store.root / "damaged").exists()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_damaged_judgement_that_another_command_moves_first_is_no_error(store, monkeypatch):
    stored = store.commit(finished())
    path = judge_folder(store.root, "vqa", {"version": 1}) / f"{ID}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    rename = Path.rename

    def late(place, target):
        if place == path:
            path.unlink()
        return rename(place, target)

    monkeypatch.setattr(Path, "rename", late)
    store.add_judgement(later(stored))
    assert stored.later() == ([later(stored)], [])


def test_a_judgement_that_cannot_be_read_is_not_moved(store):
    stored = store.commit(finished())
    path = judge_folder(store.root, "vqa", {"version": 1}) / f"{ID}.json"
    path.parent.mkdir(parents=True)
    path.symlink_to(path)  # the system refuses to follow it, for root too
    with pytest.raises(BadInput, match="cannot be read: Too many levels of symbolic links; give yourself the right"):
        store.add_judgement(later(stored))
    assert path.is_symlink() and not (store.root / "damaged").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it is not JSON"), ("[]", "Expected `object`"), ('{"trial": 3}', "Expected `str`, got `int`"),
        (None, "it is a folder, not a file"), ({"kin": "clip"}, "it is not what was written"),
        ({"trial": "x"}, "it is not the one of this trial and judge"),
        ({"identity": {"version": 9}}, "it is not the one of this trial and judge"),
        ({"best": {"judgements": [], "faults": {}}}, "the initial and the best image are judged for different"),
        ({"best": TORN, "initial": TORN}, "it is not about the prompt's bindings"),
    ],
)  # fmt: skip
def test_a_damaged_judgement_is_named_and_another_takes_its_place(store, text, why):
    stored = store.commit(finished())
    whole = stored.record.judgements["oracle"]
    given = later(stored, initial=whole.initial, best=whole.best)
    store.add_judgement(given)
    path = judge_folder(store.root, "vqa", {"version": 1}) / f"{ID}.json"
    if text is None:
        path.unlink()
        path.mkdir()
    elif isinstance(text, str):
        path.write_text(text)
    elif "kin" in text:
        path.write_bytes(path.read_bytes().replace(b'"kin": "blip"', b'"kin": "clip"'))
    else:
        path.write_text(json.dumps(read_json(path) | text))
    assert set(stored.judgements()) == set(stored.record.judgements)
    good, (damaged,) = stored.later()
    assert good == [] and damaged == stored.judgement_by("vqa", {"version": 1})
    assert (damaged.folder, damaged.state) == (path, BROKEN) and damaged.why.startswith(why)
    assert damaged.sentence.endswith("reno.evaluate moves it to damaged/ and judges the trial again")
    store.add_judgement(given)
    assert stored.later() == ([given], [])
