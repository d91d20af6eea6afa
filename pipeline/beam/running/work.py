"""The work folder of a job, in which each block records its result or its failure."""

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
    """A unit of work with its own sidecar: a block, or another part of a job's work."""

    @property
    def index(self) -> int:
        """Its number."""

    @property
    def bytes(self) -> int:
        """The amount of work, for the progress bar."""


@dataclass(frozen=True)
class Part:
    """A unit that consists only of its number and its size."""

    index: int
    bytes: int


class RunIsOver(Exception):
    """Raised if the folder now belongs to another run: workers of an earlier run must not write there any more."""


class WorkerFault(Exception):
    """Raised if a unit failed because of a bug in this program or in a user's function; has the worker's traceback."""


@dataclass(frozen=True)
class WorkFolder:
    """A folder with a sidecar for each finished block, and a note for each that failed.

    A runner may keep workers of an abandoned run alive while another run uses the folder. So each sidecar contains its
    key, sidecars with other keys are ignored, and a worker stops once the folder no longer belongs to its run.

    Attributes:
        path: the folder.
        kind: the kind of units; several kinds may share a folder.
        key: the key of valid sidecars: SHA-256 over everything that determines their contents.
        run_id: the run to which the folder must belong; "" disables the check.
    """

    path: str
    kind: str = "block"
    key: str = ""
    run_id: str = ""

    def begin(self, run: Mapping[str, Any]) -> None:
        """Creates the folder and assigns it to a run, by a note; `check_run` checks the note's "run".

        Raises:
            OutputError: if it cannot be created.
        """
        files.make_directory(self.path)
        files.write_atomically(files.join(self.path, _RUN_NAME), json.dumps(run).encode())

    def begun(self) -> dict[str, Any] | None:
        """Returns the note of `begin`; None if there is none, and an empty dictionary if it cannot be read."""
        path = files.join(self.path, _RUN_NAME)
        if not files.exists(path):
            return None
        return _as_mapping(files.read(path))

    def check_run(self) -> None:
        """Checks that the folder still belongs to the run.

        Raises:
            RunIsOver: if it does not.
        """
        if self.run_id and (self.begun() or {}).get("run") != self.run_id:
            raise RunIsOver(self.path)

    def done_name(self, index: int) -> str:
        """Returns the file name of a finished block's sidecar."""
        return f"{self.kind}-{index:05d}.json"

    def failed_name(self, index: int) -> str:
        """Returns the file name of a failed block's note."""
        return f"{self.kind}-{index:05d}.failed.json"

    def mark_done(self, index: int, result: Any) -> None:
        """Marks a block as finished, with `result`, plain values.

        Raises:
            RunIsOver: if the folder no longer belongs to the run.
        """
        self.check_run()
        files.remove(files.join(self.path, self.failed_name(index)))
        self._write(self.done_name(index), {"result": result})

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = files.join(self.path, name)
        with files.write_file(path, before_naming=self.check_run) as writer:
            writer.write(json.dumps({"key": self.key, **content}).encode())

    def _read(self, name: str) -> dict[str, Any]:
        """Reads a sidecar or a note; returns an empty dictionary if its key differs, or it is damaged or missing."""
        try:
            content = _as_mapping(files.read(files.join(self.path, name)))
        except InputError:
            return {}
        return content if content.get("key") == self.key else {}

    def is_done(self, index: int) -> bool:
        """Returns whether a block is finished."""
        return files.exists(files.join(self.path, self.done_name(index))) and self.result(index) is not None

    def result(self, index: int) -> Any:
        """Returns the result of a block; None if it is not finished."""
        return self._read(self.done_name(index)).get("result")

    def results(self, indices: Sequence[int]) -> dict[int, Any]:
        """Returns the results of those blocks of `indices` that are finished, by index."""
        there = set(files.list_names(self.path))
        finished = [index for index in indices if self.done_name(index) in there]
        # On an object store, reading a small file is mostly waiting.
        with ThreadPoolExecutor(_READ_AT_ONCE) as pool:
            results = zip(finished, pool.map(self.result, finished), strict=True)
            return {index: result for index, result in results if result is not None}

    def mark_failed(self, index: int, error: Exception) -> None:
        """Records the reason why a block failed; must be called while the error is being handled.

        Raises:
            RunIsOver: if the folder no longer belongs to the run.
        """
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        # A full disk or a lack of memory is not a bug.
        is_fault = not isinstance(error, (UserError, OSError, MemoryError))
        note = {"message": message, "fault": is_fault, "traceback": traceback.format_exc()}
        self._write(self.failed_name(index), note)

    def failure(self, index: int) -> str | None:
        """Returns the reason why a block failed, if it recorded one."""
        return self._read(self.failed_name(index)).get("message")

    def fault(self, indices: Sequence[int]) -> str | None:
        """Returns the traceback of the first of these failures that the user cannot fix."""
        notes = (self._read(self.failed_name(index)) for index in indices)
        return next((note["traceback"] for note in notes if note.get("fault")), None)

    def clear(self) -> None:
        """Removes the folder and its contents."""
        # The run's note first: workers that outlive the run then write nothing more.
        for name in [_RUN_NAME, *files.list_names(self.path)]:
            files.remove(files.join(self.path, name))
        with contextlib.suppress(OSError):  # Such a worker may have just written a file.
            files.remove(self.path)


def _as_mapping(data: bytes) -> dict[str, Any]:
    """Parses a JSON object; returns an empty one if the data are not JSON, such as a truncated file."""
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
