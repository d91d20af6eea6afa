"""A sentence splitter that tells who calls it, for the processes of clusters; each finds it by its PYTHONPATH.

It is handed to the job as any user's own would be: --sentence-splitter watched:split.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pipeline.text.sentences import split_sentences


def split(document: str) -> list[str]:
    """Splits as by default, notes this process's id, and takes a while; or is killed, where the test says so, once."""
    folder = Path(os.environ["WATCHED_FOLDER"])
    if not document.startswith("It rained."):  # What a splitter is tried with before the job.
        with (folder / f"{os.getpid()}.pid").open("a") as notes:
            notes.write(".")
        time.sleep(float(os.environ.get("WATCHED_SECONDS", "0")))
        if os.environ.get("WATCHED_VICTIM", "nobody") in document:
            _die_once(folder / "killed")
    return split_sentences(document)


def _die_once(note: Path) -> None:
    try:
        os.close(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
