"""A stand-in for the model hub: an HTTP server on this machine that speaks what huggingface_hub asks for a download.

It is spoken to by the real library. Routes: a model's files at a revision, its pull requests, a revision's commits, and
`resolve`, by which a file is told (HEAD) and sent (GET); weights are LFS objects on another path, as on the hub.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


def commit(text: str) -> str:
    """A commit's 40 digits."""
    return hashlib.sha1(text.encode()).hexdigest()


@dataclass
class Repository:
    """A model on the stand-in. A commit is named by its digits."""

    commits: dict[str, dict[str, bytes]]
    """Contents of the files, by commit and path."""
    branches: dict[str, str]
    """Commits, by branch, tag or refs/pr/N."""
    parents: dict[str, str] = field(default_factory=dict)
    requests: list[dict] = field(default_factory=list)
    """Pull requests: num, author, status."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes to claim instead of the true ones, by path."""
    refuses: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """Status and headers to answer with, by kind of request: info, discussions, file."""
    cuts: set[str] = field(default_factory=set)
    """Kinds of request at which the connection is cut."""
    knows_metadata: bool = True
    """Whether it tells sizes and object ids, which some mirrors do not."""


class StandInHub:
    """The server and what is on it. `asked` has every request, as `METHOD path`."""

    def __init__(self) -> None:
        self.models: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        hub = self

        class BoundAnswer(HubAnswer):
            stand_in = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), BoundAnswer)
        self._server.daemon_threads = True
        port = self._server.server_address[1]
        self.address, self.storage = f"http://127.0.0.1:{port}", f"http://localhost:{port}"  # another host, as a CDN is
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fetched(self) -> set[str]:
        """The paths of the files that were fetched. Each is told before it is sent."""
        told = (line.partition("/resolve/")[2] for line in self.asked if line.startswith("HEAD "))
        return {unquote(place.partition("/")[2]) for place in told}


class HubAnswer(BaseHTTPRequestHandler):
    stand_in: StandInHub
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet: a second one would wait for the first one's receipt

    def log_message(self, *_) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        self.stand_in.asked.append(f"{self.command} {url.path}")
        self.stand_in.tokens.add(self.headers.get("authorization"))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|commits)/([^/]+)|/(discussions))?", url.path):
            name, kind, revision, discussions = match.groups()
            self._api(name, discussions or kind or "revision", unquote(revision or "main"), parse_qs(url.query))
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", url.path):
            self._resolve(match[1], unquote(match[2]), unquote(match[3]))
        elif match := re.fullmatch(r"/objects/([^/]+/[^/]+)/([0-9a-f]{64})", url.path):
            self._object(match[1], match[2])
        else:
            self._send(404, b"not here")

    def _api(self, name: str, what: str, revision: str, query: dict) -> None:
        kind = {"revision": "info"}.get(what, what)
        model = self.stand_in.models.get(name)
        if model is None:
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if self._is_refused(model, kind):
            return None
        if what == "discussions":
            return self._json({"count": len(model.requests), "start": 0, "discussions": [
                {"title": "Adding `safetensors` variant of this model", "num": one["num"], "status": one["status"],
                 "author": {"name": one["author"]}, "createdAt": "2023-01-01T00:00:00.000Z",
                 "repo": {"name": name, "type": "model"}, "isPullRequest": True}
                for one in model.requests
            ]})  # fmt: skip
        found = model.branches.get(revision, revision)
        if found not in model.commits:
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if what == "commits":
            return self._json([{"id": one, "title": "", "message": "", "authors": [], "date": "2023-01-01T00:00:00Z"}
                               for one in (found, model.parents.get(found)) if one])  # fmt: skip
        told = "blobs" in query and model.knows_metadata
        siblings = [_sibling(path, content, model, told) for path, content in model.commits[found].items()]
        return self._json({"id": name, "modelId": name, "sha": found, "siblings": siblings})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        model = self.stand_in.models[name]
        if self._is_refused(model, "file"):
            return
        content = model.commits[model.branches.get(revision, revision)][path]
        head = {"X-Repo-Commit": revision}
        if path.endswith(".safetensors"):
            digest = hashlib.sha256(content).hexdigest()
            head |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
            self._send(302, b"", {**head, "Location": f"{self.stand_in.storage}/objects/{name}/{digest}"})
        else:
            self._send(200, content, {**head, "ETag": f'"{_git_id(content)}"'})

    def _object(self, name: str, digest: str) -> None:
        model = self.stand_in.models[name]
        for files in model.commits.values():
            for content in files.values():
                if hashlib.sha256(content).hexdigest() == digest:
                    return self._send(200, content, {"ETag": f'"{digest}"'}, cut="object" in model.cuts)
        return self._send(404, b"")

    def _is_refused(self, model: Repository, kind: str) -> bool:
        if kind in model.cuts:
            self.close_connection = True
            self.connection.close()
            return True
        if kind in model.refuses:
            status, headers = model.refuses[kind]
            self._send(status, headers.get("body", "{}").encode(), headers)
            return True
        return False

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            if name != "body":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if cut:
            self.close_connection = True
        elif self.command == "GET":
            self.wfile.write(content)


def _git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _sibling(path: str, content: bytes, model: Repository, told: bool) -> dict:
    if not told:
        return {"rfilename": path}
    size = model.sizes.get(path, len(content))
    one = {"rfilename": path, "size": size, "blobId": _git_id(content)}
    if path.endswith((".safetensors", ".bin")):
        one["lfs"] = {"size": size, "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 135}
    return one
