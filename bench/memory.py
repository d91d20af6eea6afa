"""Measures the corpus job's peak memory for inputs of several sizes, in one file and in 1000: `make bench-memory`.

    python -m bench.memory out/sample.txt

Memory is that of all processes together, with shared memory counted once. Deduplication is measured on the largest
text; what it adds per document is the difference from the same job without it. Needs Linux.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.measuring import measure
from bench.texts import write_text

ROOT = Path(__file__).parents[1]
VOCAB = ROOT / "vocab" / "sample-uncased-8k.txt"
FILES = (1, 1000)
DEDUPLICATIONS = ("exact", "near")


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text of any format; inputs of all sizes are made from it")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[50, 200, 800], help="sizes of the inputs")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    print("| text, MB | files | deduplication | documents | seconds | peak memory, MB | added bytes per document |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in _rows(arguments.text, sorted(arguments.megabytes), arguments.workers):
        print(f"| {' | '.join(row)} |", flush=True)


def _rows(source: Path, sizes: list[float], workers: int) -> Iterator[tuple[str, ...]]:
    for size in sizes:
        for files in FILES:
            plain = 0
            for deduplication in ("none", *(DEDUPLICATIONS if size == sizes[-1] and files == 1 else ())):
                with tempfile.TemporaryDirectory() as folder:
                    text = Path(folder, "text")
                    documents = write_text(source, size, text, files=files)
                    seconds, peak = _make_corpus(text, Path(folder, "corpus"), deduplication, workers)
                plain = plain or peak
                added = "" if deduplication == "none" else f"{(peak - plain) / documents:,.0f}"
                cells = (f"{size:g}", f"{files:,}", deduplication, f"{documents:,}", f"{seconds:.0f}")
                yield (*cells, f"{peak / 1e6:,.0f}", added)


def _make_corpus(text: Path, output: Path, deduplication: str, workers: int) -> tuple[float, int]:
    command = [sys.executable, "-m", "pipeline", "corpus", "--input", str(text), "--format", "bert"]
    command += ["--output", str(output), "--vocab", str(VOCAB), "--workers", str(workers), "--no-progress"]
    usage = measure([*command, "--dupe-factor", "1", "--dedup", deduplication], cwd=ROOT)
    shutil.rmtree(output)
    return usage.seconds, usage.peak_bytes


if __name__ == "__main__":
    main()
