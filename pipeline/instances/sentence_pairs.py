"""Sentence pairs: with next-sentence labels as google-research/bert makes them, and with sentence-order labels.

`create_instances_from_document` there (create_pretraining_data.py) walks through a document: it gathers sentences
until a target length is reached, splits them at random into A and B, and every other time puts back B's sentences and
takes a B from another document. What it does from a sentence on depends on that sentence alone, never on how it got
there. So here the outcome is drawn for every sentence at once, as if each began an instance, in a few numpy passes
over all of a block; the sentences that do begin one are then found by following the links.
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
    rng: np.random.Generator,
    counts: Counter[str],
) -> Instances:
    """Makes one copy of the next-sentence pairs of a block's documents, in the order of the documents.

    Args:
        documents: the block's documents.
        room: tokens of the longest pair, special tokens not included.
        short_seq_prob: probability that a document is cut to a random shorter length, in [0, 1].
        rng: the generator of this block and copy.
        counts: gets "tokens_truncated", tokens that truncation removed, "pairs_forced_random", random B's because no
            sentence follows A, and "pairs_within_document", random B's from the same document because the block holds
            no other.

    Returns:
        Instances whose lengths sum to at most `room`; label 0 where B follows A, 1 where B is random.
    """
    if documents.documents == 0:
        return Instances.none()
    chunks = _Chunks.draw(documents, room, short_seq_prob, rng)
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
    # An A at the very end has no next sentence: its B is random, and any place in range serves until then.
    b_first = np.where(is_random, random_first, np.minimum(chunks.a_end, len(begins) - 1))
    b_start = begins[b_first]
    b_length = splits[np.where(is_random, random_end, chunks.end)] - b_start
    return _truncate(Instances(a_start, a_length, b_start, b_length, is_random.astype(np.int64)), room, rng, counts)


def make_sentence_order_pairs(
    documents: TokenizedDocuments,
    *,
    room: int,
    short_seq_prob: float,
    rng: np.random.Generator,
    counts: Counter[str],
) -> Instances:
    """Makes one copy of the sentence-order pairs of a block's documents: Lan et al., 2020, "ALBERT", section 3.1.

    Both segments are consecutive text, swapped in half of the pairs. Where a single sentence is left for both, it is
    cut in two at a random token, so that no text is lost.

    Args:
        documents: the block's documents.
        room: tokens of the longest pair, special tokens not included.
        short_seq_prob: probability that a document is cut to a random shorter length, in [0, 1].
        rng: the generator of this block and copy.
        counts: gets "tokens_truncated", tokens that truncation removed, and "tokens_dropped_alone", tokens that were
            left alone, with nothing to pair them with.

    Returns:
        Instances whose lengths sum to at most `room`; label 0 where the segments stand as in the text, 1 where they
        are swapped.
    """
    if documents.documents == 0:
        return Instances.none()
    chunks = _Chunks.draw(documents, room, short_seq_prob, rng)
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
        end: int64, the sentence behind its last.
        a_end: int64, the sentence after the last of segment A; `end` where there is only one sentence.
        document: int64, its document.
        target: int64, how many tokens it was to reach.
    """

    begin: np.ndarray
    end: np.ndarray
    a_end: np.ndarray
    document: np.ndarray
    target: np.ndarray

    @staticmethod
    def draw(documents: TokenizedDocuments, room: int, short_seq_prob: float, rng: np.random.Generator) -> _Chunks:
        document = _document_of_sentence(documents)
        target = _target_lengths(documents.documents, room, short_seq_prob, rng)[document]
        begin = np.arange(len(document))
        end = _first_reaching(documents, begin, target, documents.document_splits[document + 1])
        # A takes at least one sentence and leaves at least one, if there are two.
        a_end = begin + 1 + (rng.random(len(begin)) * np.maximum(end - begin - 1, 1)).astype(np.int64)
        return _Chunks(begin, end, a_end, document, target)

    def take(self, indices: np.ndarray) -> _Chunks:
        return _Chunks(*(column[indices] for column in self))


def _document_of_sentence(documents: TokenizedDocuments) -> np.ndarray:
    return np.repeat(np.arange(documents.documents), np.diff(documents.document_splits))


def _target_lengths(documents: int, room: int, short_seq_prob: float, rng: np.random.Generator) -> np.ndarray:
    """How many tokens each document's instances are to reach: int64 `[documents]`, 2 to `room`."""
    short = rng.random(documents) < short_seq_prob
    shorter = 2 + (rng.random(documents) * (room - 1)).astype(np.int64)
    target: np.ndarray = np.where(short, shorter, room)
    return target


def _first_reaching(
    documents: TokenizedDocuments, first: np.ndarray, target: np.ndarray, document_end: np.ndarray
) -> np.ndarray:
    """The least ends such that sentences `[first, end)` hold `target` tokens; a document's end where it has fewer."""
    wanted = documents.sentence_splits[first] + np.maximum(target, 1)
    end: np.ndarray = np.minimum(np.searchsorted(documents.sentence_splits, wanted, side="left"), document_end)
    return end


def follow(document_splits: np.ndarray, following: np.ndarray) -> np.ndarray:
    """The sentences that begin an instance: every document's first, then what `following` says, to its end."""
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
    """Sentences `[first, end)` of another document, from a random one on until `target` tokens are reached."""
    others = max(documents.documents - 1, 1)
    other = (rng.random(len(document)) * others).astype(np.int64)
    if documents.documents > 1:
        other += other >= document
    begin, end = documents.document_splits[other], documents.document_splits[other + 1]
    first = begin + (rng.random(len(document)) * (end - begin)).astype(np.int64)
    return first, _first_reaching(documents, first, target, end)


def _truncate(instances: Instances, room: int, rng: np.random.Generator, counts: Counter[str]) -> Instances:
    """Cuts pairs to `room` tokens as google-research/bert's `truncate_seq_pair`.

    There, one token after the other is taken from the longer segment (from B where they are alike), at its front or
    its back with equal probability. In closed form: the difference first, then B and A in turns; and the tokens taken
    from the front are binomially distributed.
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
