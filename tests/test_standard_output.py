from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.manifest import read_manifest

ROOT = Path(__file__).parents[1]
PRINTING = """
import sys
from pathlib import Path
from pipeline import cli
from pipeline.commands import stats
def run(arguments):
    print("né " * 100_000)
    Path(sys.argv[1]).write_text("done")
    return 0
stats._run = run
cli._VERBS = (stats,)
sys.exit(cli.main(["stats", "x"]))
"""


def run(path: Path, redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f'"{sys.executable}" -c "$SCRIPT" "{path}" {redirection}'
    values = os.environ | {"SCRIPT": PRINTING, **environment}
    return subprocess.run(["bash", "-c", command], cwd=ROOT, env=values, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_output_loses_no_work(tmp_path: Path) -> None:
    done = run(tmp_path / "x", "> /dev/full")
    assert (tmp_path / "x").read_text() == "done"
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "mlm-pipeline: error: Standard output could not be written completely. Received: No space left on device."
        " Everything else that the command had to do is done."
    ]


def test_a_closed_output_is_no_error(tmp_path: Path) -> None:
    done = run(tmp_path / "x", ">&-")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x").read_text() == "done"


@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-", "2> >(head -c 1 > /dev/null)"])
def test_an_error_output_that_cannot_be_written_to_loses_no_work(
    redirection: str, tmp_path: Path, vocabulary_path: str
) -> None:
    """Progress bars, messages, workers, and what native code writes."""
    text = tmp_path / "text.txt"
    text.write_text("".join(f"It is the year {year}. The next one follows.\n\n" for year in range(200)))
    command = f'"{sys.executable}" -m pipeline corpus --input "{text}" --vocab "{vocabulary_path}" --workers 2'
    values = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0"}
    script = f'{command} --output "{tmp_path}/out" {redirection}'
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=values, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert read_manifest(str(tmp_path / "out")).shards
    script = f'{command} --output "{tmp_path}/other" --masked-lm-prob 7 {redirection}'
    assert subprocess.run(["bash", "-c", script], cwd=ROOT, check=False, capture_output=True).returncode == 2


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    done = run(tmp_path / "x", "| head -c 12; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "né né né ")
    assert (tmp_path / "x").read_text() == "done"  # Work goes on.


def test_a_locale_without_the_character_is_no_error(tmp_path: Path) -> None:
    done = run(tmp_path / "x", "", PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("n\\u00e9 n\\u00e9 ")  # As in JSON, which stays JSON.
