"""As much of a W&B server as its real client needs: it takes runs, tables and files, and remembers which runs."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Server(ThreadingHTTPServer):
    """Listens on a free local port; `taken` are ids of runs, one for each time that a run was begun."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.taken: list[str] = []
        self.broken = False

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are no news."""

    def data(self, query: str, given: dict[str, Any]) -> dict[str, Any]:
        """What a GraphQL query is answered with; nothing to those whose answer no one needs."""

        def file(name: str) -> dict[str, Any]:
            url = f"{self.address}/upload/{name}"
            return {"id": name, "name": name, "displayName": name, "uploadUrl": url, "uploadHeaders": []}

        if "UpsertBucket" in query:
            if given["name"] not in self.taken[-1:]:
                self.taken.append(given["name"])
            project = {"id": "p", "name": "modelgif", "entity": {"id": "e", "name": "me"}}
            bucket = {"id": "r", "name": given["name"], "config": "{}", "project": project, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "Viewer" in query:
            return {"viewer": {"id": "v", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if "query ArtifactType" in query:
            return {"project": None}
        if "mutation CreateArtifact " in query:
            artifact = {"id": "a", "state": "PENDING", "artifactSequence": {"id": "s", "latestArtifact": None}}
            return {"createArtifact": {"artifact": artifact}}
        if "CreateArtifactManifest" in query:
            return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file("manifest")}}}
        if "CreateArtifactFiles" in query:
            names = [each["name"] for each in given["input"]["artifactFiles"]]
            edges = [{"node": file(name) | {"storagePath": name, "artifact": {"id": "a"}}} for name in names]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if "CommitArtifact" in query:
            return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
        if "CreateRunFiles" in query:
            files = [file(name) for name in given["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {}


class Answer(BaseHTTPRequestHandler):
    """Everything that is no query is taken."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        """One request."""
        body, status, content = self.body(), 200, b"{}"
        if self.path == "/graphql":
            asked = json.loads(body)
            if self.server.broken and "UpsertBucket" in asked["query"]:
                status, content = 400, b'{"errors": [{"message": "no more room"}]}'
            else:
                content = json.dumps({"data": self.server.data(asked["query"], asked.get("variables") or {})}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = answer

    def body(self) -> bytes:
        """What was sent, whole and unpacked."""
        content = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server that listens inside."""
    with Server() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
