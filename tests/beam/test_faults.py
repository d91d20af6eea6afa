"""The command itself, as users run it, where machines, disks and inputs fail."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Contents = Callable[[str | Path], dict[str, str]]
Command = Callable[..., list[str]]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(documents: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents a hundred times, in other orders: about 2 MB."""
    draw = random.Random(11)
    copies = (draw.sample(document, len(document)) for _ in range(100) for document in documents)
    path = tmp_path_factory.mktemp("texts") / "text.txt"
    path.write_text("\n\n".join(map("\n".join, copies)) + "\n")
    return path


@pytest.fixture(scope="module")
def command(vocabulary_path: str) -> Command:
    """Makes the command for a corpus of a few dozen blocks."""

    def make(text: Path, output: Path, *, block_bytes: int = 65536) -> list[str]:
        words = [sys.executable, "-m", "pipeline", "corpus", "--no-progress", "--workers", "2", "--format", "bert"]
        words += ["--input", str(text), "--output", str(output), "--vocab", vocabulary_path]
        return [*words, "--block-bytes", str(block_bytes), "--dupe-factor", "10"]

    return make


def run(command: list[str]) -> tuple[int, str]:
    """Runs a command; its exit code and what it wrote to standard error, of which nothing is a traceback."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def shards(contents: Contents, output: Path) -> dict[str, str]:
    return {name: digest for name, digest in contents(output).items() if name.endswith((".tfrecord", ".tfrecord.gz"))}


@pytest.fixture(scope="module")
def undisturbed(text: Path, command: Command, contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus as it is to be."""
    output = tmp_path_factory.mktemp("undisturbed") / "corpus"
    assert run(command(text, output))[0] == 0
    assert len(shards(contents, output)) > 50
    return output


def check_is_as_undisturbed(contents: Contents, output: Path, undisturbed: Path) -> None:
    assert contents(output).keys() == contents(undisturbed).keys()
    assert shards(contents, output) == shards(contents, undisturbed)


def check_final_names_hold_what_is_right(contents: Contents, output: Path, undisturbed: Path) -> int:
    """No shard is under its final name but whole; returns how many there are."""
    found = {name: digest for name, digest in shards(contents, output).items() if not name.startswith(".")}
    assert found.items() <= shards(contents, undisturbed).items()
    return len(found)


# === Processes that are killed ===


def processes_of(session: int) -> list[int]:
    """The processes of a session, its leader first."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit():
                state, _, _, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(its_session) == session and state != "Z":
                    found.append(int(entry.name))
    return sorted(found, key=lambda pid: (pid != session, pid))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
def test_whatever_is_killed_the_same_command_finishes_the_same_corpus(
    text: Path, command: Command, contents: Contents, undisturbed: Path, tmp_path: Path
) -> None:
    """Twenty times, at a random moment, a random process of the command is killed: launcher or worker."""
    draw = random.Random(5)
    output = tmp_path / "corpus"
    kills = finished = 0
    killed_launchers = killed_workers = 0
    while kills < 20:
        with (tmp_path / "errors").open("w") as errors:
            process = subprocess.Popen(
                command(text, output), cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=errors
            )
        # Once the workers are there the moments count; but some are to fall before.
        if draw.random() < 0.8:
            wait_until(lambda of=process: len(processes_of(of.pid)) >= 3 or of.poll() is not None)
        time.sleep(draw.random() * 3)
        alive = processes_of(process.pid)
        if process.poll() is None and alive:
            victim = draw.choice(alive) if draw.random() < 0.5 else alive[0]
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            kills += 1
            killed_launchers += victim == process.pid
            killed_workers += victim != process.pid
        process.wait(timeout=300)  # A command of which a worker was killed may well finish; it never waits for nothing.
        assert "Traceback" not in (tmp_path / "errors").read_text()
        wait_until(lambda pid=process.pid: not processes_of(pid))  # No worker outlives its launcher.
        check_final_names_hold_what_is_right(contents, output, undisturbed)
        if (output / "manifest.json").exists():
            check_is_as_undisturbed(contents, output, undisturbed)
            finished += 1
            output = tmp_path / f"corpus-{finished}"
    assert killed_launchers
    assert killed_workers
    assert run(command(text, output))[0] == 0
    check_is_as_undisturbed(contents, output, undisturbed)


# === Disks ===


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB: room for a few blocks."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if _mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)):
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> int:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 127


def test_a_full_disk(text: Path, command: Command, contents: Contents, undisturbed: Path, small_disk: Path) -> None:
    output = small_disk / "corpus"
    code, errors = run(command(text, output))
    assert code == 2
    assert f"Cannot write {output}/" in errors
    assert "No space left on device" in errors
    assert "Finished work is kept: fix the problem and run the same command again" in errors
    assert not (output / "manifest.json").exists()
    assert not list(output.rglob("*.tmp"))
    kept = check_final_names_hold_what_is_right(contents, output, undisturbed)
    assert 0 < kept < len(shards(contents, undisturbed))
    assert _mount("-o", "remount,size=200m", str(small_disk)) == 0
    code, errors = run(command(text, output))
    assert code == 0
    assert "of them finished earlier" in errors
    check_is_as_undisturbed(contents, output, undisturbed)


def test_a_disk_that_cannot_be_written_to(text: Path, command: Command, small_disk: Path) -> None:
    assert _mount("-o", "remount,ro", str(small_disk)) == 0
    code, errors = run(command(text, small_disk / "corpus"))
    assert code == 2
    assert f"Cannot create the output directory {small_disk}/corpus. Received: Read-only file system" in errors
    assert list(small_disk.iterdir()) == []


# === Inputs ===


def test_an_input_that_is_gone_when_its_block_is_made(
    text: Path, command: Command, contents: Contents, tmp_path: Path
) -> None:
    """Two files: while blocks of the first are made, the second disappears; then it comes back."""
    first, second = tmp_path / "texts" / "a.txt", tmp_path / "texts" / "b.txt"
    first.parent.mkdir()
    data = text.read_bytes()
    half = data.index(b"\n\n", len(data) // 2) + 2
    first.write_bytes(data[:half])
    second.write_bytes(data[half:])
    words = command(first.parent, tmp_path / "corpus")
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    work = tmp_path / "corpus" / ".blocks"
    wait_until(lambda: bool(list(work.glob("block-*.json"))) or process.poll() is not None)
    second.rename(tmp_path / "b.txt")
    _, errors = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert f"Cannot read {second}. Received: No such file or directory" in errors
    assert not (tmp_path / "corpus" / "manifest.json").exists()
    (tmp_path / "b.txt").rename(second)
    code, errors = run(words)
    assert code == 0
    assert "of them finished earlier" in errors
    assert run(command(first.parent, tmp_path / "again"))[0] == 0
    check_is_as_undisturbed(contents, tmp_path / "corpus", tmp_path / "again")


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_gzip_file_among_others(
    text: Path, command: Command, contents: Contents, tmp_path: Path, damage: str
) -> None:
    """Its block fails and names it; the others are made, and kept when it has been put right."""
    folder = tmp_path / "texts"
    folder.mkdir()
    data = text.read_bytes()
    for number in range(4):
        (folder / f"{number}.txt.gz").write_bytes(
            gzip.compress(data[number * 400_000 : (number + 1) * 400_000], mtime=0)
        )
    code, errors = run(command(folder, tmp_path / "right", block_bytes=100_000))
    assert code == 0, errors
    victim = folder / "2.txt.gz"
    whole = victim.read_bytes()
    middle = len(whole) // 2
    victim.write_bytes(whole[:middle] if damage == "cut" else whole[:middle] + b"\x00\xff\x00" + whole[middle + 3 :])
    code, errors = run(command(folder, tmp_path / "corpus", block_bytes=100_000))
    assert code == 2
    assert "1 of 4 blocks failed: block 2" in errors
    assert f"{victim} is not a complete gzip file" in errors
    assert len(list((tmp_path / "corpus").glob("train-*"))) == 3
    assert not list((tmp_path / "corpus").rglob("*.tmp"))
    victim.write_bytes(whole)
    code, errors = run(command(folder, tmp_path / "corpus", block_bytes=100_000))
    assert code == 0
    # A file that was cut has another size: another plan, and a fresh start.
    assert ("3 of them finished earlier" in errors) == (damage == "flipped")
    assert ("contains an unfinished corpus with other options or inputs; starting over" in errors) == (damage == "cut")
    check_is_as_undisturbed(contents, tmp_path / "corpus", tmp_path / "right")
