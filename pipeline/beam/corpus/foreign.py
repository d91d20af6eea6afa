"""Corpora that other tools made: TFRecords of masked-LM examples, described by a manifest of ours.

google-research/bert's, ALBERT's and tensorflow/models' `create_pretraining_data` write such records. The manifest names
them where they are; nothing is copied.
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
from pipeline.beam.corpus.block import SPLITS
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.config.tree import to_dict
from pipeline.errors import CorpusError, InputError, OutputError
from pipeline.files import FileInfo
from pipeline.manifest import MANIFEST_NAME, Manifest, Shard, read_manifest, write_manifest
from pipeline.records.decoding import check_examples, first_record, read_serialized, value_ranges
from pipeline.records.spec import RecordSpec
from pipeline.tokenizers import tokenizer_of_file
from pipeline.tokenizers.vocabulary import read_vocabulary
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
        The manifest; its shards are named by their paths.

    Raises:
        InputError: if nothing is found.
        CorpusError: if a record is not a masked-LM example, or another than the rest; it is named.
        VocabularyError: if the vocabulary is missing or malformed.
        OutputError: if the directory has the manifest of other records, or cannot be written.
    """
    found = {"train": _match(train), "validation": _match(validation) if validation else []}
    both = {info.path for info in found["train"]} & {info.path for info in found["validation"]}
    if both:
        raise InputError("Records must not be both trained and evaluated on", received=sorted(both)[0])
    vocabulary = read_vocabulary(vocab)
    inputs = [dataclasses.asdict(info) for infos in found.values() for info in infos]
    stated = [hashlib.sha256(vocabulary).hexdigest(), str(lower_case), *map(str, inputs), str(len(found["train"]))]
    key = hashlib.sha256("\n".join(stated).encode()).hexdigest()
    if files.exists(files.join(output, MANIFEST_NAME)):
        manifest = read_manifest(output)
        if manifest.key != key:
            raise OutputError(
                f"{output} describes other records, or the same before they were last modified",
                do="Choose another directory for the run",
            )
        return manifest
    tokenizer, casing = tokenizer_of_file(vocab, vocabulary, lower_case=lower_case)
    total = sum(info.bytes for infos in found.values() for info in infos)
    with tqdm(total=total, desc="records", unit="B", unit_scale=True, disable=None if show_progress else True) as bar:
        described = []
        for split, infos in found.items():
            for info in infos:
                described.append(_describe(info, split, tokenizer.vocab_size))
                bar.update(info.bytes)
    spec = _common_spec([found_spec for _, found_spec in described], [shard.name for shard, _ in described])
    shards = tuple(shard for shard, _ in described)
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
    write_manifest(manifest, output)
    return manifest


def _match(patterns: Sequence[str]) -> list[FileInfo]:
    found = [info for info in files.match(patterns) if info.bytes]
    if not found:
        raise InputError("The records must not be empty", received=", ".join(patterns))
    whole = [info.path if files.is_remote(info.path) else os.path.abspath(info.path) for info in found]
    named = [dataclasses.replace(info, path=path) for info, path in zip(found, whole, strict=True)]
    return sorted(named, key=lambda info: info.path)


def _describe(info: FileInfo, split: str, vocab_size: int) -> tuple[Shard, RecordSpec]:
    """Reads a file of records; returns what a manifest says of it, and the shape of its examples."""
    _, spec = first_record(info.path)
    ranges = value_ranges(spec, vocab_size=vocab_size)
    counts: Counter[str] = Counter()
    records = read_serialized(info.path)
    while batch := list(itertools.islice(records, _AT_ONCE)):
        columns = check_examples(spec, batch, ranges, info.path, counts["examples"])
        counts["examples"] += len(batch)
        counts["tokens"] += int(columns["input_mask"].sum())
        counts["predictions"] += int(np.count_nonzero(columns["masked_lm_weights"]))
    shard = Shard(
        name=info.path,
        split=split,
        max_seq_length=spec.max_seq_length,
        max_predictions_per_seq=spec.max_predictions_per_seq,
        bytes=info.bytes,
        sha256=files.sha256(info.path),
        **counts,
    )
    return shard, spec


def _common_spec(specs: Sequence[RecordSpec], names: Sequence[str]) -> RecordSpec:
    """The shape of the longest examples; all others must be like them but for their lengths."""
    longest = max(specs, key=lambda spec: spec.max_seq_length)
    lengths = ("max_seq_length", "max_predictions_per_seq")
    for spec, name in zip(specs, names, strict=True):
        same_length = spec.max_seq_length == longest.max_seq_length
        like = dataclasses.replace(spec, **{field: getattr(longest, field) for field in lengths})
        if like != longest or (same_length and spec != longest):
            raise CorpusError(
                f"All records must hold the same features, such as {names[specs.index(longest)]}",
                received=f"others in {name}",
                do="Name the files of one kind with --input",
            )
    return longest


def _statistics(shards: Sequence[Shard], split: str) -> dict[str, Any]:
    ours = [shard for shard in shards if shard.split == split]
    return {name: sum(getattr(shard, name) for shard in ours) for name in ("examples", "tokens", "bytes")}
