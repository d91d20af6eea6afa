from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipeline.manifest import Manifest, read_manifest

ROOT = Path(__file__).parents[3]


def test_an_environment_in_a_folder_with_spaces_and_quotes(
    text_files: str, vocabulary_path: str, tmp_path: Path, clean: tuple[Path, Manifest]
) -> None:
    """Beam starts workers through a shell."""
    environment = tmp_path / "my 'own' $HOME environment"
    environment.symlink_to(sys.prefix, target_is_directory=True)
    command = [environment / "bin" / "python", "-m", "pipeline", "corpus", "--no-progress", "--workers", "2"]
    command += ["--input", text_files, "--output", tmp_path / "corpus", "--vocab", vocabulary_path]
    command += ["--max-seq-length", "48", "--max-predictions-per-seq", "8", "--dupe-factor", "2"]
    command += ["--validation-fraction", "0.2", "--block-bytes", "6000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert read_manifest(str(tmp_path / "corpus")).shards == clean[1].shards
