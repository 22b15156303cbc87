"""Tracking: what a real offline run holds, and that no failure or hang of W&B costs more than one warning."""

from __future__ import annotations

import http.server
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reno.spec.errors import BadInput
from reno.tracking import NullTracker, TrackingSpec, TrialCard, apart, folder, logged, make_tracker, tracker
from tests.tracking.offline_runs import read_back

ROOT = Path(__file__).resolve().parent.parent.parent
KEY = "0123456789abcdef0123456789abcdef01234567"  # has the form of a key, and belongs to nobody
IDS = [digit * 64 for digit in "abc"]
CONFIG = {
    "prompt": "a gold bench and a green clock",
    "optimizer": {"name": "adam", "lr": 0.01},
    "seed": 42,
    "clip": None,
}


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No key, settings or W&B variables of the person who runs the tests; nothing kept between tests."""
    for name in list(os.environ):
        if name.startswith("WANDB_"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    for name, value in (("HOME", home), ("USERPROFILE", home), ("NETRC", home / ".netrc")):
        monkeypatch.setenv(name, str(value))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(tracker, "_hung", "")


@pytest.fixture
def results(tmp_path) -> Path:
    return tmp_path / "the results"


def card(trial_id: str, **changes) -> TrialCard:
    values = {"name": "gold bench", "group": "study", "job_type": "clip", "config": CONFIG, "tags": ("dev",)}
    return TrialCard(trial_id, **{**values, **changes})


def picture(iteration: int) -> np.ndarray:
    image = np.zeros((16, 24, 3), np.uint8)
    image[..., iteration % 3] = iteration % 256
    return image


def show(tracker, ids, iterations=51, pause=0.0, finish=True) -> None:
    """Show whole trials, in turn at each iteration as a batch does."""
    for trial_id in ids:
        tracker.start(card(trial_id))
    for iteration in range(iterations):
        for place, trial_id in enumerate(ids):
            values = {"loss": 90.0 - iteration - place, "score": 10.0 + iteration, "grad_norm": None}
            tracker.log(trial_id, iteration, values, picture(iteration))
        time.sleep(pause)
    for trial_id in ids if finish else ():
        tracker.finish(trial_id, {"score/best": 60.0, "bound": True, "verdict": "bound", "absent": None})


def directories(results: Path, trial_id: str = "") -> list[Path]:
    return sorted(path for path in (results / "wandb").glob("*run-*") if trial_id in path.name)


def no_key_in(folder: Path) -> bool:
    return not any(KEY.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


# --- what a run holds ---------------------------------------------------------------------------------------


def test_interleaved_offline_runs_hold_every_row_image_and_setting(results, capfd):
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(), results, warnings.append)
    show(tracker, IDS)
    lines = tracker.close()

    assert warnings == []
    assert capfd.readouterr() == ("", "")
    assert list(Path.cwd().iterdir()) == []
    assert [len(directories(results, trial_id)) for trial_id in IDS] == [1, 1, 1]
    for place, trial_id in enumerate(IDS):
        (directory,) = directories(results, trial_id)
        assert directory.name.startswith("offline-run-")
        records = read_back(directory)

        (run,) = records["run"]
        assert run["run_id"] == trial_id
        assert (run["display_name"], run["run_group"], run["job_type"], run["project"], run["tags"]) == (
            "gold bench", "study", "clip", "reno", ["dev"],
        )  # fmt: skip
        config = run["config"]["update"]
        config.pop("_wandb")
        assert config == CONFIG
        assert {"name": "iteration", "options": {"defined": True}} in records["metric"]
        assert any(m.get("glob_name") == "*" and m["step_metric"] == "iteration" for m in records["metric"])

        rows = [record["item"] for record in records["history"]]
        assert [row["iteration"] for row in rows] == list(range(51))
        assert [row["loss"] for row in rows] == [90.0 - iteration - place for iteration in range(51)]
        assert [row["score"] for row in rows] == [10.0 + iteration for iteration in range(51)]
        assert not any("grad_norm" in row for row in rows)
        for row in rows:
            with Image.open(directory / "files" / row["image.path"]) as image:
                assert np.array_equal(np.array(image), picture(row["iteration"]))

        summary = {name: v for record in records["summary"] for name, v in record.get("update", {}).items()}
        assert summary["score/best"] == 60.0
        assert summary["bound"] is True
        assert summary["verdict"] == "bound"
        assert "absent" not in summary
        assert records["exit"][-1].get("exit_code", 0) == 0
        assert json.loads((results / "wandb" / "logged" / f"{trial_id}.json").read_text()) == {
            "mode": "offline",
            "directory": directory.name,
        }

    (line,) = lines
    assert line.startswith(f"Weights & Biases: 3 runs offline in {results / 'wandb'}; to upload: ")
    command = shlex.split(line.split("to upload: ")[1])
    said = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=60).stderr
    assert "Would sync 3 run(s)" in said


def test_a_failed_trial_ends_failed_and_is_not_logged(results):
    tracker = make_tracker(TrackingSpec(mode="offline", images=False), results, pytest.fail)
    show(tracker, IDS[:1], iterations=2, finish=False)
    tracker.finish(IDS[0], {"score/initial": 1.0}, failed="the gradient is zero")
    tracker.close()
    (directory,) = directories(results)
    records = read_back(directory)
    summary = {name: v for record in records["summary"] for name, v in record.get("update", {}).items()}
    assert summary["failed"] == "the gradient is zero"
    assert records["exit"][-1]["exit_code"] == 1
    assert not any("image.path" in record["item"] for record in records["history"])
    assert not logged(results, IDS[0])


@pytest.mark.parametrize("text", ["", "../a\n'b' \"c\" <script>", "\N{TABLE TENNIS PADDLE AND BALL} " * 99])
def test_any_text_and_any_number_is_taken(results, text):
    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    config = {"prompt": text, text: 1}
    tracker.start(card(IDS[0], name=text, group=text, job_type=text, tags=(text, text, "dev"), config=config))
    tracker.log(IDS[0], 0, {"loss": float("nan"), "score": float("-inf")}, picture(0))
    tracker.finish(IDS[0], {"score/best": float("inf"), "text": text})
    tracker.close()
    (run,) = read_back(*directories(results))["run"]
    assert run["config"]["update"]["prompt"] == text
    assert logged(results, IDS[0])


@pytest.mark.slow
def test_what_an_interrupted_process_left_is_replaced(results):
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from test_tracking import *\n"
        "tracker = make_tracker(TrackingSpec(mode='offline'), Path(sys.argv[1]), print)\n"
        "show(tracker, IDS[:2], iterations=3, finish=False); tracker.finish(IDS[1], {})\n"
        "while not logged(Path(sys.argv[1]), IDS[1]): time.sleep(0.05)\n"
        "os._exit(9)\n"
    )
    command = [sys.executable, "-c", script, str(results), str(ROOT / "tests" / "tracking")]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60).returncode == 9
    (left,) = directories(results, IDS[0])
    (other,) = directories(results, IDS[1])
    assert [logged(results, trial_id) for trial_id in IDS[:2]] == [False, True]
    while (claim := folder.claim(results, IDS[0])) is None:  # W&B's process sees that its parent is gone, and ends
        time.sleep(0.02)
    folder.release(results, IDS[0], claim)

    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    show(tracker, IDS[:1], iterations=4)
    tracker.close()
    (again,) = directories(results, IDS[0])
    assert len(read_back(again)["history"]) == 4
    assert left != again or len(read_back(left)["history"]) == 4
    assert directories(results, IDS[1]) == [other]
    assert logged(results, IDS[0])


def test_a_trial_open_in_another_worker_is_left_to_it(results):
    mine = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    mine.start(card(IDS[0]))
    while not directories(results):
        time.sleep(0.02)
    other = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    other.start(card(IDS[0]))
    other.log(IDS[0], 0, {"loss": 1.0}, None)
    other._background.drain(20)  # not closed: that would end the W&B service of this process
    show(mine, IDS[:1], iterations=2)
    assert len(mine.close()) == 1
    assert len(directories(results)) == 1
    assert logged(results, IDS[0])


def test_log_returns_at_once(results):
    tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
    tracker.start(card(IDS[0]))
    image = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    started = time.monotonic()
    for iteration in range(51):
        tracker.log(IDS[0], iteration, {"loss": 1.0}, image)
    assert time.monotonic() - started < 1.0  # encoding these PNGs takes two seconds
    tracker.finish(IDS[0], {})
    tracker.close()
    assert logged(results, IDS[0])


# --- which mode ---------------------------------------------------------------------------------------------


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


class Server(http.server.ThreadingHTTPServer):
    """As much of a W&B server as a run needs to be taken."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.rows: dict[str, list[dict]] = {}
        self.images = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer: dict = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            variables, answer = asked["variables"], {"data": {}}
            if "upsertBucket" in asked["query"]:
                project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "lab"}}
                bucket = {"id": "r", "name": variables["name"], "config": "{}", "project": project}
                answer = {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}
            elif "createRunFiles" in asked["query"]:
                files = [{"name": n, "uploadUrl": f"{self.server.url}/{n}"} for n in variables["files"]]
                made = {"runID": "r", "uploadHeaders": [], "files": files}
                answer = {"data": {"createRunFiles": made}}
        elif self.path.endswith("/file_stream"):
            history = json.loads(body).get("files", {}).get("wandb-history.jsonl", {"content": []})
            rows = self.server.rows.setdefault(self.path.split("/")[-2], [])
            rows.extend(map(json.loads, history["content"]))
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_PUT(self) -> None:
        self.server.images += self.path.endswith(".png")
        self.do_POST()


@pytest.mark.parametrize("place", ["environment", "netrc"])
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


# --- a process of its own ----------------------------------------------------------------------------------


def test_wandb_is_in_another_process_which_the_next_job_has_again(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)  # an import of it fails here
    monkeypatch.setattr(apart, "_idle", [])
    pids = []
    for trial_id in IDS[:2]:
        tracker = make_tracker(TrackingSpec(mode="offline"), results, pytest.fail)
        show(tracker, [trial_id], iterations=2)
        tracker.close()
        pids.append(apart._idle[0][1].pid)
    assert pids[0] == pids[1]
    assert all(logged(results, trial_id) for trial_id in IDS[:2])
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tracker = make_tracker(TrackingSpec(), results, pytest.fail)
    show(tracker, IDS[2:], iterations=2)
    tracker.close()
    assert apart._idle[0][1].pid != pids[0] and not logged(results, IDS[2])


def test_its_end_costs_one_warning_and_leaves_nothing_locked(results, fake_wandb):
    fake_wandb("log", "import os; os._exit(1)")
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline"), results, warnings.append)
    show(tracker, IDS, iterations=30)
    assert "given up" in tracker.close()[-1]
    assert len(warnings) == 1 and "run.log failed: its process ended" in warnings[0]
    folder.release(results, IDS[0], folder.claim(results, IDS[0]))


# --- a W&B that fails or hangs ------------------------------------------------------------------------------


FAKE = """
import time
from types import SimpleNamespace as Settings

def call(name, answer=None):
    def made(*_, **__):
        if name == FAULTY:
            HOW
        return answer
    return made

def init(id, dir, **_):
    call("init")()
    calls = {name: call(name) for name in ("define_metric", "log", "finish")}
    return Settings(**calls, summary={}, sync_dir=f"{dir}/wandb/offline-run-{id}")

Image = lambda image: image
setup = call("setup", Settings(settings=Settings(mode="offline")))
login = call("login", False)
teardown = call("teardown")
"""
BROKEN = "raise OSError(28, 'No space left on device')"
HANGING = "time.sleep(60)"


@pytest.fixture
def fake_wandb(tmp_path, monkeypatch):
    """A module with wandb's face, in wandb's place, whose call `faulty` does `how`."""

    def put(faulty: str, how: str) -> None:
        (tmp_path / "fake").mkdir()
        (tmp_path / "fake" / "wandb.py").write_text(FAKE.replace("FAULTY", repr(faulty)).replace("HOW", how))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))

    return put


CALLS = ["setup", "init", "define_metric", "log", "finish"]


@pytest.mark.parametrize("fails", [*CALLS, "teardown"])
def test_a_call_that_fails_costs_one_warning(results, fake_wandb, fails):
    fake_wandb(fails, BROKEN)
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline"), results, warnings.append)
    started = time.monotonic()
    show(tracker, IDS, iterations=300)
    lines = tracker.close()
    assert time.monotonic() - started < 5
    assert len(warnings) == 1
    assert f"{fails} failed: OSError" in warnings[0] and "No space left" in warnings[0]
    assert "given up" in lines[-1] and str(results) in lines[-1]
    assert not list((results / "wandb" / "open").glob("*"))
    if fails != "teardown":
        assert not any(logged(results, trial_id) for trial_id in IDS)


@pytest.mark.parametrize("hangs", [*CALLS, "teardown"])
def test_a_call_that_hangs_costs_one_warning_and_its_timeout(results, fake_wandb, hangs):
    fake_wandb(hangs, HANGING)
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline", timeout=0.5), results, warnings.append)
    started = time.monotonic()
    show(tracker, IDS, iterations=300)  # more rows than may wait
    lines = tracker.close()
    assert time.monotonic() - started < 4
    assert len(warnings) == 1 and f"{hangs} " in warnings[0] and "0.5 s" in warnings[0]
    assert "given up" in lines[-1] and str(results) in lines[-1]

    started = time.monotonic()
    tracker.log(IDS[0], 0, {"loss": 1.0}, None)
    after = make_tracker(TrackingSpec(mode="offline", timeout=0.5), results, warnings.append)
    show(after, IDS, iterations=300)  # the next job of the sweep
    assert "given up" in after.close()[0]
    assert time.monotonic() - started < 0.5
    assert len(warnings) == 1


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the W&B service through /proc")
def test_the_interpreter_exits_although_the_service_hangs(results):
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2]); from test_tracking import *\n"
        "tracker = make_tracker(TrackingSpec(mode='offline', timeout=2), Path(sys.argv[1]), print)\n"
        "tracker.start(card(IDS[0]))\n"
        "while not directories(Path(sys.argv[1])): time.sleep(0.05)\n"
        "time.sleep(0.3)\n"
        "(own,) = children(os.getpid())\n"
        "(service,) = [pid for pid in children(own) if 'wandb-core' in Path(f'/proc/{pid}/cmdline').read_text()]\n"
        "os.kill(service, signal.SIGSTOP)\n"
        "print('service', service, flush=True)\n"
        "tracker.log(IDS[0], 0, {'loss': 1.0}, picture(0)); tracker.finish(IDS[0], {})\n"
        "print(tracker.close(), flush=True)\n"
        "print('end', time.time(), flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(results), str(ROOT / "tests" / "tracking")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(results.parent / "said", "w+") as said:  # a file: the stopped service would hold a pipe open
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            assert process.wait(timeout=30) == 0
            ended = time.time()
        finally:
            process.kill()
            said.seek(0)
            text = said.read()
            if "service " in text:
                pid = int(text.split("service ")[1].split()[0])
                os.kill(pid, 18)  # SIGCONT: it then sees that its parent is gone, and ends
    assert text.count("is given up") == 1, text
    assert "Traceback" not in text
    assert ended - float(text.split("end ")[1].split()[0]) < 2


def test_a_folder_that_cannot_be_made_costs_one_warning(results):
    results.write_text("a file where the folder should be")
    warnings: list[str] = []
    tracker = make_tracker(TrackingSpec(mode="offline"), results, warnings.append)
    show(tracker, IDS, iterations=2)
    assert "given up" in tracker.close()[0]
    assert len(warnings) == 1


# --- settings -----------------------------------------------------------------------------------------------


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
        "tracking.projet is not a knob; tracking has mode, project, entity, images, timeout; did you mean 'project'?"
    )


@pytest.mark.parametrize("mode", ["auto", "online", "offline", "disabled"])
def test_every_choice_in_conf_is_a_tracking_spec(mode):
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        chosen = compose(overrides=[f"+tracking={mode}"]).tracking
    assert TrackingSpec(**chosen) == TrackingSpec(mode=mode)
