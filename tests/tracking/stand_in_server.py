"""A server on this machine that answers runs, sweeps and agents as W&B's would."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import yaml

SWEEP = "s33p"


@dataclass
class ServedRun:
    """What the server knows of one run."""

    asked: dict[str, Any] = field(default_factory=dict)
    """What the client last said of it: name, group, jobType, tags, sweep, ..."""
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None


class Server(http.server.ThreadingHTTPServer):
    """As much of a W&B server as a run, `wandb sweep` and `wandb agent` need. A sweep is a grid, and its jobs are given
    to agents one after the other."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.runs: dict[str, ServedRun] = {}
        self.images = 0
        self.artifacts: list[dict[str, Any]] = []
        self.sweep: dict[str, Any] | None = None
        self.waiting: list[dict[str, Any]] = []
        self.given: list[str] = []
        """The ids of the runs that agents were told to start."""
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def rows(self) -> dict[str, list[dict]]:
        return {name: run.rows for name, run in self.runs.items()}

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of one GraphQL operation; empty for one that nobody needs an answer to."""
        for name in ("upsertBucket", "createRunFiles", "upsertSweep", "createAgent", "agentHeartbeat"):
            if name in query:
                return {name: getattr(self, name)(variables)}
        if "createArtifact(" in query:
            self.artifacts.append(variables)
            sequence = {"id": "s", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        if "query ArtifactType" in query:
            return {"project": {"artifact": None}}
        if "query RunResumeStatus" in query:
            return {"model": self._to_resume(variables)}
        if "sweep(sweepName" in query:
            return {"project": {"sweep": self._sweep()}}
        if "viewer" in query:
            entities = {"edges": []}
            return {"viewer": {"id": "v", "username": "me", "entity": "lab", "email": "", "teams": entities,
                               "flags": "{}", "admin": False, "deletedAt": None, "apiKeys": entities}}  # fmt: skip
        return {}

    def upsertBucket(self, asked):
        run = self.runs.setdefault(asked["name"], ServedRun())
        known = bool(run.asked)
        run.asked |= {key: value for key, value in asked.items() if value is not None}
        told = {key: one["value"] for key, one in json.loads(asked.get("config") or "{}").items()}
        run.config |= {key: value for key, value in told.items() if key != "_wandb"}
        project = {"id": "p", "name": asked["project"], "entity": {"id": "e", "name": asked.get("entity") or "lab"}}
        config = json.dumps({key: {"value": value} for key, value in run.config.items()})
        bucket = {
            "id": "r",
            "name": asked["name"],
            "config": config,
            "project": project,
            "sweepName": asked.get("sweep"),
        }
        return {"bucket": bucket, "inserted": not known}

    def _to_resume(self, asked):
        """What a client that resumes a run is told of it."""
        run = self.runs.get(asked["name"])
        config = json.dumps({key: {"value": value} for key, value in run.config.items()}) if run else ""
        bucket = run and {
            "id": "r", "name": asked["name"], "displayName": run.asked["displayName"], "config": config, "tags": [],
            "summaryMetrics": json.dumps(run.summary), "historyLineCount": len(run.rows), "logLineCount": 0,
            "eventsLineCount": 0, "historyTail": json.dumps([json.dumps(row) for row in run.rows[-1:]]),
            "eventsTail": "[]", "wandbConfig": '{"t": 1}',
        }  # fmt: skip
        return {"id": "m", "name": asked["project"], "entity": {"id": "e", "name": "lab"}, "bucket": bucket}

    def createRunFiles(self, asked):
        files = [{"name": name, "uploadUrl": f"{self.url}/{name}"} for name in asked["files"]]
        return {"runID": "r", "uploadHeaders": [], "files": files}

    def upsertSweep(self, asked):
        self.sweep = yaml.safe_load(asked["config"])
        names = list(self.sweep["parameters"])
        values = [self.sweep["parameters"][name]["values"] for name in names]
        self.waiting = [dict(zip(names, one, strict=True)) for one in itertools.product(*values)]
        project = {"id": "p", "name": asked["projectName"], "entity": {"id": "e", "name": asked["entityName"] or "lab"}}
        return {"sweep": {"name": SWEEP, "project": project}, "configValidationWarnings": []}

    def _sweep(self):
        return {"id": "S", "name": SWEEP, "method": "grid", "state": "RUNNING", "description": None,
                "config": yaml.safe_dump(self.sweep), "createdAt": "2026-01-01T00:00:00", "heartbeatAt": None,
                "updatedAt": None, "earlyStopJobRunning": False, "bestLoss": None, "controller": None,
                "scheduler": None, "runs": {"edges": []}}  # fmt: skip

    def createAgent(self, asked):
        return {"agent": {"id": "agent"}}

    def agentHeartbeat(self, asked):
        """The next job, once the agent has none that runs; the order to exit, once there are no more."""
        commands: list[dict[str, Any]] = []
        with self.lock:
            if not json.loads(asked["runState"]):
                if self.waiting:
                    run = f"job{len(self.given)}run"
                    self.given.append(run)
                    told = {name: {"value": value} for name, value in self.waiting.pop(0).items()}
                    commands.append({"type": "run", "run_id": run, "program": self.sweep["program"], "args": told})
                else:
                    commands.append({"type": "exit"})
        return {"agent": {"id": "agent"}, "commands": json.dumps(commands)}


class Answer(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer: dict = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            answer = {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            self._take(self.server.runs.setdefault(self.path.split("/")[-2], ServedRun()), json.loads(body))
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _take(self, run: ServedRun, streamed: dict[str, Any]) -> None:
        files = streamed.get("files") or {}
        run.rows.extend(map(json.loads, files.get("wandb-history.jsonl", {"content": []})["content"]))
        for line in files.get("wandb-summary.json", {"content": []})["content"]:
            run.summary |= json.loads(line)
        if streamed.get("complete"):
            run.exit_code = streamed.get("exitcode")

    def do_PUT(self) -> None:
        self.server.images += self.path.endswith(".png")
        self.do_POST()
