"""Single segments: sentences packed until an example is full, as in RoBERTa, or one by one.

Liu et al., 2019, "RoBERTa", section 4.2. There is no next-sentence label, and nothing is truncated: a sentence longer
than an example is cut into pieces.
"""

from __future__ import annotations

import numpy as np

from pipeline.instances.instances import Instances, TokenizedDocuments
from pipeline.instances.sentence_pairs import follow


def cut_long_sentences(documents: TokenizedDocuments, room: int) -> TokenizedDocuments:
    """Cuts sentences of more than `room` tokens into pieces of `room` tokens and a remainder."""
    lengths = np.diff(documents.sentence_splits)
    pieces = -(-lengths // room)
    if not len(pieces) or pieces.max() == 1:
        return documents
    first_piece = np.concatenate([np.zeros(1, np.int64), np.cumsum(pieces)])
    number = np.arange(first_piece[-1]) - np.repeat(first_piece[:-1], pieces)
    begins = np.repeat(documents.sentence_splits[:-1], pieces) + number * room
    return TokenizedDocuments(
        documents.ids,
        np.concatenate([begins, documents.sentence_splits[-1:]]),
        first_piece[documents.document_splits],
    )


def join_documents(documents: TokenizedDocuments, sep_id: int) -> TokenizedDocuments:
    """Joins all documents into one, with a sentence of a single [SEP] after each but the last."""
    if documents.documents < 2:
        return documents
    ends = documents.document_splits[1:-1]  # Sentences before which a separator is inserted.
    sentence_splits = np.insert(documents.sentence_splits, ends, documents.sentence_splits[ends])
    separators_before = np.zeros(len(sentence_splits), np.int64)
    separators_before[ends + np.arange(len(ends)) + 1] = 1
    ids = np.insert(documents.ids, documents.sentence_splits[ends], sep_id)
    sentence_splits += np.cumsum(separators_before)
    return TokenizedDocuments(ids, sentence_splits, np.array([0, len(sentence_splits) - 1]))


def pack_sentences(documents: TokenizedDocuments, room: int, sep_id: int) -> Instances:
    """Packs consecutive sentences of a document, as many as fit.

    Args:
        documents: the documents, no sentence longer than `room`; joined by `join_documents` to pack across them.
        room: tokens of the longest instance, without the special tokens around it.
        sep_id: the id of [SEP], with which no instance begins or ends.
    """
    if documents.documents == 0:
        return Instances.none()
    splits, begins = documents.sentence_splits, documents.sentence_splits[:-1]
    document_end = np.repeat(documents.document_splits[1:], np.diff(documents.document_splits))
    end = np.minimum(np.searchsorted(splits, begins + room, side="right") - 1, document_end)
    # A separator is a sentence of its own: if one would begin an instance, the next sentence begins it.
    is_separator = np.append((documents.ids[begins] == sep_id) & (np.diff(splits) == 1), False)
    begin = follow(documents.document_splits, end + is_separator[end])
    end = end[begin]
    end = end - is_separator[end - 1]
    return _single_segments(splits[begin], splits[end] - splits[begin])


def fill(documents: TokenizedDocuments, room: int, sep_id: int) -> Instances:
    """Cuts documents into instances of exactly `room` tokens, sentences too; only a document's last one is shorter.

    As fairseq's `--sample-break-mode none`, where `pack_sentences` is its `complete`.

    Args:
        documents: the documents; joined by `join_documents` to fill instances across them.
        room: tokens of the longest instance, at least 3, without the special tokens around it.
        sep_id: the id of [SEP], with which no instance begins or ends: it is left out there.
    """
    as_sentences = TokenizedDocuments(
        documents.ids,
        documents.sentence_splits[documents.document_splits],
        np.arange(documents.documents + 1),
    )
    splits = cut_long_sentences(as_sentences, room).sentence_splits
    begin_is_sep = documents.ids[splits[:-1]] == sep_id
    end_is_sep = documents.ids[splits[1:] - 1] == sep_id
    return _single_segments(splits[:-1] + begin_is_sep, np.diff(splits) - begin_is_sep - end_is_sep)


def single_sentences(documents: TokenizedDocuments) -> Instances:
    """Makes an instance of each sentence."""
    return _single_segments(documents.sentence_splits[:-1], np.diff(documents.sentence_splits))


def _single_segments(start: np.ndarray, length: np.ndarray) -> Instances:
    nothing = np.zeros(len(start), np.int64)
    return Instances(start, length, nothing, nothing, nothing)
