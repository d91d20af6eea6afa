"""Measures the loader and tensorflow/models' loader, in examples per second, on the same shards: `make bench-loader`.

Both read the same corpus (static masks) with their defaults for training, including shuffling, and return batches. This
project's loader also reads corpora with dynamic masking. Each runs in a separate process, and they take turns.
tensorflow/models runs in its own environment (`make peers`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bench.turns import PEERS, ROOT, measure_turns, take_turns

VOCAB = ROOT / "vocab" / "sample-uncased-8k.txt"
PREDICTIONS = {128: 20, 512: 76}
MASKINGS = {
    "static": ["--masking", "static"],
    "dynamic, tokens": ["--masking", "dynamic", "--masking-unit", "token"],
    "dynamic, whole words": ["--masking", "dynamic", "--masking-unit", "word"],
}


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="text in BERT's format")
    parser.add_argument("--seq-length", type=int, choices=PREDICTIONS, default=128)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--turns", type=int, default=5, help="turns of each program (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=400, help="batches per turn (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        commands = {}
        for name, words in MASKINGS.items():
            corpus = os.path.join(folder, name.replace(", ", "-").replace(" ", "-"))
            _make_corpus(options.text, corpus, options.seq_length, words)
            job = json.dumps({**vars(options), "corpus": corpus})
            if name == "static":
                commands["tensorflow/models, static"] = [str(PEERS), __file__, "theirs", job]
            commands[f"this project, {name}"] = [sys.executable, __file__, "ours", job]
        paces = measure_turns(commands, options.turns)
    theirs = paces["tensorflow/models, static"]
    print(f"Length {options.seq_length}, batches of {options.batch_size}, {os.cpu_count()} cores\n")
    print("| loader | examples/s | to tensorflow/models | examples per CPU s | to tensorflow/models |")
    print("| --- | --- | --- | --- | --- |")
    for name, pace in paces.items():
        ratios = [ours / its for ours, its in zip(pace, theirs, strict=True)]
        print(f"| {name} | {pace[0]:,.0f} | {ratios[0]:.1f}x | {pace[1]:,.0f} | {ratios[1]:.1f}x |")


def _make_corpus(text: str, output: str, seq_length: int, masking: list[str]) -> None:
    command = [sys.executable, "-m", "pipeline", "corpus", "--input", text, "--format", "bert", "--output", output]
    command += ["--vocab", str(VOCAB), "--no-progress", "--max-seq-length", str(seq_length)]
    command += ["--max-predictions-per-seq", str(PREDICTIONS[seq_length]), *masking]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)


def _count(batches: Iterable[Mapping[str, Any]], number: int) -> Callable[[], int]:
    """Returns a function that takes the next `number` batches, and returns how many examples they hold."""
    iterator = iter(batches)
    return lambda: sum(len(next(iterator)["input_word_ids"]) for _ in range(number))


def _ours(job: Mapping[str, Any]) -> None:
    from pipeline.training.configs import DataConfig
    from pipeline.training.data.loader import build_dataset

    data = DataConfig(input_path=job["corpus"], global_batch_size=job["batch_size"], is_training=True)
    take_turns(_count(build_dataset(data), job["batches"]))


def _theirs(job: Mapping[str, Any]) -> None:
    from official.nlp.data import pretrain_dataloader

    data = pretrain_dataloader.BertPretrainDataConfig(
        input_path=f"{job['corpus']}/train-*.tfrecord",
        global_batch_size=job["batch_size"],
        is_training=True,
        seq_length=job["seq_length"],
        max_predictions_per_seq=PREDICTIONS[job["seq_length"]],
        use_v2_feature_names=True,
    )
    take_turns(_count(pretrain_dataloader.BertPretrainDataLoader(data).load(), job["batches"]))


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["theirs"]):
        {"ours": _ours, "theirs": _theirs}[sys.argv[1]](json.loads(sys.argv[2]))
    else:
        main()
