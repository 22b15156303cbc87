"""A batch that is killed goes on from what was saved, and ends as if nothing had been."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reno.running import saving
from reno.running.listeners import Listener
from reno.running.plan import make_plan
from reno.running.progress import KeptImages
from reno.running.runner import Runner
from reno.running.saving import RUNNING, SavedStep, Saves
from reno.spec.errors import BadInput
from reno.spec.job import Execution
from reno.store.store import Store
from tests.running.jobs import PROMPTS, Probe
from tests.running.stand_in_models import trials
from tests.running.workers import ended, essence, started

TWO = ("prompt=[a red car,a blue cup]", "batch_size=3", "iterations=7", "save_every=2", "record=[blip]")


class Counting(Listener):
    """Counts the steps; at a given one, `act` is called."""

    def __init__(self, at=0, act=None):
        self.at, self.act, self.steps = at, act, 0

    def step(self, batch, run):
        self.steps += not run.scored
        if self.steps == self.at and self.act:
            self.act()


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def go(compose, tmp_path, pool):
    """go(store, *overrides, listener=...): runs the job. dies(...): the same in a process that is killed at a step."""

    def run(store, *overrides, listeners=()):
        plan = make_plan(compose(f"results={tmp_path / store}", *TWO, *overrides))
        probe = Probe()
        heard = [probe, *listeners]
        outcome = Runner(plan, Store(tmp_path / store), pool, heard, folder=tmp_path / "job", group="test").run()
        return outcome, [line[1] for line in probe.heard if line[0] == "warned"]

    def dies(store, *overrides, at):
        pool.load(make_plan(compose(*TWO, *overrides)), torch.device("cpu"))
        assert ended(started(lambda: run(store, *overrides, listeners=[Counting(at, killed)]))) == [-9]

    run.dies = dies
    return run


@pytest.fixture
def asked(monkeypatch):
    """How often the generator made images."""
    from reno.generators.stable_diffusion import StableDiffusion

    calls, make = [], StableDiffusion.__call__
    monkeypatch.setattr(StableDiffusion, "__call__", lambda *words: calls.append(1) or make(*words))
    return calls


def saved(tmp_path, store="killed"):
    return sorted((tmp_path / store / RUNNING).rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("chosen", "at", "left"),
    [
        ((), 5, 4),
        pytest.param(("metric=clip", "method.start=4", "method.start_by=blip"), 3, 6, marks=pytest.mark.slow),
        pytest.param(("method=mpgr", "optimizer=sgd_nesterov", "method.start=2"), 7, 2, marks=pytest.mark.slow),
    ],
)
def test_a_killed_batch_ends_as_if_it_had_not_been_killed(go, tmp_path, asked, chosen, at, left):
    assert go("whole", *chosen)[0].status == 0
    go.dies("killed", *chosen, at=at)
    assert len(saved(tmp_path)) == at // 2 and not list(Store(tmp_path / "killed"))
    asked.clear()
    steps = Counting()
    outcome, warned = go("killed", *chosen, listeners=[steps])
    assert (outcome.status, warned, len(asked), steps.steps) == (0, [], left, 8)
    assert essence(tmp_path / "killed") == essence(tmp_path / "whole")
    assert not (tmp_path / "killed" / RUNNING).exists()


@pytest.mark.slow
@pytest.mark.parametrize("at", [6, 12])
def test_a_batch_that_looks_at_drafts_goes_on(go, tmp_path, at):
    """The best draft and the images that are full by then are known again."""
    chosen = ("models.generator.decoder=taesd", "iterations=13", "lr=0.3", "stop.patience=12")
    go("whole", *chosen)
    go.dies("killed", *chosen, at=at)
    assert go("killed", *chosen)[0].status == 0
    assert essence(tmp_path / "killed") == essence(tmp_path / "whole")


@pytest.mark.slow
def test_without_the_knob_nothing_is_saved_and_the_trial_is_the_same(go, tmp_path):
    looked = Counting(5, lambda: places.append((tmp_path / "plain" / RUNNING).exists()))
    places = []
    go("plain", "save_every=null", listeners=[looked])
    go("saved")
    assert places == [False]
    assert essence(tmp_path / "plain") == essence(tmp_path / "saved")


@pytest.mark.slow
def test_a_damaged_file_is_left_out_with_a_warning(go, tmp_path, asked):
    go("whole")
    go.dies("killed", at=7)
    _, second, _ = saved(tmp_path)
    data = bytearray(second.read_bytes())
    data[-5] ^= 1
    second.write_bytes(data)
    (second.parent / "zz.safetensors").mkdir()  # somebody else's
    asked.clear()
    outcome, warned = go("killed")
    assert warned == [
        f"{second} cannot be used (its bytes are not those that were written); its batch goes on from image 2"
    ]
    assert (outcome.status, len(asked)) == (0, 6)
    assert essence(tmp_path / "killed") == essence(tmp_path / "whole")


@pytest.mark.slow
def test_a_file_that_leads_elsewhere_is_noticed_and_the_batch_begins_anew(go, tmp_path, monkeypatch):
    go("whole")
    go.dies("killed", at=5)
    honest = saving.Tape.next

    def other(self, device):
        answer = honest(self, device)
        if answer:
            answer.slope[:, 0, 0, 0] = 0.0
        return answer

    monkeypatch.setattr(saving.Tape, "next", other)
    outcome, warned = go("killed")
    assert warned == ["what was saved of a batch leads to another noise than it did; it begins anew"]
    assert outcome.status == 0 and essence(tmp_path / "killed") == essence(tmp_path / "whole")


HERE = {
    "device": "cpu (x)",
    "threads": 1,
    "cpu_capability": "AVX2",
    "versions": {"torch": "2.13", "diffusers": "0.39"},
    "deterministic": True,
}


def place_of(tmp_path, batch, shape=2, execution=None, **other):
    models = SimpleNamespace(execution=execution or Execution(checkpointing=False))
    saves = Saves(tmp_path / "results", 2, print)
    return saves.of(batch, shape, models, SimpleNamespace(**(HERE | other))).folder


def test_a_batch_that_would_have_other_numbers_has_another_place(tmp_path):
    one, other, third = trials(3)
    (as_wide,) = trials(1, dtype="float64")
    places = [
        place_of(tmp_path, (one, other)),
        place_of(tmp_path, (other, one)),
        place_of(tmp_path, (one, third)),
        place_of(tmp_path, (one,)),
        place_of(tmp_path, (as_wide, other)),
        place_of(tmp_path, (one, other), shape=3),
        place_of(tmp_path, (one, other), execution=Execution(checkpointing=True)),
        *(place_of(tmp_path, (one, other), **{name: 2}) for name in ("device", "threads", "cpu_capability")),
        place_of(tmp_path, (one, other), versions=HERE["versions"] | {"torch": "2.14"}),
        place_of(tmp_path, (one, other), versions=HERE["versions"] | {"diffusers": "0.40"}),
        place_of(tmp_path, (one, other), deterministic=False),
    ]
    assert len(set(places)) == len(places)
    assert place_of(tmp_path, (one, other), versions=HERE["versions"] | {"wandb": "1"}) == places[0]


def opened(root, batch):
    """The saved state of a batch, opened by a worker, and a function that adds its first step."""
    saves = Saves(root, 1, pytest.fail)
    save = saves.of(batch, 2, SimpleNamespace(execution=Execution()), SimpleNamespace(**HERE))
    blank = torch.zeros(2, 1)

    def add(seconds):
        save.tape.add(blank, blank[:, 0], blank)
        step = SavedStep(np.zeros((2, 1, 1, 3), np.uint8), seconds)
        save.add(0, blank, step, KeptImages(blank, blank, blank))

    return saves, save, add


def test_what_is_left_of_trials_that_are_stored_is_removed(tmp_path):
    root, batch = tmp_path / "results", trials(2)
    saves, save, add = opened(root, batch)
    add(1.0)
    (root / RUNNING / "empty").mkdir()
    store = root / "trials"
    (store / batch[0].id).mkdir(parents=True)
    saves.clear(store)
    assert list((root / RUNNING).iterdir()) == [save.folder]
    (store / batch[1].id).mkdir()
    saves.clear(store)
    assert not (root / RUNNING).exists()


def test_what_two_workers_saved_of_one_batch_is_read_once(tmp_path):
    """A lease ended too early: both ran the batch, and differ in their times."""
    for add in [opened(tmp_path, trials(2))[2] for _ in range(2)]:
        add(float(len(list(tmp_path.rglob("*.safetensors")))))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    assert opened(tmp_path, trials(2))[1].steps == 1


def test_a_full_disk_is_told_once_and_stops_nothing(go, monkeypatch):
    def full(place, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "write_whole", full)
    outcome, warned = go("whole")
    assert outcome.status == 0
    assert warned == ["a running batch could not be saved (No space left on device): if it is killed, it begins anew"]


def test_a_method_that_does_not_say_that_it_can_go_on_is_refused(compose, method):
    odd = method("def steps(problem, settings):\n    yield from reno.steps(problem, settings)\n")
    with pytest.raises(BadInput, match=r"save_every=3: the method odd does not say .* use save_every=null"):
        make_plan(compose(*odd, "save_every=3", PROMPTS))
    make_plan(compose(*odd, PROMPTS))
    with pytest.raises(BadInput, match=r"save_every must be a whole number"):
        compose("save_every=0")
