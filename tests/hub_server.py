"""A stand-in for the Hugging Face hub on this machine: the endpoints that publishing and loading a model speak to."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_ofTheTests0123456789"  # of the user ann
LICENSES = {"apache-2.0", "cc-by-4.0", "cc-by-sa-4.0", "mit", "other"}


@dataclass
class Repository:
    """A repository: its commits, each all of its files, and its branches."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    large: set[str] = field(default_factory=set)  # files that came by LFS

    def commit(self, added: dict[str, bytes], branch: str = "main", message: str = "") -> str:
        """A commit on top of a branch; its name."""
        files = {**self.commits.get(self.branches.get(branch, ""), {}), **added}
        parts = [f"{name} {hashlib.sha1(data).hexdigest()}" for name, data in sorted(files.items())]
        name = hashlib.sha1(f"{len(self.commits)} {parts}".encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        self.messages.append(message)
        return name

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, or itself."""
        return self.branches.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Hub:
    """What the stand-in holds, and what it was asked: method, path and whether a token came along."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, bool]] = field(default_factory=list)
    failure: int | None = None  # the status that every request gets
    url: str = ""

    def add(self, name: str, files: dict[str, bytes], **options: bool) -> Repository:
        """A repository with one commit."""
        found = self.repositories.setdefault(name, Repository(**options))
        found.commit(files)
        return found

    def downloads(self) -> list[str]:
        """The files that were sent, by name."""
        return [path.rpartition("/")[2] for method, path, _ in self.asked if method == "GET" and "/resolve/" in path]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.user = "ann" if self.headers.get("Authorization") == f"Bearer {TOKEN}" else None
        self.hub.asked.append((method, path, "Authorization" in self.headers))
        if self.hub.failure:
            self._send(self.hub.failure, {"error": "out of order"})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif match := re.fullmatch(r"/lfs/([0-9a-f]{64})", path):
            self._keep(match[1], body)
        elif match := re.fullmatch(r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", path):
            self._batch(json.loads(body))
        elif match := re.fullmatch(r"/api/models/([\w.-]+/[\w.-]+)(?:/(\w+)/(.+))?", path):
            self._model(match[1], match[2] or "revision", match[3] or "main", body)
        elif match := re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)", path):
            self._file(match[1], match[2], match[3])
        else:
            self._send(404, {"error": "no such endpoint"})

    def _send(self, status: int, value: Any = None, *, data: bytes | None = None, **headers: str) -> None:
        body = json.dumps(value).encode() if data is None else data
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json" if data is None else "application/octet-stream")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str = "") -> None:
        self._send(status, {"error": code or "no"}, **({"X_Error_Code": code} if code else {}))

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if self.user is None or asked["organization"] != self.user:
            self._error(401 if self.user is None else 403)
            return
        new = name not in self.hub.repositories
        if new:
            self.hub.repositories[name] = Repository(private=asked.get("visibility") == "private")
        self._send(200 if new else 409, {"url": f"{self.hub.url}/{name}", "error": "" if new else "it exists"})

    def _validate(self, content: str) -> None:
        """As the hub checks the head of a card: it must be there, and name a licence that is known."""
        head = yaml.safe_load(content.split("---")[1]) if content.startswith("---\n") else None
        if head is None or ("license" in head and head["license"] not in LICENSES):
            self._send(400, {"errors": [{"message": '"license" must be one of the known'}], "warnings": []})
        else:
            self._send(200, {"errors": [], "warnings": []})

    def _keep(self, oid: str, body: bytes) -> None:
        good = hashlib.sha256(body).hexdigest() == oid
        if good:
            self.hub.objects[oid] = body
        self._send(200 if good else 422, {})

    def _batch(self, asked: dict[str, Any]) -> None:
        assert asked["operation"] == "upload" and "basic" in asked["transfers"]
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}"}}}
            for each in asked["objects"]
            if self.user
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _reachable(self, name: str) -> Repository | None:
        """The repository, if whoever asks may see it; else an answer was sent."""
        found = self.hub.repositories.get(name)
        if found is None or (found.private and name.split("/")[0] != self.user):
            self._error(404 if self.user else 401, "RepoNotFound")
            return None
        if found.gated:
            self._error(403, "GatedRepo")
            return None
        return found

    def _model(self, name: str, what: str, rest: str, body: bytes) -> None:
        found = self._reachable(name)
        if found is None:
            return
        if what in ("preupload", "commit", "branch"):
            if name.split("/")[0] != self.user:
                self._error(403)
                return
            getattr(self, f"_{what}")(found, name, rest, body)
            return
        commit = found.resolve(rest)
        if commit is None:
            self._error(404, "RevisionNotFound")
        elif what == "tree":
            self._send(200, [_entry(path, data, path in found.large) for path, data in found.commits[commit].items()])
        else:
            siblings = [{"rfilename": path} for path in found.commits[commit]]
            self._send(200, {"id": name, "sha": commit, "private": found.private, "siblings": siblings, "tags": []})

    def _preupload(self, found: Repository, name: str, revision: str, body: bytes) -> None:
        def told(path: str) -> dict[str, Any]:
            large = path.endswith((".safetensors", ".png"))
            return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}

        self._send(200, {"files": [told(each["path"]) for each in json.loads(body)["files"]]})

    def _branch(self, found: Repository, name: str, branch: str, body: bytes) -> None:
        if branch in found.branches:
            self._error(409)
            return
        found.branches[branch] = found.branches.get("main", "")
        self._send(200, {})

    def _commit(self, found: Repository, name: str, branch: str, body: bytes) -> None:
        added, message = dict[str, bytes](), ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                added[value["path"]] = base64.b64decode(value["content"])
            else:
                added[value["path"]] = self.hub.objects[value["oid"]]
                found.large.add(value["path"])
        commit = found.commit(added, branch, message)
        self._send(200, {"success": True, "commitOid": commit, "commitUrl": f"{self.hub.url}/{name}/commit/{commit}"})

    def _file(self, name: str, revision: str, path: str) -> None:
        found = self._reachable(name)
        if found is None:
            return
        commit = found.resolve(revision)
        if commit is None:
            self._error(404, "RevisionNotFound")
        elif path not in found.commits[commit]:
            self._send(404, {}, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        else:
            data = found.commits[commit][path]
            etag = hashlib.sha256(data).hexdigest() if path in found.large else hashlib.sha1(data).hexdigest()
            self._send(200, data=data, ETag=f'"{etag}"', X_Repo_Commit=commit)


def _entry(path: str, data: bytes, large: bool) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if large:
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


@contextmanager
def serving() -> Iterator[Hub]:
    """The stand-in at an address of this machine, for as long as the block runs."""
    hub = Hub()
    handler = type("OwnHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
