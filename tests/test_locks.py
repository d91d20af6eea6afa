import os
import signal
import subprocess
import sys

import pytest

from pipeline.errors import OutputError
from pipeline.locks import locked

_HOLD = """
import sys, time
from pipeline.locks import locked
with locked(sys.argv[1], owner="the run"):
    print("held", flush=True)
    time.sleep(600)
"""


def _holder(path):
    process = subprocess.Popen([sys.executable, "-c", _HOLD, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_free_again_at_the_end(tmp_path):
    path = str(tmp_path / ".lock")
    for _ in range(2):
        with locked(path, owner="the run"):
            assert os.path.exists(path)
        assert not os.path.exists(path)


def test_another_process_is_refused_by_name(tmp_path):
    path = str(tmp_path / ".lock")
    holder = _holder(path)
    try:
        message = rf"is using the run out/x.*process {holder.pid} on "
        with pytest.raises(OutputError, match=message), locked(path, owner="the run out/x"):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_a_lock_dies_with_its_process(tmp_path):
    path = str(tmp_path / ".lock")
    holder = _holder(path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert os.path.exists(path)
    with locked(path, owner="the run"):
        pass


def test_one_process_may_not_lock_twice(tmp_path):
    path = str(tmp_path / ".lock")
    with locked(path, owner="the run"), pytest.raises(OutputError, match="is using"), locked(path, owner="the run"):
        pass


def test_nothing_is_locked_on_an_object_store():
    with locked("gs://bucket/.lock", owner="the run"):
        pass
