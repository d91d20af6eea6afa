"""Corpora whose examples hold their numbers: plain and GZIP, with masks and without, of one length and of several."""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.manifest import Manifest, Shard, write_index, write_manifest
from pipeline.records.chunks import ChunkWriter, records_per_chunk
from pipeline.records.spec import RecordSpec, encode_tfrecords
from pipeline.tokenizers import WordPieceTokenizer

Batch = dict[str, np.ndarray]
WORDS = 2000
VOCABULARY = "".join(f"{token}\n" for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(WORDS))])
FIRST = 5
KINDS: dict[str, dict[str, Any]] = {
    "static": {},
    "gzip": {"compressed": True},
    "dynamic": {"masked": False},
    "binned": {"bins": (16, 24, 40)},
    "binned dynamic gzip": {"bins": (16, 40), "masked": False, "compressed": True},
    "names of v1": {"feature_names": "v1"},
    "one segment": {"next_sentence": False},
}


def examples_of(spec: RecordSpec, count: int, first: int) -> dict[str, np.ndarray]:
    """Examples that hold their own number, in three words, and are of all lengths."""
    ids = np.zeros((count, spec.max_seq_length), np.int64)
    numbers = np.arange(first, first + count)
    lengths = 8 + numbers % (spec.max_seq_length - 7)
    rng = np.random.default_rng(first)
    ids[:] = rng.integers(FIRST, FIRST + WORDS, ids.shape)
    ids[:, 0] = 2
    for place, divisor in enumerate((1, 1000, 1_000_000), start=1):
        ids[:, place] = FIRST + numbers // divisor % 1000
    ids[:, 5] = ids[np.arange(count), lengths - 1] = 3
    real = np.arange(spec.max_seq_length) < lengths[:, None]
    ids[~real] = 0
    columns: dict[str, np.ndarray] = {
        "input_word_ids": ids,
        "input_type_ids": (real & (np.arange(spec.max_seq_length) > 5)).astype(np.int64),
    }
    if spec.next_sentence:
        columns["next_sentence_labels"] = numbers[:, None] % 2
    if not spec.masked:
        return columns | {"word_starts": ((ids >= FIRST) & (ids % 3 > 0)).astype(np.int64)}
    predictions = np.zeros((count, spec.max_predictions_per_seq), np.int64)
    columns |= {
        "input_mask": real.astype(np.int64),
        "masked_lm_positions": predictions.copy(),
        "masked_lm_ids": predictions.copy(),
        "masked_lm_weights": predictions.astype(np.float32),
    }
    columns["masked_lm_positions"][:, 0], columns["masked_lm_ids"][:, 0] = 6, FIRST + numbers % WORDS
    columns["masked_lm_weights"][:, 0] = 1.0
    return columns


def number_of(batch: dict[str, np.ndarray]) -> np.ndarray:
    """The numbers of a batch's examples, whatever is masked in them."""
    ids = batch["input_word_ids"].astype(np.int64).copy()
    rows, predictions = np.nonzero(batch["masked_lm_weights"])
    ids[rows, batch["masked_lm_positions"][rows, predictions]] = batch["masked_lm_ids"][rows, predictions]
    numbers: np.ndarray = ((ids[:, 1:4] - FIRST) * [1, 1000, 1_000_000]).sum(axis=1)
    return numbers


def bytes_of(batch: Batch) -> dict[str, tuple[Any, bytes]]:
    """What two batches are compared by: names, dtypes, shapes and bytes."""
    return {name: (column.dtype.str, column.shape, column.tobytes()) for name, column in batch.items()}


def joined(parts: Sequence[Batch]) -> Batch:
    """The batch that several parts are together."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_numbered(
    directory: Path,
    sizes: tuple[int, ...],
    *,
    masked: bool = True,
    compressed: bool = False,
    bins: tuple[int, ...] = (24,),
    next_sentence: bool = True,
    feature_names: str = "v2",
    first: int = 0,
    indexed: bool = True,
) -> Manifest:
    """Writes a corpus with a shard of each size in each bin, and twenty validation examples."""
    directory.mkdir(parents=True)
    spec = RecordSpec(bins[-1], 4, next_sentence, masked, feature_names)
    shards, indexes = [], []
    for split, number, size in [("train", i, n) for i, n in enumerate(sizes)] + [("validation", 0, 20)]:
        for length in bins:
            shape = dataclasses.replace(spec, max_seq_length=length)
            name = f"{split}-len{length}-{number:05d}-of-{len(sizes):05d}.tfrecord" + ".gz" * compressed
            writer = ChunkWriter(records_per_chunk(length), compressed=compressed)
            encoded = encode_tfrecords(shape, examples_of(shape, size, first))
            data = b"".join(map(bytes, (*writer.write(*encoded), *writer.finish())))
            (directory / name).write_bytes(data)
            indexes.append(writer.index())
            sha256 = hashlib.sha256(data).hexdigest()
            shards.append(Shard(name, split, length, 4, size, 15 * size, size, len(data), sha256))
            first += size
    (directory / "vocab.txt").write_text(VOCABULARY)
    options = {"masked_lm_prob": 0.15, "masking_unit": "word", "max_ngram_size": 3, "mask_prob": 0.8}
    tokenizer = WordPieceTokenizer(VOCABULARY.encode()).describe()
    manifest = Manifest("", options | {"random_prob": 0.1}, spec, tokenizer, (), tuple(shards), {}, {})
    if indexed:
        manifest = dataclasses.replace(manifest, index=write_index(indexes, str(directory)))
    write_manifest(manifest, str(directory))
    return manifest


def gunzipped(data: bytes) -> bytes:
    """The contents of all members of a GZIP file."""
    found = b""
    while data:
        member = zlib.decompressobj(wbits=31)
        found += member.decompress(data)
        data = member.unused_data
    return found
