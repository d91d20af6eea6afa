from __future__ import annotations

import contextlib
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.beam.running import progress
from pipeline.beam.running.progress import watch_folder

SIZES = {f"block-{i}.json": 1000 * (i + 1) for i in range(4)}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(terminal: Terminal, pattern: str) -> None:
    deadline = time.monotonic() + 10
    while not re.search(pattern, terminal.getvalue()):
        assert time.monotonic() < deadline, terminal.getvalue()
        time.sleep(0.01)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOOKS", 0.01)
    return Terminal()


@contextlib.contextmanager
def watching(folder: Path, terminal: Terminal, *, enabled: bool = True) -> Iterator[None]:
    with (
        contextlib.redirect_stderr(terminal),
        watch_folder(str(folder), SIZES, unit="B", kind="block", description="corpus", enabled=enabled),
    ):
        yield


def test_the_bar_moves_while_files_appear(tmp_path: Path, terminal: Terminal) -> None:
    with watching(tmp_path, terminal):
        wait_for(terminal, r"corpus: +0%.*0\.00/10\.0k")
        (tmp_path / "block-2.json").write_text("{}")
        wait_for(terminal, r"30%.*3\.00k/10\.0k.*1/4 blocks")
        (tmp_path / "something-else.json").write_text("{}")
        (tmp_path / "block-3.json").write_text("{}")
        wait_for(terminal, r"70%.*2/4 blocks")
    assert "100%" not in terminal.getvalue()


def test_the_last_look_is_at_the_end(tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LOOKS", 1000)
    with watching(tmp_path, terminal):
        for name in SIZES:
            (tmp_path / name).write_text("{}")
    assert re.search(r"100%.*10\.0k/10\.0k.*4/4 blocks", terminal.getvalue())


def test_an_error_passes_and_the_bar_is_closed(tmp_path: Path, terminal: Terminal) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        watching(tmp_path, terminal),
    ):
        raise KeyboardInterrupt
    assert terminal.getvalue().endswith("\n")


def test_a_look_that_fails_ends_nothing(tmp_path: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def fail(folder: str) -> list[str]:
        looks.append(folder)
        raise OSError("the network is away")

    monkeypatch.setattr(progress.files, "list_names", fail)
    with watching(tmp_path, terminal):
        deadline = time.monotonic() + 10
        while len(looks) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_no_bar_on_request(tmp_path: Path, terminal: Terminal) -> None:
    with watching(tmp_path, terminal, enabled=False):
        pass
    assert terminal.getvalue() == ""
