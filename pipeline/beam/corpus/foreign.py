"""Corpora that other tools made: TFRecords of masked-LM examples, described by a manifest of ours.

google-research/bert's, ALBERT's and tensorflow/models' `create_pretraining_data` write such records. The manifest names
them where they are. GZIP files alone are copied, in chunks: as those tools write them, they can be read from their
beginning alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from pipeline import files
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.parts import SPLITS
from pipeline.config.tree import to_dict
from pipeline.errors import CorpusError, InputError, OutputError
from pipeline.files import FileInfo
from pipeline.manifest import MANIFEST_NAME, Manifest, Shard, read_manifest, write_index, write_manifest
from pipeline.records.chunks import records_per_chunk
from pipeline.records.decoding import check_examples, first_record, read_serialized, value_ranges
from pipeline.records.scanning import index_file
from pipeline.records.spec import RecordSpec
from pipeline.tokenizers import tokenizer_of_file
from pipeline.tokenizers.vocabulary import find_vocabulary, read_vocabulary
from pipeline.version import __version__

_AT_ONCE = 1024  # Records that are parsed together.


def describe_records(
    train: Sequence[str],
    validation: Sequence[str],
    vocab: str,
    output: str,
    *,
    lower_case: bool | None = None,
    show_progress: bool = True,
) -> Manifest:
    """Reads TFRecords of other tools, and writes a manifest and the vocabulary into a directory that stands for them.

    Every record is checked: its features, their lengths and the ranges of their values. If the directory has the
    manifest already, nothing is read again.

    Args:
        train: files, directories or globs of the records to train on; names of GZIP files end in .gz.
        validation: those of the records to evaluate on; none for no evaluation.
        vocab: the vocabulary that made the records.
        output: the directory.
        lower_case: as `CorpusConfig.lower_case`.
        show_progress: whether to draw a progress bar.

    Returns:
        The manifest; its shards are named by their paths, but for copies of GZIP files.

    Raises:
        InputError: if nothing is found.
        CorpusError: if a record is not a masked-LM example, or another than the rest; it is named.
        VocabularyError: if the vocabulary is missing or malformed.
        OutputError: if the directory has the manifest of other records, or cannot be written.
    """
    found = {"train": _match(train), "validation": _match(validation) if validation else []}
    both = {info.path for info in found["train"]} & {info.path for info in found["validation"]}
    if both:
        raise InputError("A file must not be used for both training and validation", received=sorted(both)[0])
    vocab = find_vocabulary(vocab)
    vocabulary = read_vocabulary(vocab)
    inputs = [dataclasses.asdict(info) for infos in found.values() for info in infos]
    stated = [hashlib.sha256(vocabulary).hexdigest(), str(lower_case), *map(str, inputs), str(len(found["train"]))]
    key = hashlib.sha256("\n".join(stated).encode()).hexdigest()
    if files.exists(files.join(output, MANIFEST_NAME)):
        manifest = read_manifest(output)
        if manifest.key != key:
            raise OutputError(
                f"{output} describes other records, or an earlier version of the same records",
                do="Choose another directory for the run",
            )
        return manifest
    tokenizer, casing = tokenizer_of_file(vocab, vocabulary, lower_case=lower_case)
    total = sum(info.bytes for infos in found.values() for info in infos)
    with tqdm(total=total, desc="records", unit="B", unit_scale=True, disable=None if show_progress else True) as bar:
        described = []
        for split, infos in found.items():
            for number, info in enumerate(infos):
                described.append(_describe(info, split, number, tokenizer.vocab_size, output))
                bar.update(info.bytes)
    spec = _common_spec([found_spec for _, found_spec, _ in described], [shard.name for shard, *_ in described])
    shards = tuple(shard for shard, *_ in described)
    lengths = sorted({shard.max_seq_length for shard in shards})
    config = CorpusConfig(
        input=tuple(train),
        output=output,
        vocab=vocab,
        lower_case=casing.lower_case,
        max_seq_length=spec.max_seq_length,
        max_predictions_per_seq=spec.max_predictions_per_seq,
        bins=tuple(lengths) if len(lengths) > 1 else (),
        feature_names=spec.feature_names,
        pairing="next-sentence" if spec.next_sentence else "full-sentences",
        packing="best-fit" if spec.packed else "none",
        max_sequences_per_row=spec.max_sequences_per_row or None,
    )
    description = dataclasses.replace(tokenizer.describe(), casing=casing.reason)
    manifest = Manifest(
        key=key,
        options=to_dict(config),
        spec=spec,
        tokenizer=description,
        inputs=tuple({"path": info.path, "bytes": info.bytes} for infos in found.values() for info in infos),
        shards=shards,
        statistics={"text": {}} | {split: _statistics(shards, split) for split in SPLITS},
        versions={"mlm-pipeline": __version__},
    )
    files.make_directory(output)
    files.write_atomically(files.join(output, description.vocab_file), vocabulary)
    manifest = dataclasses.replace(manifest, index=write_index((index for *_, index in described), output))
    write_manifest(manifest, output)
    return manifest


def _match(patterns: Sequence[str]) -> list[FileInfo]:
    found = [info for info in files.match(patterns) if info.bytes]
    if not found:
        raise InputError("The records must not be empty", received=", ".join(patterns))
    whole = [info.path if files.is_remote(info.path) else os.path.abspath(info.path) for info in found]
    named = [dataclasses.replace(info, path=path) for info, path in zip(found, whole, strict=True)]
    return sorted(named, key=lambda info: info.path)


def _describe(info: FileInfo, split: str, number: int, vocab_size: int, output: str) -> tuple[Shard, RecordSpec, bytes]:
    """Reads a file of records; returns what a manifest says of it, the shape of its examples, and its index."""
    _, spec = first_record(info.path)
    ranges = value_ranges(spec, vocab_size=vocab_size)
    counts: Counter[str] = Counter()
    records = read_serialized(info.path)
    while batch := list(itertools.islice(records, _AT_ONCE)):
        columns = check_examples(spec, batch, ranges, info.path, counts["examples"])
        counts["examples"] += len(batch)
        counts["tokens"] += int(columns["input_mask"].sum())
        counts["predictions"] += int(np.count_nonzero(columns["masked_lm_weights"]))
    per_chunk = records_per_chunk(spec.max_seq_length)
    name, size = info.path, info.bytes
    if info.path.endswith(".gz"):
        name = f"{split}-{number:05d}.tfrecord.gz"
        files.make_directory(output)
        with files.write_file(files.join(output, name)) as writer:
            index = index_file(info.path, per_chunk, copy=writer.write)
        size = writer.bytes
    else:
        index = index_file(info.path, per_chunk)
    shard = Shard(
        name=name,
        split=split,
        max_seq_length=spec.max_seq_length,
        max_predictions_per_seq=spec.max_predictions_per_seq,
        bytes=size,
        sha256=files.sha256(files.join(output, name)),
        **counts,
    )
    return shard, spec, index.entries


def _common_spec(specs: Sequence[RecordSpec], names: Sequence[str]) -> RecordSpec:
    """The shape of the longest examples; all others must be like them but for their lengths."""
    longest = max(specs, key=lambda spec: spec.max_seq_length)
    lengths = ["max_seq_length", "max_predictions_per_seq"]
    if longest.packed and not longest.next_sentence:
        lengths.append("max_sequences_per_row")  # Records do not tell it, so it is inferred from their length.
    for spec, name in zip(specs, names, strict=True):
        same_length = spec.max_seq_length == longest.max_seq_length
        like = dataclasses.replace(spec, **{field: getattr(longest, field) for field in lengths})
        if like != longest or (same_length and spec != longest):
            raise CorpusError(
                f"All records must have the same features as those in {names[specs.index(longest)]}",
                received=f"other features in {name}",
                do="Give only files of one kind to --input",
            )
    return longest


def _statistics(shards: Sequence[Shard], split: str) -> dict[str, Any]:
    ours = [shard for shard in shards if shard.split == split]
    return {name: sum(getattr(shard, name) for shard in ours) for name in ("examples", "tokens", "bytes")}
