"""Running jobs on the tiny models, and a method of a user's own."""

from __future__ import annotations

import sys
import types

import pytest

from reno.running.long_prompts import fit_prompts
from reno.running.plan import make_plan
from reno.running.pool import ModelPool
from reno.running.runner import Runner
from reno.running.unloaded import Unloaded
from reno.screen.log import JobLog
from reno.screen.screen import Screen
from reno.store.store import Store
from reno.tracking import TrackingSpec
from reno.tracking.listener import Tracking
from tests.running.stand_in_models import settings


@pytest.fixture(scope="module")
def pool():
    return ModelPool()


@pytest.fixture
def run(compose, tmp_path, pool):
    """run(*overrides): runs the job under tmp_path/results as reno.run does, and answers with its outcome."""

    def go(*overrides, folder="job", listeners=(), tracking="disabled", store=Store, models=pool, **more):
        job = compose(f"results={tmp_path / 'results'}", f"tracking={tracking}", *overrides)
        heard = [JobLog(), Screen(), Tracking(TrackingSpec.from_knobs(job.tracking)), *listeners]
        plan = make_plan(job)
        plan = fit_prompts(plan, Unloaded(load_own=False).too_long(plan))
        return Runner(plan, store(job.results), models, heard, folder=tmp_path / folder, group="test", **more).run()

    return go


@pytest.fixture
def method_of(monkeypatch):
    """method_of(steps): a user's own method; the settings that choose it."""

    def make(steps, iterations=2):
        module = types.ModuleType("lab.written")
        module.steps = steps
        monkeypatch.setitem(sys.modules, "lab", types.ModuleType("lab"))
        monkeypatch.setitem(sys.modules, "lab.written", module)
        return settings(iterations, "written", "lab.written")

    return make
