"""A server on this machine that answers a run as W&B's would."""

from __future__ import annotations

import http.server
import json
import threading


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
