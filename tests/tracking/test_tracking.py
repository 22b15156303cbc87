"""Which mode of tracking is taken, online, offline or none, and which settings are refused."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from reno.spec.errors import BadInput
from reno.tracking import NullTracker, TrackingSpec, logged, make_tracker
from tests.tracking.shown_trials import IDS, KEY, card, directories, no_key_in, show
from tests.tracking.stand_in_server import Server

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.usefixtures("alone")


def test_wandb_mode_is_heeded_in_auto_and_not_where_a_mode_is_chosen(results, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = make_tracker(TrackingSpec(), results, pytest.fail)
    show(tracker, IDS[:1], iterations=2)
    assert tracker.close() == []
    assert not results.exists()

    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    show(tracker, IDS[:1], iterations=2)
    tracker.close()
    assert directories(results)[0].name.startswith("offline-run-")


def test_online_without_a_key_goes_offline_and_never_prompts(results):
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="online"), results, warnings.append)
    show(tracker, IDS[:1], iterations=2)
    tracker.close()
    assert len(warnings) == 1 and "no key" in warnings[0]
    assert logged(results, IDS[0])


@pytest.mark.slow
@pytest.mark.parametrize("key", [KEY, "too-short"])
def test_a_server_or_key_that_fails_means_offline_with_one_warning(results, monkeypatch, key, capfd):
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    warnings: list[str] = []
    started = time.monotonic()
    for trial_id in IDS[:2]:  # two jobs of a sweep: the second does not try the server again
        tracker = make_tracker(TrackingSpec(timeout=5), results, warnings.append)
        show(tracker, [trial_id], iterations=2)
        assert "1 run offline" in tracker.close()[0]
    assert time.monotonic() - started < 12
    assert len(warnings) == 1 and "kept offline" in warnings[0] and key not in warnings[0]
    assert [path.name[:12] for path in directories(results)] == ["offline-run-"] * 2
    assert all(logged(results, trial_id) for trial_id in IDS[:2])
    assert no_key_in(results)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("place", ["environment", pytest.param("netrc", marks=pytest.mark.slow)])
def test_auto_is_online_where_a_key_is_configured(results, monkeypatch, place):
    server = Server()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    if place == "environment":
        monkeypatch.setenv("WANDB_API_KEY", KEY)
    else:
        host = f"127.0.0.1:{server.server_port}"
        Path(os.environ["NETRC"]).write_text(f"machine {host}\n login user\n password {KEY}\n")
    tracker = make_tracker(TrackingSpec(), results, pytest.fail)
    show(tracker, IDS[:2], iterations=5)
    assert tracker.close() == [f"Weights & Biases: 2 runs at {server.url}/lab/reno"]
    server.shutdown()
    for trial_id in IDS[:2]:
        assert [row["iteration"] for row in server.rows[trial_id]] == list(range(5))
        where = json.loads((results / "wandb" / "logged" / f"{trial_id}.json").read_text())
        assert where == {"mode": "online", "url": f"{server.url}/lab/reno/runs/{trial_id}"}
    assert server.images == 10
    assert no_key_in(results)


@pytest.mark.slow
def test_a_server_that_goes_away_costs_one_warning_and_the_rest_is_offline(results, monkeypatch):
    server = Server()
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(timeout=4), results, warnings.append)
    tracker.start(card(IDS[0]))
    while not directories(results):
        time.sleep(0.02)
    time.sleep(0.5)
    server.shutdown()
    server.server_close()
    show(tracker, IDS[1:2], iterations=2)  # a new run finds no server
    tracker.finish(IDS[0], {})  # was open online: to be shown again from the store
    tracker.close()
    assert len(warnings) == 1 and "kept offline" in warnings[0]
    assert [logged(results, trial_id) for trial_id in IDS[:2]] == [False, True]


def test_disabled_is_the_null_tracker_and_needs_no_wandb(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import of it fails
    tracker = make_tracker(TrackingSpec(mode="disabled"), results, pytest.fail)
    assert isinstance(tracker, NullTracker)
    show(tracker, IDS, iterations=2)
    assert tracker.close() == []
    assert make_tracker(TrackingSpec(mode="online"), results, pytest.fail).close() == []  # nothing was shown
    assert not results.exists()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"mode": "ofline"}, "did you mean 'offline'"),
        ({"mode": "zzz"}, "auto, online, offline, disabled"),
        ({"project": ""}, "tracking.project"),
        ({"project": "a/b"}, "tracking.project"),
        ({"entity": "a#b"}, "tracking.entity"),
        ({"images": "yes"}, "true or false"),
        ({"images_every": 0}, "images_every=0 must be a whole number"),
        ({"images_every": True}, "images_every=True must be"),
        ({"level": "sumary"}, "did you mean 'summary'"),
        ({"tags": 3}, "a tag or a list of tags"),
        ({"tags": ["a", ""]}, "1 to 64 characters"),
        ({"tags": ["a" * 65]}, "1 to 64 characters"),
        ({"timeout": 0}, "above 0"),
        ({"timeout": float("nan")}, "above 0"),
        ({"timeout": "30"}, "above 0"),
    ],
)
def test_settings_that_cannot_be_used_are_named(values, said):
    with pytest.raises(BadInput, match=said):
        TrackingSpec(**values)


def test_knobs_that_there_are_not_are_named():
    assert TrackingSpec.from_knobs({"mode": "offline", "images": False}) == TrackingSpec(mode="offline", images=False)
    with pytest.raises(BadInput) as refused:
        TrackingSpec.from_knobs({"mode": "offline", "projet": "x"})
    assert str(refused.value) == (
        "tracking.projet is not a knob; tracking has mode, project, entity, tags, level, images, images_every, "
        "timeout; did you mean 'project'?"
    )


@pytest.mark.parametrize("mode", ["auto", "online", "offline", "disabled"])
def test_every_choice_in_conf_is_a_tracking_spec(mode):
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        chosen = compose(overrides=[f"+tracking={mode}"]).tracking
    assert TrackingSpec(**chosen) == TrackingSpec(mode=mode)


def test_a_tag_may_be_one_text():
    assert TrackingSpec(tags="pilot").tags == ("pilot",)
    assert TrackingSpec(tags=["a", "b"]).tags == ("a", "b")
