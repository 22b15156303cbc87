"""Refused jobs, and a user's own files."""

from __future__ import annotations

import pytest
import yaml

from reno.config.compose import composed
from reno.config.job import job_from_config
from reno.config.page import RUN
from reno.config.words import parse
from reno.running.plan import make_plan
from reno.spec.errors import BadInput
from reno.tracking import TrackingSpec


@pytest.fixture
def refusal(knobs):
    """refusal(*words): the sentence with which a job is refused before anything runs."""

    def run(*words):
        with pytest.raises(BadInput) as refused:
            parsed = parse(RUN, [*knobs, *words])
            job = job_from_config(composed(RUN, parsed), parsed.conf)
            TrackingSpec.from_knobs(job.tracking)
            make_plan(job)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    return run


@pytest.fixture
def own(tmp_path):
    """own(group, name, values): a YAML file of a user's own folder; the words that add the folder."""

    def write(group, name, values):
        folder = tmp_path / "my conf" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
        return ["-cd", str(tmp_path / "my conf")]

    return write
