"""A small Hugging Face hub on this machine: what `huggingface_hub` asks of the real one to list and download files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest


class Hub:
    """Models by name, each with the files of its commits, and branches.

    Attributes:
        endpoint: the address, for HF_ENDPOINT.
        asked: the paths that were asked for, in their order.
        tokens: the token that a private model asks for, by the model's name.
        gated: the models whose files nobody gets.
    """

    def __init__(self) -> None:
        self.endpoint = ""
        self.asked: list[str] = []
        self.tokens: dict[str, str] = {}
        self.gated: set[str] = set()
        self._commits: dict[str, dict[str, dict[str, bytes]]] = {}
        self._branches: dict[str, dict[str, str]] = {}

    def commit(self, name: str, contents: Mapping[str, bytes], *, branch: str = "main") -> str:
        """Puts a model's files on a branch; returns the commit."""
        files = dict(contents)
        digest = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self._commits.setdefault(name, {})[digest] = files
        self._branches.setdefault(name, {})[branch] = digest
        return digest

    def commit_folder(self, name: str, folder: Path, *, branch: str = "main") -> str:
        """Puts the files of a directory on a branch; returns the commit."""
        return self.commit(name, {path.name: path.read_bytes() for path in folder.iterdir()}, branch=branch)

    def downloads(self) -> list[str]:
        """The names of the files that were asked for."""
        return sorted({path.rpartition("/")[2] for path in self.asked if "/resolve/" in path})

    def answer(self, path: str, token: str) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body of an answer."""
        self.asked.append(path)
        parts = [unquote(part) for part in path.partition("?")[0].strip("/").split("/")]
        is_api = parts[:2] == ["api", "models"]
        parts = parts[2:] if is_api else parts
        name, rest = "/".join(parts[:2]), parts[2:]
        commits = self._commits.get(name)
        if commits is None or (name in self.tokens and token != f"Bearer {self.tokens[name]}"):
            return 401, {"X-Error-Code": "RepoNotFound"}, b""
        revision = rest[1] if len(rest) > 1 else "main"
        digest = self._branches[name].get(revision, revision)
        files = commits.get(digest)
        if files is None:
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        if is_api and rest[:1] == ["tree"]:
            tree = [
                {"type": "file", "path": each, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for each, data in files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
        if is_api:
            about = {"id": name, "sha": digest, "siblings": [{"rfilename": each} for each in files]}
            return 200, {"Content-Type": "application/json"}, json.dumps(about).encode()
        if name in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        data = files.get("/".join(rest[2:]))
        if data is None:
            return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": digest}, b""
        return 200, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": digest}, data


@contextmanager
def serving_hub() -> Iterator[Hub]:
    """Serves a hub for the length of a `with` block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(endpoint: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Does what HF_ENDPOINT and HF_HOME do when the library is imported, for the length of a test."""
    import huggingface_hub.constants as constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
