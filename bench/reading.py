"""Measures the reader: pace, memory, bytes read before the first batch, shuffle quality, opening: `make bench-reading`.

Each row of the tables is measured in a process of its own. The corpus is made from the text that is given, once with
masks and once without.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.turns import ROOT
from pipeline.manifest import Shard, read_manifest, write_manifest
from pipeline.reader import Corpus
from pipeline.reader.order import Order
from pipeline.records.chunks import records_per_chunk

VOCAB = ROOT / "vocab" / "sample-uncased-8k.txt"
_BATCH = 256
_SHARDS, _EXAMPLES_OF_SHARD = 50_000, 200_000


def main() -> None:
    """Measures, and prints tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="text, one document per line or in BERT's format")
    parser.add_argument("--seq-length", type=int, default=128, help="tokens of an example (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpora = {}
        for masking in ("static", "dynamic"):
            corpora[masking] = os.path.join(folder, masking)
            _make_corpus(options.text, corpora[masking], options.seq_length, masking)
        corpus = Corpus(corpora["static"])
        size = sum(os.path.getsize(path) for path in corpus.source.paths)
        last = len(corpus.batches(_BATCH)) - 1
        print(f"{len(corpus):,} examples of {options.seq_length} tokens in {size / 1e6:,.0f} MB\n")
        print("| one thread, batches of 256 | examples/s | peak memory above the start |\n| --- | --- | --- |")
        for masking, path in corpora.items():
            found = _measure("pace", path)
            print(f"| {masking} masks | {found['pace']:,.0f} | {found['memory'] / 1e6:,.0f} MB |")
        print("\n| first batch at step | bytes read before it | seconds |\n| --- | --- | --- |")
        for step in (0, 10, last // 2, last):
            found = _measure("resume", corpora["static"], step)
            print(f"| {step:,} | {found['bytes'] / 1e6:,.1f} MB | {found['seconds']:.3f} |")
        _print_shuffles(len(corpus), records_per_chunk(options.seq_length))
        huge = os.path.join(folder, "huge")
        _simulate(corpora["static"], huge)
        found = _measure("open", huge)
        print(
            f"\n{_SHARDS:,} shards, {found['examples']:,} examples (simulated): opening them and locating a batch took",
            end=" ",
        )
        print(f"{found['seconds']:.1f} s, {found['memory'] / 1e6:,.0f} MB in total")


def _make_corpus(text: str, output: str, seq_length: int, masking: str) -> None:
    command = [sys.executable, "-m", "pipeline", "corpus", "--input", text, "--output", output, "--vocab", str(VOCAB)]
    command += ["--no-progress", "--max-seq-length", str(seq_length), "--masking", masking]
    subprocess.run([*command, "--workers", str(os.cpu_count())], check=True, cwd=ROOT, capture_output=True)


def _measure(what: str, *arguments: Any) -> dict[str, Any]:
    """Runs one of `MEASUREMENTS` in a new process."""
    command = [sys.executable, "-m", "bench.reading", what, json.dumps(arguments)]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _memory() -> int:
    """The most memory that this process had so far. (That of `resource` counts the process that started it.)"""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def _pace(directory: str) -> dict[str, float]:
    """An epoch, or a minute of it."""
    batches = Corpus(directory).batches(_BATCH, trim=True)
    _ = batches[0]
    before, start, examples = _memory(), time.perf_counter(), 0
    for batch in batches:
        examples += len(batch["input_word_ids"])
        if time.perf_counter() - start > 60:
            break
    return {"pace": examples / (time.perf_counter() - start), "memory": _memory() - before}


def _resume(directory: str, step: int) -> dict[str, float]:
    corpus = Corpus(directory)
    batches = corpus.batches(_BATCH)
    _ = Corpus(directory)[0]  # Loads the compiled loops.
    before, start = _bytes_read(), time.perf_counter()
    _ = batches[step]
    return {"bytes": _bytes_read() - before, "seconds": time.perf_counter() - start}


def _open(directory: str) -> dict[str, float]:
    start = time.perf_counter()
    corpus = Corpus(directory)
    batches = corpus.batches(_BATCH)
    batches.slots(len(batches) // 2)
    return {"examples": len(corpus), "seconds": time.perf_counter() - start, "memory": _memory()}


def _simulate(corpus: str, directory: str) -> None:
    """A corpus of very many large shards, none of which holds anything."""
    manifest = read_manifest(corpus)
    (shard, *_) = manifest.split("train")
    os.mkdir(directory)
    sizes = {"examples": _EXAMPLES_OF_SHARD, "bytes": 900 * _EXAMPLES_OF_SHARD}
    shards: list[Shard] = []
    for number in range(_SHARDS):
        name = f"train-{number:05d}-of-{_SHARDS}.tfrecord"
        shards.append(dataclasses.replace(shard, name=name, **sizes))
        with open(os.path.join(directory, name), "wb") as file:
            file.truncate(sizes["bytes"])
    assert manifest.index is not None
    chunks = _SHARDS * -(-_EXAMPLES_OF_SHARD // records_per_chunk(shard.max_seq_length))
    index = dataclasses.replace(manifest.index, bytes=8 * chunks)
    with open(os.path.join(directory, index.name), "wb") as file:
        file.truncate(index.bytes)
    write_manifest(dataclasses.replace(manifest, shards=tuple(shards), index=index), directory)


def _print_shuffles(examples: int, per_chunk: int) -> None:
    """Where examples come that are stored in order: by the reader, by a buffer of tf.data, by chance."""
    import tensorflow as tf

    def ours(width: int) -> np.ndarray:
        located = Order(examples, per_chunk, width, seed=1).locate(np.arange(examples))
        stored: np.ndarray = located.chunks * per_chunk + located.records
        return stored

    def buffered(size: int) -> np.ndarray:
        dataset = tf.data.Dataset.range(examples).shuffle(size, seed=1).batch(4096)
        return np.concatenate(list(dataset.as_numpy_iterator()))

    rows = {
        "reader, window of 32,768": ours(8),
        "reader, window of 4,096": ours(1),
        "tf.data, buffer of 10,000": buffered(10_000),
        "all at once": np.random.default_rng(0).permutation(examples),
    }
    print("\n| shuffle | correlation of stored and read place | neighbours in one batch | mean distance moved |")
    print("| --- | --- | --- | --- |")
    for name, stored in rows.items():
        place = np.empty(examples, np.int64)
        place[stored] = np.arange(examples)
        correlation = np.corrcoef(stored, np.arange(examples))[0, 1]
        together = (place[1:] // _BATCH == place[:-1] // _BATCH).mean()
        moved = np.abs(place - np.arange(examples)).mean() / examples
        print(f"| {name} | {correlation:+.3f} | {together:.2%} | {moved:.1%} of the epoch |")


MEASUREMENTS: Mapping[str, Callable[..., dict[str, float]]] = {"pace": _pace, "resume": _resume, "open": _open}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in MEASUREMENTS:
        print(json.dumps(MEASUREMENTS[sys.argv[1]](*json.loads(sys.argv[2]))))
    else:
        main()
