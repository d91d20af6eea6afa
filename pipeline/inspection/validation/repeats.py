"""Finds sequences that occur more often than they should, and validation text that is also training text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.inspection.validation.listing import block_of
from pipeline.inspection.validation.problems import Problem
from pipeline.inspection.validation.rates import FALSE_ALARM
from pipeline.inspection.validation.shard import ShardFindings

_SHOWN = 5
_FEWEST_WINDOWS = 4  # A passage with fewer windows is too short to judge.
_COVERED = 0.9  # The share of a passage's windows that must occur in training text.


class Repeats(NamedTuple):
    """Repetitions that were found.

    Attributes:
        found: the number of repeated sequences or passages.
        total: the number of sequences or passages examined.
        problems: some of the repetitions, as problems to show.
    """

    found: int
    total: int
    problems: list[Problem]


def find_copies(findings: Sequence[ShardFindings]) -> Repeats:
    """Finds sequences that occur twice with the same mask, although masks are drawn anew for every example.

    Sequences with so few possible masks that the same one may be drawn twice by chance are skipped.
    """
    hashes, bits = _column(findings, "masked"), _column(findings, "mask_bits")
    hashes[bits < np.log2(max(len(hashes), 1) / FALSE_ALARM)] = 0
    problems: list[Problem] = []
    count = 0
    for first, *others in _groups(hashes, more_than=1):
        count += len(others)
        for other in others[: _SHOWN - len(problems)]:
            (shard, number), (of_shard, of_number) = _place(findings, other), _place(findings, first)
            message = f"it repeats record {of_number} of {of_shard}, with the same mask"
            problems.append(Problem("duplicates", message, shard, (number,), 1))
    return Repeats(count, len(hashes), problems)


def find_excess(findings: Sequence[ShardFindings], copies: int) -> Repeats:
    """Finds sequences whose text occurs more than `copies` times, with any masks."""
    hashes = _column(findings, "texts")
    problems: list[Problem] = []
    count = 0
    for group in _groups(hashes, more_than=copies):
        count += len(group) - copies
        if len(problems) < _SHOWN:
            (shard, number), (of_shard, of_number) = _place(findings, group[-1]), _place(findings, group[0])
            message = f"its text occurs {len(group)} times, of which dupe_factor explains {copies};"
            message += f" also in record {of_number} of {of_shard}"
            problems.append(Problem("duplicates", message, shard, (number,), 1))
    return Repeats(count, len(hashes), problems)


def _column(findings: Sequence[ShardFindings], name: str) -> np.ndarray:
    return np.concatenate([getattr(found, name) for found in findings] or [np.zeros(0)])


def _groups(hashes: np.ndarray, more_than: int) -> Iterator[list[int]]:
    """Yields the indices, ascending, of each hash that occurs more than `more_than` times; 0 means no hash."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
    ends = np.append(begins[1:], len(ordered))
    for index in np.flatnonzero((ends - begins > more_than) & (ordered[begins] != 0)):
        yield order[begins[index] : ends[index]].tolist()


def _place(findings: Sequence[ShardFindings], index: int) -> tuple[str, int]:
    """Returns the shard and the record number of a sequence, given its index over all shards."""
    for found in findings:
        if index < len(found.sequence_numbers):
            return found.shard.name, int(found.sequence_numbers[index])
        index -= len(found.sequence_numbers)
    raise IndexError(index)


def find_shared_passages(
    validation: Sequence[ShardFindings], train: Sequence[ShardFindings], known: np.ndarray
) -> Repeats:
    """Finds passages of the validation split that also occur in training text.

    Text that occurs in several blocks of the training text is ignored, such as licences, headings and set phrases: a
    document belongs to one block.

    Args:
        validation: the validation shards, with all their windows.
        train: the training shards, searched for the windows `known`.
        known: uint64, ascending, the windows of the validation split.
    """
    block_of_window = np.full(len(known), -1, np.int64)
    several = np.zeros(len(known), bool)
    place_of_window = np.zeros((len(known), 2), np.int64)  # The training shard's index and the record.
    for index, found in enumerate(train):
        hits = found.windows.windows
        earlier = block_of_window[hits]
        block = block_of(found.shard)
        several[hits[(earlier >= 0) & (earlier != block)]] = True
        fresh = hits[earlier < 0]
        block_of_window[fresh] = block
        place_of_window[fresh] = np.stack([np.full(len(fresh), index), found.windows.records[earlier < 0]], axis=1)
    in_train = (block_of_window >= 0) & ~several

    problems: list[Problem] = []
    count = total = 0
    for found in validation:
        window = np.searchsorted(known, found.windows.windows)
        _, first, passage = np.unique(found.windows.passages, return_index=True, return_inverse=True)
        windows = np.bincount(passage, minlength=len(first))
        shared = np.bincount(passage, weights=in_train[window], minlength=len(first))
        told = windows >= _FEWEST_WINDOWS
        covered = told & (shared >= _COVERED * windows)
        total += int(told.sum())
        count += int(covered.sum())
        for index in np.flatnonzero(covered)[: _SHOWN - len(problems)].tolist():
            hit = window[(passage == index) & in_train[window]][0]
            shard, record = place_of_window[hit].tolist()
            message = f"its text also occurs in training text: record {record} of {train[shard].shard.name}"
            number = int(found.windows.records[first[index]])
            problems.append(Problem("split", message, found.shard.name, (number,), 1))
    return Repeats(count, total, problems)
