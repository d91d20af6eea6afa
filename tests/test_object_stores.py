"""Corpora on servers of the protocols of S3 and Google's store: written, killed, continued, read. Text by HTTP."""

from __future__ import annotations

import functools
import http.server
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipeline import files
from pipeline.errors import InputError, OutputError

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a server that this environment's processes take for S3."""
    import boto3
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # A line for every request.
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        yield client
    server.stop()


@pytest.fixture(scope="module")
def gs() -> Iterator[None]:
    """A server that this environment's processes take for Google's."""
    server_module = pytest.importorskip("gcp_storage_emulator.server", reason="make test-engines has it")
    logging.getLogger("gcp_storage_emulator").setLevel(logging.ERROR)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = server_module.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("NO_GCE_CHECK", "true")  # This is no machine of Google's, whose credentials to ask for.
        yield
    server.stop()


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue(request.param)
    return f"{request.param}://bucket"


def objects(directory: str) -> dict[str, bytes]:
    return {name: files.read(f"{directory}/{name}") for name in files.list_names(directory)}


def corpus(texts: str, output: str, vocabulary: str) -> list[str]:
    words = [sys.executable, "-m", "pipeline", "corpus", "--input", texts, "--output", output, "--vocab", vocabulary]
    words += "--max-seq-length 48 --max-predictions-per-seq 8 --dupe-factor 40 --block-bytes 4000 --workers 2".split()
    return [*words, "--validation-fraction", "0.2", "--no-progress"]


def run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_a_corpus_is_killed_goes_on_and_is_read(
    bucket: str, write_texts: Callable[[Path], str], vocabulary_path: str, tmp_path: Path
) -> None:
    texts, out = write_texts(tmp_path / "texts"), f"{bucket}/corpus"
    run(corpus(texts, str(tmp_path / "local"), vocabulary_path))
    local = {path.name: path.read_bytes() for path in (tmp_path / "local").iterdir()}
    for path in [*Path(texts).iterdir(), Path(vocabulary_path)]:
        files.write_atomically(f"{bucket}/{path.parent.name}/{path.name}", path.read_bytes())
    command = corpus(f"{bucket}/texts/*.txt", out, f"{bucket}/{Path(vocabulary_path).parent.name}/vocab.txt")
    assert files.list_names(f"{bucket}/texts") == ["one.txt", "two.txt"]

    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 300
    while not any(name.startswith("block-") for name in files.list_names(f"{out}/.blocks")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = objects(out)
    assert "manifest.json" not in left
    for name, data in left.items():  # What is there under a final name is complete.
        assert not name.startswith("train-") or data == local[name]

    assert "of them finished earlier" in run(command)
    made = objects(out)
    assert made.keys() == local.keys()
    assert not files.list_names(f"{out}/.blocks")
    assert {name for name in made if made[name] != local[name]} == {"manifest.json"}
    assert "Nothing to do" in run(command)

    if bucket.startswith("gs://"):
        return  # TensorFlow reads it itself, from nowhere but Google.
    from pipeline.training.configs import DataConfig
    from pipeline.training.data.loader import build_dataset

    batches = [
        list(build_dataset(DataConfig(input_path=path, is_training=True, seed=1)).take(5).as_numpy_iterator())
        for path in (out, str(tmp_path / "local"))
    ]
    for one, other in zip(*batches, strict=True):
        assert {name: array.tobytes() for name, array in one.items()} == {
            name: array.tobytes() for name, array in other.items()
        }


def write_half(path: str) -> None:
    with files.write_file(path) as writer:
        writer.write(b"half")
        raise RuntimeError


def test_s3(s3: Any) -> None:
    files.write_atomically("s3://bucket/small/empty", b"")
    files.write_atomically("s3://bucket/small/full", bytes(range(256)) * 30_000)  # Two parts.
    files.write_atomically("s3://bucket/small/full", bytes(range(256)) * 40_000)
    assert files.list_names("s3://bucket/small") == ["empty", "full"]
    assert [info.bytes for info in files.match(["s3://bucket/small"])] == [0, 256 * 40_000]
    with (
        files.open_read("s3://bucket/small/full", 256 * 20_000 + 7) as one,
        files.open_read("s3://bucket/small/full") as two,
    ):
        assert (one.read(2), two.read(2), one.read(2)) == (b"\x07\x08", b"\0\1", b"\x09\x0a")
    assert files.read("s3://bucket/small/empty") == b""
    assert files.read_range("s3://bucket/small/full", 255, 3) == b"\xff\0\1"
    assert files.checksum("s3://bucket/small/full") != files.checksum("s3://bucket/small/empty")
    with pytest.raises(RuntimeError):
        write_half("s3://bucket/small/half")
    files.remove("s3://bucket/small/full")
    assert files.list_names("s3://bucket/small") == ["empty"]
    # The process that was killed has left others.
    uploads = s3.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
    assert not [upload["Key"] for upload in uploads if upload["Key"].startswith("small/")]
    with pytest.raises(InputError, match="Cannot read s3://bucket/small/full"):
        files.read("s3://bucket/small/full")


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves files and ranges of them, and fails once for each file."""

    failed: ClassVar[set[str]] = set()
    has_ranges = True

    def do_GET(self) -> None:
        path, asked = Path(self.translate_path(self.path)), self.headers.get("Range", "")
        if path.is_dir() or not (self.has_ranges and asked):
            return super().do_GET()
        if self.path not in self.failed:
            self.failed.add(self.path)
            return self.send_error(503)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        data = path.read_bytes()
        part = data[int(first) : int(last or len(data)) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        return None

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def served(request: pytest.FixtureRequest, write_texts: Callable[[Path], str], tmp_path: Path) -> Iterator[str]:
    """The address of a server that lists its directories, and serves two texts."""
    write_texts(tmp_path / "texts")
    kind = type("Handler", (Ranges,), {"has_ranges": request.param, "failed": set()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_text_by_http(served: str, vocabulary_path: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """By a glob, where the server lists its directories, and by addresses; the server fails at times."""
    run(corpus(str(tmp_path / "texts"), str(tmp_path / "local"), vocabulary_path))
    local = {path.name: path.read_bytes() for path in (tmp_path / "local").glob("*.tfrecord")}
    for number, addresses in enumerate([f"{served}/texts/*.txt", f"{served}/texts/one.txt {served}/texts/two.txt"]):
        out = tmp_path / f"http-{number}"
        words = corpus("TEXTS", str(out), vocabulary_path)
        at = words.index("TEXTS")
        words[at : at + 1] = addresses.split()
        if "no ranges" in request.node.name:
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600)
            assert done.returncode == 2
            assert "doesn't appear to support range requests" in done.stderr
            assert "Traceback" not in done.stderr
            return
        run(words)
        assert {path.name: path.read_bytes() for path in out.glob("*.tfrecord")} == local
    with pytest.raises(InputError, match="Cannot read"):
        files.read(f"{served}/texts/none.txt")
    with pytest.raises(OutputError, match="Cannot write"):
        files.write_atomically(f"{served}/texts/new.txt", b"x")


def test_a_missing_bucket_is_one_clear_line(s3: Any, vocabulary_path: str, tmp_path: Path) -> None:
    command = corpus("s3://nowhere/*.txt", str(tmp_path / "out"), vocabulary_path)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "must name at least one file. Received: 's3://nowhere/*.txt'" in done.stderr
    assert "Traceback" not in done.stderr
