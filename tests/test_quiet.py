from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline.quiet import native_stderr_to

ROOT = Path(__file__).parents[1]
START = """
import logging, os, subprocess, sys, tempfile, threading
from pipeline.quiet import native_stderr_to, start_tensorflow
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script of its own process; standard error is a pipe there, as in a shell."""
    return subprocess.run([sys.executable, "-c", START + script], cwd=ROOT, capture_output=True, text=True, check=False)


def test_native_output_goes_to_the_log_and_pythons_to_the_user() -> None:
    done = run(
        """
with tempfile.TemporaryFile() as log:
    os.write(2, b"before\\n")
    with native_stderr_to(log):
        os.write(2, b"native\\n")
        subprocess.run([sys.executable, "-c", "import sys; print('child', file=sys.stderr)"])
        print("for the user", file=sys.stderr)
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    os.write(2, b"after\\n")
    print("python after", file=sys.stderr)
    log.seek(0)
    print(log.read().decode(), end="")
"""
    )
    native, child, *thread = done.stdout.splitlines()
    assert (native, child, thread[-1]) == ("native", "child", "ZeroDivisionError: division by zero")
    assert done.stderr.splitlines() == ["before", "for the user", "after", "python after"]


def test_an_error_puts_everything_back() -> None:
    done = run(
        """
stderr = sys.stderr
try:
    with tempfile.TemporaryFile() as log, native_stderr_to(log):
        raise ValueError
except ValueError:
    assert sys.stderr is stderr
os.write(2, b"back\\n")
"""
    )
    assert (done.returncode, done.stderr) == (0, "back\n")


def test_a_logger_made_meanwhile_still_reaches_the_user() -> None:
    done = run(
        """
with tempfile.TemporaryFile() as log, native_stderr_to(log):
    logging.getLogger("x").addHandler(logging.StreamHandler())
logging.getLogger("x").error("later")
"""
    )
    assert done.stderr == "later\n"


def test_within_one_another() -> None:
    done = run(
        """
with tempfile.TemporaryFile() as outer, tempfile.TemporaryFile() as inner:
    with native_stderr_to(outer):
        with native_stderr_to(inner):
            os.write(2, b"inner\\n")
            print("user", file=sys.stderr)
        os.write(2, b"outer\\n")
    for log in (outer, inner):
        log.seek(0)
        print(log.read().decode(), end="")
"""
    )
    assert (done.stdout, done.stderr) == ("outer\ninner\n", "user\n")


def test_python_output_that_goes_elsewhere_is_left_alone() -> None:
    done = run(
        """
with tempfile.TemporaryFile() as log, tempfile.TemporaryFile("w+") as notebook:
    sys.stderr = notebook
    with native_stderr_to(log):
        os.write(2, b"native\\n")
        print("for the user", file=sys.stderr)
    sys.stderr = sys.__stderr__
    for stream in (log, notebook):
        stream.seek(0)
        print(stream.read())
"""
    )
    assert done.stdout == "b'native\\n'\nfor the user\n\n"
    assert done.stderr == ""


def test_a_closed_standard_error() -> None:
    done = run(
        """
os.close(2)
with tempfile.TemporaryFile() as log, native_stderr_to(log):
    print("on")
"""
    )
    assert (done.returncode, done.stdout) == (0, "on\n")


def test_standard_error_that_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with tempfile.TemporaryFile() as log, native_stderr_to(log):
        print("for the user", file=sys.stderr)
    assert stream.getvalue() == "for the user\n"


def test_tensorflow_starts_without_a_word() -> None:
    done = run("start_tensorflow()\nprint('tensorflow' in sys.modules)")
    assert (done.stdout, done.stderr) == ("True\n", "")
