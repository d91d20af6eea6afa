"""What the tests of engines share: a corpus made on this machine, and the same command on an engine."""

from __future__ import annotations

import base64
import bz2
import hashlib
import os
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from engines.clusters import Flink, free_port, wait_for

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Attributes:
        printed: what it wrote, to both streams.
        pids: the processes that did the work of it, by how many documents each has split.
        killed: whether one of them was killed in the middle.
    """

    printed: str
    pids: Mapping[int, int]
    killed: bool


def _done(printed: str, watched: Path) -> Done:
    pids = {int(path.stem): path.stat().st_size for path in watched.glob("*.pid")}
    return Done(printed, pids, (watched / "killed").exists())


@dataclass(frozen=True)
class Running:
    """A command that makes a corpus.

    Attributes:
        process: the command.
        log: the file of what it writes, to both streams.
        blocks: its work folder.
        watched: the folder in which `watched.split` leaves its notes.
    """

    process: subprocess.Popen[bytes]
    log: Path
    blocks: Path
    watched: Path

    def wait_for_a_block(self, seconds: float = 240) -> None:
        """Waits until the first block is finished."""
        deadline = time.monotonic() + seconds
        while not list(self.blocks.glob("block-*.json")):
            assert self.process.poll() is None, self.log.read_text()[-5000:]
            assert time.monotonic() < deadline, self.log.read_text()[-5000:]
            time.sleep(0.05)

    def end(self, seconds: float = 540) -> Done:
        """Waits for the command, which must succeed."""
        try:
            assert self.process.wait(seconds) == 0, self.log.read_text()[-5000:]
        finally:
            self.process.kill()
        return _done(self.log.read_text(), self.watched)


class Engines:
    """Runs the project's commands on a text, on this machine or on an engine.

    Args:
        folder: for everything that is made.
        texts: a directory of text.
        vocabulary: a vocabulary file.
        victim: words that stand in one document.
    """

    def __init__(self, folder: Path, texts: str, vocabulary: str, victim: str) -> None:
        self.folder, self._texts, self._vocabulary, self._victim = folder, texts, vocabulary, victim

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a command and of the workers that it has do the work."""
        folder = self.folder / f"{name}-watched"
        folder.mkdir(exist_ok=True)
        paths = [str(ROOT), str(HERE)]
        return os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "WATCHED_FOLDER": str(folder),
        }

    def corpus(self, name: str, *arguments: str, kill: bool = False, environment: dict[str, str] | None = None) -> Done:
        """Makes the corpus `name`, on two workers, with near duplicates dropped."""
        return self._run(name, self.corpus_words(name, *arguments), environment or self.workers(name, kill=kill))

    def begin(self, words: list[str], name: str, environment: dict[str, str]) -> Running:
        """Starts a command that makes the corpus `name`, and goes on meanwhile."""
        log = self.folder / f"{name}.printed"
        with log.open("wb") as printed:
            process = subprocess.Popen(words, cwd=self.folder, env=environment, stdout=printed, stderr=printed)
        return Running(process, log, self.folder / name / ".blocks", Path(environment["WATCHED_FOLDER"]))

    def corpus_words(self, name: str, *arguments: str, dedup: str = "near") -> list[str]:
        """The command that makes a corpus."""
        words = ["corpus", "--output", str(self.folder / name), "--vocab", self._vocabulary, "--dedup", dedup]
        words += "--max-seq-length 48 --max-predictions-per-seq 8 --dupe-factor 2 --validation-fraction 0.2".split()
        words += ["--sentence-splitter", "watched:split"]
        return self._command([*words, *arguments])

    def vocab(self, name: str, *arguments: str, environment: dict[str, str] | None = None) -> Done:
        """Learns the vocabulary `name`."""
        words = ["vocab", "--output", str(self.folder / name), "--vocab-size", "150", *arguments]
        return self._run(name, self._command(words), environment or self.environment(name))

    def workers(self, name: str, *, kill: bool = False) -> dict[str, str]:
        """The environment of workers that take their time, so that all get some work, one of which may be killed."""
        return self.environment(name) | {"WATCHED_SECONDS": "0.1", "WATCHED_VICTIM": self._victim if kill else "nobody"}

    def _command(self, words: list[str]) -> list[str]:
        command = [sys.executable, "-m", "pipeline", words[0], "--input", self._texts, "--block-bytes", "3000"]
        return [*command, *words[1:], "--workers", "2"]

    def _run(self, name: str, command: list[str], environment: dict[str, str]) -> Done:
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-5000:]
        return _done(done.stdout + done.stderr, Path(environment["WATCHED_FOLDER"]))

    def contents(self, name: str) -> dict[str, str]:
        """The SHA-256 of every file of a corpus, hidden ones too; not of the manifest, which names the directory."""
        return {
            str(path.relative_to(self.folder / name)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.folder / name).rglob("*"))
            if path.is_file() and path.name != "manifest.json"
        }


@pytest.fixture(scope="session")
def pickled() -> Callable[[Any, str], bytes]:
    """Tells what a step of a pipeline's proto carries: the pickle itself, of which Beam packs the bytes."""

    def read(proto: Any, step: str) -> bytes:
        from apache_beam.portability.api import beam_runner_api_pb2 as api

        transforms = [t for t in proto.components.transforms.values() if t.unique_name.startswith(step)]
        (urn,) = [t for t in transforms if t.spec.urn == "beam:transform:pardo:v1"]
        data = base64.b64decode(api.ParDoPayload.FromString(urn.spec.payload).do_fn.payload)
        return bz2.decompress(data) if data.startswith(b"BZ") else zlib.decompress(data)

    return read


@pytest.fixture(scope="session")
def engines(
    tmp_path_factory: pytest.TempPathFactory,
    write_texts: Callable[[Path], str],
    vocabulary_path: str,
    documents: list[list[str]],
) -> Engines:
    """A folder in which the corpus "local" and the vocabulary "local.txt" were made on this machine."""
    folder = tmp_path_factory.mktemp("engines")
    texts = write_texts(folder / "texts")
    victim = documents[-1][0]  # In the last block: others are finished by then.
    assert sum(victim in sentence for document in documents for sentence in document) == 1
    engines = Engines(folder, texts, vocabulary_path, victim)
    engines.corpus("local", environment=engines.environment("local"))
    engines.vocab("local.txt")
    return engines


@pytest.fixture(scope="session")
def check(engines: Engines) -> Callable[[str, Done], None]:
    """Checks that a corpus that an engine made is the one made on this machine, and that it was seen in the making."""

    def check(name: str, done: Done) -> None:
        assert engines.contents(name) == engines.contents("local")
        manifests = [(engines.folder / corpus / "manifest.json").read_text() for corpus in (name, "local")]
        statistics = [re.findall(r'"statistics": \{.*?\n \}', text, re.DOTALL) for text in manifests]
        assert len(statistics[0]) == 1
        assert statistics[0] == statistics[1]
        blocks = len(list((engines.folder / name).glob("train-*")))
        assert blocks > 6
        for description, kind in (("fingerprints", "fingerprint"), ("corpus", "block")):
            assert re.search(rf"{description}: 100%.*{blocks}/{blocks} {kind}s", done.printed)

    return check


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that are killed, with their children, when the test has ended."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen(command, start_new_session=True, **options))  # type: ignore[call-overload]
        return processes[-1]

    yield start
    for process in reversed(processes):
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            continue
        process.wait()


@pytest.fixture
def job_server(
    engines: Engines, started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> Callable[..., list[str]]:
    """Starts a job server, and a pool of SDK workers of which one may be killed; gives the options that lead to them.

    Its arguments are the name of the environment, the server's command, whose last word the port is put behind, and
    additions to the environment.
    """

    def start(
        name: str, command: list[str], *, kill: bool = False, variables: Mapping[str, str] | None = None
    ) -> list[str]:
        log = (tmp_path / "log").open("wb")
        environment = {**engines.workers(name, kill=kill), **(variables or {})}
        options = {"env": environment, "stdout": log, "stderr": log, "cwd": tmp_path}
        server, pool = free_port(), free_port()
        pool_command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"]
        started([*command[:-1], f"{command[-1]}{server}"], **options)
        started(pool_command, **options)
        wait_for(server)
        wait_for(pool)
        address = [f"--job_endpoint=localhost:{server}", f"--environment_config=localhost:{pool}"]
        return ["--runner=PortableRunner", "--environment_type=EXTERNAL", *address]

    return start


@pytest.fixture
def flink(engines: Engines, started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> Callable[..., Flink]:
    """Starts a cluster of Flink's, with a worker pool for each TaskManager, that is to make the corpus `name`."""

    def start(name: str, *, kill: bool = False, **options: Any) -> Flink:
        workers = engines.workers(name, kill=kill)
        if not kill:
            workers["WATCHED_SECONDS"] = "0.3"  # For each document, so that there is time to kill something.
        return Flink(tmp_path, started, workers, **options)

    return start


@pytest.fixture(scope="session")
def plain(engines: Engines) -> Mapping[str, str]:
    """The contents of a corpus without a search for duplicates, made on this machine."""
    engines.begin(engines.corpus_words("plain", dedup="none"), "plain", engines.environment("plain")).end()
    contents = engines.contents("plain")
    assert sum(name.startswith("train-") for name in contents) > 6
    return contents


@pytest.fixture
def begin(engines: Engines) -> Callable[..., Running]:
    """Starts the command that makes such a corpus, with Beam's options."""

    def start(name: str, *options: str) -> Running:
        return engines.begin(engines.corpus_words(name, *options, dedup="none"), name, engines.environment(name))

    return start
