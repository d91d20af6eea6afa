"""Measures the corpus job and those of its peers, alternating between them: `make bench`.

    python bench/corpus_jobs.py out/sample.txt --rounds 3

Each job makes its corpus from texts of several sizes. No text repeats itself, which would flatter all that remembers
words: sizes that the given text does not reach are left out; if fewer than two are left, a job gets a quarter of the
text and all of it. Each run writes its time and memory as a line of JSON in the work folder, for
`bench/corpus_report.py`. Finished runs are not repeated, so a stopped benchmark can be continued. Needs Linux, and the
peers' environment (`make peers`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import measure
from bench.texts import write_text

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "out" / "peers" / "bin" / "python"
COPIES = 5
PREDICTIONS = {128: 20, 512: 76}


@dataclass(frozen=True)
class Job:
    """A way to make a corpus.

    Attributes:
        name: its name in the results.
        seq_length: tokens of an example.
        megabytes: sizes of the text; the pace is measured between the last two, which excludes the start-up.
        command: makes the command from (text, output, vocabulary, sequence length).
    """

    name: str
    seq_length: int
    megabytes: tuple[float, ...]
    command: Callable[[Path, Path, Path, int], list[str]]


def _ours(workers: int, *options: str) -> Callable[[Path, Path, Path, int], list[str]]:
    def command(text: Path, output: Path, vocab: Path, seq_length: int) -> list[str]:
        words = [sys.executable, "-m", "pipeline", "corpus", "--input", text, "--format", "bert", "--output", output]
        words += ["--vocab", vocab, "--lower-case", "--validation-fraction", "0", "--workers", workers, "--no-progress"]
        words += ["--max-seq-length", seq_length, "--max-predictions-per-seq", PREDICTIONS[seq_length], *options]
        return list(map(str, words))

    return command


def _tensorflow_models(text: Path, output: Path, vocab: Path, seq_length: int) -> list[str]:
    words = [PEERS, "bench/peer_jobs.py", "tensorflow-models", text, output, vocab, seq_length]
    return list(map(str, [*words, PREDICTIONS[seq_length], COPIES]))


def _hugging_face(text: Path, output: Path, vocab: Path, seq_length: int) -> list[str]:
    return list(map(str, [PEERS, "bench/peer_jobs.py", "hugging-face", text, output, vocab, seq_length, 2]))


_STATIC = ("--dupe-factor", str(COPIES))
_FULL_SENTENCES = ("--dupe-factor", "1", "--masking", "dynamic", "--pairing", "full-sentences")
_BEST_FIT = ("--packing", "best-fit")
JOBS = (
    Job("tensorflow/models", 128, (1, 2, 4), _tensorflow_models),
    Job("this project, 1 worker", 128, (10, 50, 200), _ours(1, *_STATIC)),
    Job("this project, 2 workers", 128, (10, 50, 200, 800), _ours(2, *_STATIC)),
    Job("this project, 2 workers, GZIP", 128, (10, 40), _ours(2, *_STATIC, "--compression", "gzip")),
    Job("tensorflow/models", 512, (1, 2), _tensorflow_models),
    Job("this project, 2 workers", 512, (10, 40), _ours(2, *_STATIC)),
    Job("Hugging Face, 2 workers", 128, (10, 40, 160), _hugging_face),
    Job("this project, packed, unmasked, 2 workers", 128, (10, 40, 160), _ours(2, *_FULL_SENTENCES)),
    Job("this project, best-fit, unmasked, 1 worker", 128, (10, 40, 160), _ours(1, *_FULL_SENTENCES, *_BEST_FIT)),
)
LIMIT_OF = "this project, 2 workers"  # The limit is measured on this job's corpus of the second size.
_WRITTEN = 0.9  # Of a text, at least this share of its bytes is left when its paragraphs are written in BERT's format.


def sizes(job: Job, source_bytes: int) -> tuple[float, ...]:
    """Returns the sizes, in MB, that a job is measured with: those for which the source need not be repeated."""
    most = _WRITTEN * source_bytes / 1e6
    fitting = tuple(size for size in job.megabytes if size <= most)
    return fitting if len(fitting) > 1 else (most / 4, most)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="text of any format; inputs of all sizes are made from it")
    parser.add_argument("--vocab", type=Path, help="WordPiece vocabulary (default: 30,522 entries from the text)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each job and size")
    parser.add_argument("--jobs", default="", help="only jobs whose length and name contain this, such as '(128) this'")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "bench", help="folder for results and texts")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    os.environ["PYTHONPATH"] = str(ROOT)
    arguments.work.mkdir(parents=True, exist_ok=True)
    vocab = arguments.vocab or _learn_vocabulary(arguments.text, arguments.work)
    results = arguments.work / "results.jsonl"
    for number in range(arguments.rounds):
        # Small texts first, so that the jobs take turns.
        source_bytes = arguments.text.stat().st_size
        turns = sorted(((size, job) for job in JOBS for size in sizes(job, source_bytes)), key=lambda turn: turn[0])
        for size, job in turns:
            if arguments.jobs in f"({job.seq_length}) {job.name}":
                _run(job, size, number, arguments.text, vocab, results)


def _run(job: Job, size: float, number: int, source: Path, vocab: Path, results: Path) -> None:
    wants_limit = job.name == LIMIT_OF and size == sizes(job, source.stat().st_size)[1]
    key = {"job": job.name, "seq_length": job.seq_length, "megabytes": size, "round": number}
    if _is_there(key, results):
        return
    text, output = results.parent / f"text-{size:g}.txt", results.parent / "output"
    if not text.exists():
        write_text(source, size, text)
    shutil.rmtree(output, ignore_errors=True)  # Left by a stopped benchmark.
    usage = measure(job.command(text, output, vocab, job.seq_length))
    made = _ours_made(output) if (output / "manifest.json").exists() else json.loads(usage.output)
    took = {"seconds": usage.seconds, "cpu_seconds": usage.cpu_seconds, "peak_bytes": usage.peak_bytes}
    size_out = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    _append(results, key | made | took | {"bytes": size_out})
    if wants_limit:
        limit = measure([sys.executable, "bench/limit.py", str(text), str(output), str(vocab)])
        _append(results, key | {"job": "limit"} | json.loads(limit.output))
    shutil.rmtree(output)


def _ours_made(output: Path) -> dict[str, int]:
    train = json.loads((output / "manifest.json").read_text())["statistics"]["train"]
    return {"examples": train["examples"], "tokens": train["tokens"]}


def _is_there(key: dict[str, Any], results: Path) -> bool:
    lines = results.read_text().splitlines() if results.exists() else []
    return any(key.items() <= json.loads(line).items() for line in lines)


def _append(results: Path, line: dict[str, Any]) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    with results.open("a") as stream:
        stream.write(text + "\n")


def _learn_vocabulary(text: Path, work: Path) -> Path:
    """Learns a vocabulary of BERT's size; if a small text has too few pieces, unused entries fill the rest."""
    vocab = work / "vocab.txt"
    if not vocab.exists():
        command: Sequence[str] = ["--input", str(text), "--output", str(vocab), "--vocab-size", "30522"]
        measure([sys.executable, "-m", "pipeline", "vocab", *command, "--no-progress"])
        entries = vocab.read_text().splitlines()
        unused = [f"[unused{index}]" for index in range(30522 - len(entries))]
        vocab.write_text("".join(f"{entry}\n" for entry in [*entries, *unused]))
    return vocab


if __name__ == "__main__":
    main()
