"""Sentence pairs with next-sentence labels, as google-research/bert makes them.

`create_instances_from_document` there (create_pretraining_data.py) walks through a document: it gathers sentences
until a target length is reached, splits them at random into A and B, and every other time puts back B's sentences and
takes a B from another document. What it does from a sentence on depends on that sentence alone, never on how it got
there. So here the outcome is drawn for every sentence at once, as if each began an instance, in a few numpy passes
over all of a block; the sentences that do begin one are then found by following the links.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from pipeline.instances.instances import Instances, TokenizedDocuments

_RANDOM_NEXT_PROB = 0.5


def make_sentence_pairs(
    documents: TokenizedDocuments,
    *,
    max_seq_length: int,
    short_seq_prob: float,
    rng: np.random.Generator,
    counts: Counter[str],
) -> Instances:
    """Makes one copy of the instances of a block's documents, in the order of the documents.

    Args:
        documents: the block's documents.
        max_seq_length: longest example, three special tokens included.
        short_seq_prob: probability that a document is cut to a random shorter length, in [0, 1].
        rng: the generator of this block and copy.
        counts: gets "tokens_truncated", tokens that truncation removed, and "pairs_within_document", random B's from
            the same document because the block holds no other.

    Returns:
        Instances whose lengths sum to at most `max_seq_length - 3`.
    """
    if documents.documents == 0:
        empty = np.zeros(0, np.int64)
        return Instances(empty, empty, empty, empty, empty)
    room = max_seq_length - 3
    begins, document_of = documents.sentence_splits[:-1], _document_of_sentence(documents)
    target = _target_lengths(documents.documents, room, short_seq_prob, rng)[document_of]
    sentences = np.arange(len(begins))
    chunk_end = _first_reaching(documents, sentences, target, documents.document_splits[document_of + 1])
    # A takes at least one sentence and leaves at least one, if there are two.
    a_sentences = 1 + (rng.random(len(sentences)) * np.maximum(chunk_end - sentences - 1, 1)).astype(np.int64)
    a_end = sentences + a_sentences
    is_random = (chunk_end - sentences == 1) | (rng.random(len(sentences)) < _RANDOM_NEXT_PROB)
    first = _follow(documents.document_splits, np.where(is_random, a_end, chunk_end))

    a_end, chunk_end, is_random = a_end[first], chunk_end[first], is_random[first]
    a_start = begins[first]
    a_length = documents.sentence_splits[a_end] - a_start
    random_first, random_end = _random_next(documents, document_of[first], target[first] - a_length, rng)
    counts["pairs_within_document"] += int(is_random.sum()) if documents.documents == 1 else 0
    b_first = np.where(is_random, random_first, np.minimum(a_end, len(begins) - 1))
    b_end = np.where(is_random, random_end, chunk_end)
    b_start = begins[b_first]
    b_length = documents.sentence_splits[b_end] - b_start
    return _truncate(Instances(a_start, a_length, b_start, b_length, is_random.astype(np.int64)), room, rng, counts)


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


def _follow(document_splits: np.ndarray, following: np.ndarray) -> np.ndarray:
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
