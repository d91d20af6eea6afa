"""Validates one shard: all checks that need no other shard."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import google_crc32c
import numpy as np

from pipeline import files
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.errors import InputError
from pipeline.inspection.examples import Examples
from pipeline.inspection.validation.fingerprints import Fingerprinter
from pipeline.inspection.validation.masks import check_masks, check_predictions
from pipeline.inspection.validation.problems import Problem, RecordProblems
from pipeline.inspection.validation.reading import Batch, ShardReader
from pipeline.inspection.validation.structure import Check, check_structure
from pipeline.inspection.validation.tally import Tally
from pipeline.inspection.validation.vocabulary import VocabularyFacts
from pipeline.inspection.validation.windows import FoundWindows, WindowSearch
from pipeline.manifest import Shard
from pipeline.records.chunks import parse_index, records_per_chunk
from pipeline.records.spec import RecordSpec

_CHUNKS_SHOWN = 5


@dataclass(frozen=True)
class ShardTask:
    """The arguments for validating a shard; can be pickled.

    Attributes:
        path: its path.
        shard: its entry in the manifest.
        spec: the shape of its examples.
        config: the options of the corpus.
        vocabulary: the facts about the vocabulary.
        longer_than: the length of the next shorter bin; 0 if there is none.
        search: the windows to look for.
        index: what the corpus's index has about it; None if there is no index.
    """

    path: str
    shard: Shard
    spec: RecordSpec
    config: CorpusConfig
    vocabulary: VocabularyFacts
    longer_than: int
    search: WindowSearch
    index: bytes | None = None


@dataclass
class ShardFindings:
    """The results of validating a shard.

    Attributes:
        shard: its entry in the manifest.
        problems: its problems.
        bytes: the size of the file.
        sha256: its SHA-256, hexadecimal; "" if it cannot be read.
        tally: counts of the valid examples.
        numbers: int64 `[examples]`, their record numbers.
        sequence_numbers: int64 `[sequences]`, the record numbers of their sequences, of which a packed row has several.
        texts: uint64 `[sequences]`, their hashes before masking; 0 for short ones.
        masked: uint64 `[sequences]`, their hashes with masks.
        mask_bits: float32 `[sequences]`, how unlikely a second sequence with the same mask is; see
            `Fingerprinter.mask_bits`.
        windows: the windows found in their text.
    """

    shard: Shard
    problems: list[Problem]
    bytes: int
    sha256: str
    tally: Tally
    numbers: np.ndarray
    sequence_numbers: np.ndarray
    texts: np.ndarray
    masked: np.ndarray
    mask_bits: np.ndarray
    windows: FoundWindows


def validate_shard(task: ShardTask) -> ShardFindings:
    """Reads a shard and makes all checks that need no other shard."""
    found = RecordProblems(task.shard.name)
    reader = ShardReader(task.path, task.spec, task.vocabulary.size, found)
    fingerprinter = Fingerprinter(task.vocabulary.size, task.config.max_seq_length)
    tally = Tally(task.config.max_seq_length)
    # One part per batch, of the findings' columns of the same names.
    numbers, sequence_numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    texts, masked, mask_bits = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], [np.zeros(0, np.float32)]
    windows: list[FoundWindows] = []
    problems: list[Problem] = []
    try:
        for batch in reader.batches():
            examples, right = _check(batch, task, found)
            tally.count(examples, task.vocabulary, masked=task.spec.masked)
            numbers.append(right)
            sequence_numbers.append(right[examples.rows])
            long = examples.sums(examples.real) >= task.search.fewest_tokens
            texts.append(np.where(long, fingerprinter.texts(examples), np.uint64(0)))
            masked.append(fingerprinter.masked(examples))
            mask_bits.append(fingerprinter.mask_bits(examples, task.vocabulary.special_ids["mask"]))
            windows.append(task.search.find(fingerprinter, examples, right))
    except InputError as error:
        problems.append(Problem("files", str(error), task.shard.name))
    findings = ShardFindings(
        shard=task.shard,
        problems=[*problems, *found.problems()],
        bytes=reader.bytes,
        sha256=reader.sha256,
        tally=tally,
        numbers=np.concatenate(numbers),
        sequence_numbers=np.concatenate(sequence_numbers),
        texts=np.concatenate(texts),
        masked=np.concatenate(masked),
        mask_bits=np.concatenate(mask_bits),
        windows=task.search.join(windows),
    )
    if not problems:
        findings.problems += _count_problems(findings, reader.records)
        if task.index is not None and reader.sha256 == task.shard.sha256 and task.shard.examples:
            findings.problems += _index_problems(task, task.index)
    return findings


def _check(batch: Batch, task: ShardTask, found: RecordProblems) -> tuple[Examples, np.ndarray]:
    """Checks a batch; returns the valid examples and their record numbers."""
    policy = dataclasses.replace(
        task.config.masking_policy(), max_predictions_per_seq=task.spec.max_predictions_per_seq
    )

    def wrong(check: str, results: Iterable[Check], numbers: np.ndarray) -> np.ndarray:
        bad = np.zeros(len(numbers), bool)
        for message, rows in results:
            found.add(check, message, numbers[rows])
            bad |= rows
        return bad

    if task.spec.masked:
        # The other checks need valid predictions.
        batch = batch.take(~wrong("masks", check_predictions(batch.columns), batch.numbers))
    examples = Examples.from_columns(batch.columns, task.vocabulary.special_ids)
    joined = task.config.pairing == "full-sentences"
    structure = check_structure(
        batch.columns, examples, task.spec, task.vocabulary, joined=joined, longer_than=task.longer_than
    )
    bad = wrong("structure", structure, batch.numbers)
    if task.spec.masked:
        bad |= wrong("masks", check_masks(examples, task.vocabulary, policy), batch.numbers)
    if bad.any():
        batch = batch.take(~bad)
        examples = Examples.from_columns(batch.columns, task.vocabulary.special_ids)
    return examples, batch.numbers


def _index_problems(task: ShardTask, index: bytes) -> Iterator[Problem]:
    """Compares a shard, whose bytes are those that the manifest describes, with its index."""
    offsets, checksums = parse_index(index)
    if offsets[-1] != task.shard.bytes:
        yield Problem(
            "index", f"its chunks must have {task.shard.bytes:,} bytes, but have {offsets[-1]:,}", task.shard.name
        )
        return
    with files.open_read(task.path) as stream:
        different = [
            chunk
            for chunk, (length, checksum) in enumerate(zip(np.diff(offsets).tolist(), checksums.tolist(), strict=True))
            if google_crc32c.value(stream.read(length)) != checksum
        ]
    if different:
        records = records_per_chunk(task.spec.max_seq_length)
        numbers = tuple(chunk * records for chunk in different[:_CHUNKS_SHOWN])
        message = "the checksum of its chunk must be the index's"
        yield Problem("index", message, task.shard.name, numbers, len(different))


def _count_problems(findings: ShardFindings, records: int) -> Iterator[Problem]:
    shard = findings.shard
    counted = {"examples": records}
    if len(findings.numbers) == records:
        # Tokens and predictions are counted in valid examples only.
        counted |= {name: findings.tally.counts[name] for name in ("tokens", "predictions")}
    for name, number in counted.items():
        said = getattr(shard, name)
        if said != number:
            yield Problem("totals", f"the manifest says {said:,} {name}; there are {number:,}", shard.name)
