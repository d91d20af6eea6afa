"""Measures the time and memory of learning a WordPiece vocabulary, here and with Hugging Face's tokenizers.

    python -m bench.vocabulary out/sample.txt

Both learn the same number of entries, uncased, from words that they normalise and split as BERT does; they take turns.
The pace is measured between two sizes of text, which excludes the start-up. Needs Linux, and the peers' environment
(`make peers`).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from bench.measuring import Usage, measure
from bench.texts import write_text
from bench.turns import PEERS, ROOT

_HUGGING_FACE = """
import sys
from tokenizers import BertWordPieceTokenizer
text, output, size = sys.argv[1:]
tokenizer = BertWordPieceTokenizer(lowercase=True)
tokenizer.train(text, vocab_size=int(size), min_frequency=2, show_progress=False)
tokenizer.save_model(output)
"""


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text of any format; inputs of all sizes are made from it")
    parser.add_argument("--megabytes", type=float, nargs=2, default=[10, 100], help="sizes of the inputs")
    parser.add_argument("--vocab-size", type=int, default=30522)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes of this project; the other uses all cores")
    arguments = parser.parse_args()
    runs: dict[tuple[str, float], list[Usage]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            for size in arguments.megabytes:
                text = Path(folder, f"{size:g}.txt")
                if not text.exists():
                    write_text(arguments.text, size, text)
                for name, command in _commands(text, Path(folder), arguments.vocab_size, arguments.workers).items():
                    runs.setdefault((name, size), []).append(measure(command, cwd=ROOT))
    small, large = arguments.megabytes
    print(f"| learner | seconds, {small:g} MB | seconds, {large:g} MB | MB/s after start-up | peak memory, MB |")
    print("| --- | --- | --- | --- | --- |")
    for name in dict.fromkeys(name for name, _ in runs):
        seconds = [statistics.median(run.seconds for run in runs[name, size]) for size in arguments.megabytes]
        peak = statistics.median(run.peak_bytes for run in runs[name, large]) / 1e6
        pace = (large - small) / (seconds[1] - seconds[0])
        print(f"| {name} | {seconds[0]:.1f} | {seconds[1]:.1f} | {pace:.1f} | {peak:,.0f} |")


def _commands(text: Path, folder: Path, vocab_size: int, workers: int) -> dict[str, list[str]]:
    size = str(vocab_size)
    ours = [sys.executable, "-m", "pipeline", "vocab", "--input", str(text), "--format", "bert", "--no-progress"]
    ours += ["--output", str(folder / "vocab-ours.txt"), "--vocab-size", size, "--workers", str(workers)]
    theirs = [str(PEERS), "-c", _HUGGING_FACE, str(text), str(folder), size]
    return {f"this project, {workers} workers": ours, "Hugging Face tokenizers": theirs}


if __name__ == "__main__":
    main()
