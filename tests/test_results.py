"""The store: absent or whole, first writer wins, damage is noticed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from reno.errors import BadInput
from reno.results import FILES, Finished, Store, decode_frames, encode_frames

ID = "ab" * 32


def finished(count=4, side=16, trial_id=ID):
    frames = [np.random.default_rng(k).integers(0, 256, (side, side, 3), dtype=np.uint8) for k in range(count)]
    trace = [
        {
            "iteration": k,
            "loss": 100.0 - k,
            "score": float(k),
            "regularizer": 0.0,
            "grad_norm": None,
            "noise_norm": 1.0,
            "seconds": 0.1,
        }
        for k in range(count)
    ]
    noise = np.random.default_rng(9).normal(size=(4, 2, 2)).astype(np.float32)
    return Finished({"id": trial_id, "spec": {"prompt": "../x/\n<script>🐶"}}, trace, frames, 2, noise, noise * 2)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "results")
    store.prepare()
    return store


def test_a_trial_comes_back_as_it_was(store):
    given = finished()
    assert store.commit(given)
    found = store.find(ID)
    assert found.record["spec"]["prompt"] == "../x/\n<script>🐶"
    assert found.trace()["score"].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.image("initial"), given.frames[0])
    np.testing.assert_array_equal(found.image("best"), given.frames[2])
    for frame, expected in zip(found.frames(), given.frames, strict=True):
        np.testing.assert_array_equal(frame, expected)
    np.testing.assert_array_equal(found.noise()["best"], given.best_noise)
    assert found.damage() is None
    assert sorted(path.name for path in found.folder.iterdir()) == sorted([*FILES, "trial.json"])
    assert [stored.id for stored in store] == [ID]


def test_the_first_of_two_wins_and_nothing_is_left(store):
    assert store.commit(finished(count=4))
    assert not store.commit(finished(count=5))
    assert len(store.find(ID).trace()) == 4
    assert list(store.staging.iterdir()) == []


def test_frames_that_repeat_are_all_there():
    frame = np.zeros((8, 8, 3), np.uint8)
    other = np.full((8, 8, 3), 200, np.uint8)
    back = decode_frames(encode_frames([frame, frame, frame, other, other, frame]))
    assert [int(image[0, 0, 0]) for image in back] == [0, 0, 0, 200, 200, 0]


@pytest.mark.parametrize("side", [8, 160])
def test_a_trial_in_which_nothing_moves_has_an_image_an_iteration(store, side):
    """Its animation is stored as one still."""
    given = finished(side=side)
    assert store.commit(replace(given, frames=[given.frames[0]] * 4))
    found = store.find(ID)
    assert len(found.frames()) == len(found.trace()) == 4
    assert len({frame.tobytes() for frame in found.frames()}) == 1


def test_images_that_are_fewer_than_the_iterations_are_damage(store):
    given = finished()
    assert store.commit(replace(given, frames=given.frames[:3]))
    with pytest.raises(BadInput, match="3 images of 4 iterations"):
        store.find(ID).frames()


def test_a_text_that_is_no_unicode_comes_back_as_it_was(store):
    """Bytes that are no text reach a command's words as lone surrogates."""
    given = finished()
    assert store.commit(replace(given, record={"id": ID, "spec": {"prompt": "a red \ud800 car"}}))
    found = store.find(ID)
    assert found.record["spec"]["prompt"] == "a red \ud800 car"
    verdict = {"judgements": [{"object": "\ud800"}], "faults": {}}
    entry = {"kin": "none", "identity": {"version": 1}, "judged": "2026-01-01", "initial": verdict, "best": verdict}
    store.add_judgement(found, "oracle", entry)
    assert found.judgements()["oracle"]["best"] == verdict


def test_large_frames_are_small_on_disk_and_close():
    y, x = np.mgrid[0:256, 0:256]
    frame = np.stack([x, y, 255 - x], -1).astype(np.uint8)
    data = encode_frames([frame, frame[::-1].copy()])
    assert len(data) < frame.nbytes / 5
    assert np.abs(decode_frames(data)[0].astype(int) - frame).mean() < 4


@pytest.mark.parametrize("name", [*FILES, "trial.json"])
def test_a_missing_or_cut_file_is_damage(store, name):
    store.commit(finished())
    path = store.trials / ID / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(BadInput, match=r"damaged.*delete that folder"):
        store.find(ID)
    path.unlink()
    with pytest.raises(BadInput, match=f"damaged: {name} is missing"):
        store.find(ID)


def test_a_flipped_byte_is_found_by_reading_everything(store):
    store.commit(finished())
    path = store.trials / ID / "best.png"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    assert "best.png" in store.find(ID).damage()


def test_a_record_of_another_schema_is_refused(store):
    store.commit(finished())
    path = store.trials / ID / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(BadInput, match="schema 99"):
        store.find(ID)


def test_what_a_dead_process_left_is_cleared_and_a_living_ones_is_not(store):
    import os
    import socket
    import subprocess
    import sys

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for pid in (gone.pid, os.getpid()):
        (store.staging / f"{socket.gethostname()}@{pid}-abc").mkdir()
    Store(store.root).prepare()
    assert [path.name for path in store.staging.iterdir()] == [f"{socket.gethostname()}@{os.getpid()}-abc"]


def test_a_trial_is_found_by_the_start_of_its_id(store):
    store.commit(finished())
    store.commit(finished(trial_id="ac" * 32))
    assert store.match("abab").id == ID
    with pytest.raises(BadInput, match="2 trials"):
        store.match("a")
    for nothing in ("ff", ""):
        with pytest.raises(BadInput, match="no trial"):
            store.match(nothing)


def test_a_results_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot be written"):
        Store(tmp_path / "file").prepare()
