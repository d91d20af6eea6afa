"""The work folder of a job: what each block left there, which tells what is finished and what failed."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline import files
from pipeline.errors import InputError, UserError

_RUN_NAME = "run.json"
_READ_AT_ONCE = 32


class Unit(Protocol):
    """What a sidecar stands for: a block, or another part of a job's work."""

    @property
    def index(self) -> int:
        """Its place among the others."""

    @property
    def bytes(self) -> int:
        """How much work it is, for the progress bar."""


@dataclass(frozen=True)
class Part:
    """A unit that is nothing but its place and its size."""

    index: int
    bytes: int


class RunIsOver(Exception):
    """The folder is another run's by now: a worker that has outlived its own must leave nothing there."""


class WorkerFault(Exception):
    """A unit failed by a fault of this program, or of a function of the user's; with the worker's traceback."""


@dataclass(frozen=True)
class WorkFolder:
    """A folder of sidecars: one for each finished block, and a note for each that failed.

    A runner may keep workers of a run going that was given up, while another run is at work in the folder. So each
    sidecar says whose it is, others are taken for absent, and a worker stops once the folder is no longer its run's.

    Attributes:
        path: the folder.
        kind: what the sidecars are of; several kinds may share a folder.
        key: what the sidecars must be of to count: SHA-256 over all that decides what they say.
        run_id: the run whose folder it must be; "" does not ask.
    """

    path: str
    kind: str = "block"
    key: str = ""
    run_id: str = ""

    def begin(self, run: Mapping[str, Any]) -> None:
        """Makes the folder that of a run, which is noted in it; its "run" is what `check_run` asks for.

        Raises:
            OutputError: if it cannot be made.
        """
        files.make_directory(self.path)
        files.write_atomically(files.join(self.path, _RUN_NAME), json.dumps(run).encode())

    def begun(self) -> dict[str, Any] | None:
        """What `begin` noted; None if nothing was begun, and an empty dictionary if the note cannot be read."""
        path = files.join(self.path, _RUN_NAME)
        if not files.exists(path):
            return None
        return _as_mapping(files.read(path))

    def check_run(self) -> None:
        """Makes sure that the folder is still that of the run.

        Raises:
            RunIsOver: if it is not.
        """
        if self.run_id and (self.begun() or {}).get("run") != self.run_id:
            raise RunIsOver(self.path)

    def done_name(self, index: int) -> str:
        """File name of the sidecar of a finished block."""
        return f"{self.kind}-{index:05d}.json"

    def failed_name(self, index: int) -> str:
        """File name of the note of a block that failed."""
        return f"{self.kind}-{index:05d}.failed.json"

    def mark_done(self, index: int, result: Any) -> None:
        """Says that a block is finished, with `result`, plain values.

        Raises:
            RunIsOver: if the folder is no longer the run's.
        """
        self.check_run()
        files.remove(files.join(self.path, self.failed_name(index)))
        self._write(self.done_name(index), {"result": result})

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = files.join(self.path, name)
        with files.write_file(path, before_naming=self.check_run) as writer:
            writer.write(json.dumps({"key": self.key, **content}).encode())

    def _read(self, name: str) -> dict[str, Any]:
        """A sidecar or a note; empty if it is another run's, damaged, or gone."""
        try:
            content = _as_mapping(files.read(files.join(self.path, name)))
        except InputError:
            return {}
        return content if content.get("key") == self.key else {}

    def is_done(self, index: int) -> bool:
        """Whether a block is finished."""
        return files.exists(files.join(self.path, self.done_name(index))) and self.result(index) is not None

    def result(self, index: int) -> Any:
        """What a finished block left; None if it is not finished."""
        return self._read(self.done_name(index)).get("result")

    def results(self, indices: Sequence[int]) -> dict[int, Any]:
        """What the blocks of `indices` left, as far as they are finished, by index."""
        there = set(files.list_names(self.path))
        finished = [index for index in indices if self.done_name(index) in there]
        # On an object store, reading a small file is mostly waiting.
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            results = zip(finished, pool.map(self.result, finished), strict=True)
            return {index: result for index, result in results if result is not None}

    def mark_failed(self, index: int, error: Exception) -> None:
        """Leaves the reason for which a block failed; to be called where the error is handled.

        Raises:
            RunIsOver: if the folder is no longer the run's.
        """
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        # A disk or a memory that is full is no fault of the program.
        is_fault = not isinstance(error, (UserError, OSError, MemoryError))
        note = {"message": message, "fault": is_fault, "traceback": traceback.format_exc()}
        self._write(self.failed_name(index), note)

    def failure(self, index: int) -> str | None:
        """The reason for which a block failed, if it left one."""
        return self._read(self.failed_name(index)).get("message")

    def fault(self, indices: Sequence[int]) -> str | None:
        """The traceback of the first of these failures that the user cannot put right."""
        notes = (self._read(self.failed_name(index)) for index in indices)
        return next((note["traceback"] for note in notes if note.get("fault")), None)

    def clear(self) -> None:
        """Removes the folder and all that is in it."""
        # The note of the run first: workers that have outlived it then leave nothing more.
        for name in [_RUN_NAME, *files.list_names(self.path)]:
            files.remove(files.join(self.path, name))
        with contextlib.suppress(OSError):  # One of them was about to.
            files.remove(self.path)


def _as_mapping(data: bytes) -> dict[str, Any]:
    """A JSON object; empty where the data are none, as a file that was cut is none."""
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
