"""Sentence pairs: with next-sentence labels as google-research/bert makes them, and with sentence-order labels.

google-research/bert's `create_instances_from_document` (create_pretraining_data.py) walks through a document. It
gathers sentences up to a target length and splits them at random into A and B. With probability 1/2, it puts B's
sentences back and takes B from another document. The instance that begins at a sentence depends only on that sentence,
not on earlier instances. The functions here therefore draw an instance for every sentence of a block, in a few numpy
passes, and then follow the links from instance to instance to keep those that the walk reaches.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import NamedTuple

import numpy as np

from pipeline.instances.instances import Instances, TokenizedDocuments


def make_next_sentence_pairs(
    documents: TokenizedDocuments,
    *,
    room: int,
    short_seq_prob: float,
    for_packing: bool = False,
    rng: np.random.Generator,
    counts: Counter[str],
) -> Instances:
    """Makes one copy of the next-sentence pairs of a block's documents, in the order of the documents.

    Args:
        documents: the block's documents.
        room: tokens of the longest pair, without special tokens.
        short_seq_prob: probability that a document is cut to a random shorter length, in [0, 1].
        for_packing: whether that length is drawn for each pair instead. Rows are filled by pairs of different lengths,
            and a long document would only have pairs of one.
        rng: the generator of this block and copy.
        counts: incremented at "tokens_truncated", tokens removed by truncation, "pairs_forced_random", pairs whose B is
            random because no sentence follows A, and "pairs_within_document", pairs whose random B is from the same
            document because the block holds no other.

    Returns:
        Instances whose lengths sum to at most `room`; label 0 if B follows A, 1 if B is random.
    """
    if documents.documents == 0:
        return Instances.none()
    chunks = _Chunks.draw(documents, room, short_seq_prob, for_packing, rng)
    is_forced = chunks.end - chunks.begin == 1
    is_random = is_forced | (rng.random(len(chunks.begin)) < 0.5)
    first = follow(documents.document_splits, np.where(is_random, chunks.a_end, chunks.end))

    chunks, is_random = chunks.take(first), is_random[first]
    splits, begins = documents.sentence_splits, documents.sentence_splits[:-1]
    a_start, a_length = begins[chunks.begin], splits[chunks.a_end] - begins[chunks.begin]
    random_first, random_end = _random_next(documents, chunks.document, chunks.target - a_length, rng)
    counts["pairs_forced_random"] += int(is_forced[first].sum())
    if documents.documents == 1:
        counts["pairs_within_document"] += int(is_random.sum())
    # An A at the very end has no next sentence. Its B is random, and the index only has to be in range.
    b_first = np.where(is_random, random_first, np.minimum(chunks.a_end, len(begins) - 1))
    b_start = begins[b_first]
    b_length = splits[np.where(is_random, random_end, chunks.end)] - b_start
    return _truncate(Instances(a_start, a_length, b_start, b_length, is_random.astype(np.int64)), room, rng, counts)


def make_sentence_order_pairs(
    documents: TokenizedDocuments,
    *,
    room: int,
    short_seq_prob: float,
    for_packing: bool = False,
    rng: np.random.Generator,
    counts: Counter[str],
) -> Instances:
    """Makes one copy of the sentence-order pairs of a block's documents: Lan et al., 2020, "ALBERT", section 3.1.

    Both segments are consecutive text, swapped in half of the pairs. If only one sentence is left for both, it is cut
    in two at a random token, so that no text is lost.

    Args:
        documents: the block's documents.
        room: tokens of the longest pair, without special tokens.
        short_seq_prob: probability that a document is cut to a random shorter length, in [0, 1].
        for_packing: whether that length is drawn for each pair instead. Rows are filled by pairs of different lengths,
            and a long document would only have pairs of one.
        rng: the generator of this block and copy.
        counts: incremented at "tokens_truncated", tokens removed by truncation, and "tokens_dropped_alone", single
            tokens without anything to pair them with.

    Returns:
        Instances whose lengths sum to at most `room`; label 0 if the segments are in their order, 1 if swapped.
    """
    if documents.documents == 0:
        return Instances.none()
    chunks = _Chunks.draw(documents, room, short_seq_prob, for_packing, rng)
    chunks = chunks.take(follow(documents.document_splits, chunks.end))
    begin, end = documents.sentence_splits[chunks.begin], documents.sentence_splits[chunks.end]
    alone = end - begin == 1
    counts["tokens_dropped_alone"] += int(alone.sum())
    chunks, begin, end = chunks.take(~alone), begin[~alone], end[~alone]
    inside = begin + 1 + (rng.random(len(begin)) * (end - begin - 1)).astype(np.int64)
    cut = np.where(chunks.end - chunks.begin == 1, inside, documents.sentence_splits[chunks.a_end])
    swapped = rng.random(len(begin)) < 0.5
    pairs = Instances(
        a_start=np.where(swapped, cut, begin),
        a_length=np.where(swapped, end - cut, cut - begin),
        b_start=np.where(swapped, begin, cut),
        b_length=np.where(swapped, cut - begin, end - cut),
        label=swapped.astype(np.int64),
    )
    return _truncate(pairs, room, rng, counts)


class _Chunks(NamedTuple):
    """For every sentence of a block, the chunk of sentences that would begin there, and where it is split.

    Attributes:
        begin: int64, the chunk's first sentence.
        end: int64, the sentence after its last.
        a_end: int64, the sentence after the last of segment A; `end` if there is only one sentence.
        document: int64, its document.
        target: int64, its target length in tokens.
    """

    begin: np.ndarray
    end: np.ndarray
    a_end: np.ndarray
    document: np.ndarray
    target: np.ndarray

    @staticmethod
    def draw(
        documents: TokenizedDocuments, room: int, short_seq_prob: float, one_by_one: bool, rng: np.random.Generator
    ) -> _Chunks:
        document = _document_of_sentence(documents)
        if one_by_one:
            target = _target_lengths(len(document), room, short_seq_prob, rng)
        else:
            target = _target_lengths(documents.documents, room, short_seq_prob, rng)[document]
        begin = np.arange(len(document))
        end = _first_reaching(documents, begin, target, documents.document_splits[document + 1])
        # A takes at least one sentence, and leaves at least one if there are two or more.
        a_end = begin + 1 + (rng.random(len(begin)) * np.maximum(end - begin - 1, 1)).astype(np.int64)
        return _Chunks(begin, end, a_end, document, target)

    def take(self, indices: np.ndarray) -> _Chunks:
        return _Chunks(*(column[indices] for column in self))


def _document_of_sentence(documents: TokenizedDocuments) -> np.ndarray:
    return np.repeat(np.arange(documents.documents), np.diff(documents.document_splits))


def _target_lengths(number: int, room: int, short_seq_prob: float, rng: np.random.Generator) -> np.ndarray:
    """Draws target lengths of instances: int64 `[number]`, 2 to `room` tokens."""
    short = rng.random(number) < short_seq_prob
    shorter = 2 + (rng.random(number) * (room - 1)).astype(np.int64)
    target: np.ndarray = np.where(short, shorter, room)
    return target


def _first_reaching(
    documents: TokenizedDocuments, first: np.ndarray, target: np.ndarray, document_end: np.ndarray
) -> np.ndarray:
    """Returns the smallest ends such that sentences `[first, end)` have `target` tokens, at most the document's end."""
    wanted = documents.sentence_splits[first] + np.maximum(target, 1)
    end: np.ndarray = np.minimum(np.searchsorted(documents.sentence_splits, wanted, side="left"), document_end)
    return end


def follow(document_splits: np.ndarray, following: np.ndarray) -> np.ndarray:
    """Returns the sentences that begin an instance: each document's first, then `following[it]`, to its end."""
    links = following.tolist()
    found = []
    for begin, end in zip(document_splits[:-1].tolist(), document_splits[1:].tolist(), strict=True):
        while begin < end:
            found.append(begin)
            begin = links[begin]
    return np.array(found, np.int64)


def _random_next(
    documents: TokenizedDocuments, document: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws sentences `[first, end)` of another document: from a random one on, until they have `target` tokens."""
    others = max(documents.documents - 1, 1)
    other = (rng.random(len(document)) * others).astype(np.int64)
    if documents.documents > 1:
        other += other >= document
    begin, end = documents.document_splits[other], documents.document_splits[other + 1]
    first = begin + (rng.random(len(document)) * (end - begin)).astype(np.int64)
    return first, _first_reaching(documents, first, target, end)


def _truncate(instances: Instances, room: int, rng: np.random.Generator, counts: Counter[str]) -> Instances:
    """Truncates pairs to `room` tokens like google-research/bert's `truncate_seq_pair`.

    That function removes one token at a time from the longer segment (from B if they are equal), at its front or its
    back with equal probability. In closed form, it first removes the difference, then alternates between B and A; the
    number of tokens removed from the front is binomially distributed.
    """
    a_length, b_length = instances.a_length, instances.b_length
    excess = np.maximum(a_length + b_length - room, 0)
    from_longer = np.minimum(excess, np.abs(a_length - b_length))
    rest = excess - from_longer
    a_removed = np.where(a_length > b_length, from_longer, 0) + rest // 2
    b_removed = np.where(a_length > b_length, 0, from_longer) + (rest + 1) // 2
    counts["tokens_truncated"] += int(excess.sum())
    return dataclasses.replace(
        instances,
        a_start=instances.a_start + rng.binomial(a_removed, 0.5),
        a_length=a_length - a_removed,
        b_start=instances.b_start + rng.binomial(b_removed, 0.5),
        b_length=b_length - b_removed,
    )
