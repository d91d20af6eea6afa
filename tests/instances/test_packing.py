from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances.instances import TokenizedDocuments
from pipeline.instances.packing import cut_long_sentences, fill, join_documents, pack_sentences, single_sentences

Make = Callable[[list[list[int]]], TokenizedDocuments]
DOCUMENTS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=8), max_size=6)
SEP = -7  # Not the id of any token of the made-up documents.


def sentences_of(documents: TokenizedDocuments) -> list[list[list[int]]]:
    bounds = documents.sentence_splits.tolist()
    splits = documents.document_splits.tolist()
    return [
        [documents.ids[bounds[i] : bounds[i + 1]].tolist() for i in range(a, b)] for a, b in itertools.pairwise(splits)
    ]


def pack_one_by_one(documents: list[list[list[int]]], room: int) -> list[list[int]]:
    """Sentences, one after the other, into an example until the next no longer fits."""
    packed = []
    for document in documents:
        example: list[int] = []
        for sentence in document:
            if len(example) + len(sentence) > room:
                packed.append(example)
                example = []
            example = example + sentence
        packed.append(example)
    return packed


def segments(ids: np.ndarray, start: np.ndarray, length: np.ndarray) -> list[list[int]]:
    return [ids[a : a + n].tolist() for a, n in zip(start.tolist(), length.tolist(), strict=True)]


@given(DOCUMENTS, st.integers(1, 20))
def test_long_sentences_are_cut_and_no_token_is_lost(make_documents: Make, lengths: list[list[int]], room: int) -> None:
    cut = cut_long_sentences(make_documents(lengths), room)
    expected = [[] for _ in lengths]
    for document, new in zip(lengths, expected, strict=True):
        for length in document:
            new += [room] * (length // room) + [length % room] * bool(length % room)
    assert [[len(sentence) for sentence in document] for document in sentences_of(cut)] == expected
    assert cut.ids.tolist() == list(range(sum(map(sum, lengths))))


@given(DOCUMENTS)
def test_joined_documents_have_a_separator_between(make_documents: Make, lengths: list[list[int]]) -> None:
    documents = make_documents(lengths)
    expected: list[list[int]] = []
    for document in sentences_of(documents):
        expected += ([[SEP]] if expected else []) + document
    joined = join_documents(documents, SEP)
    assert sentences_of(joined) == [expected] * bool(lengths)
    assert documents.ids.tolist() == list(range(sum(map(sum, lengths))))  # What was given stays as it is.


@given(DOCUMENTS, st.integers(1, 40))
def test_packing_within_documents(make_documents: Make, lengths: list[list[int]], room: int) -> None:
    documents = cut_long_sentences(make_documents(lengths), room)
    packed = pack_sentences(documents, room, SEP)
    assert segments(documents.ids, packed.a_start, packed.a_length) == pack_one_by_one(sentences_of(documents), room)
    assert not packed.b_length.any()
    assert not packed.label.any()


@given(DOCUMENTS, st.integers(1, 40))
def test_packing_across_documents(make_documents: Make, lengths: list[list[int]], room: int) -> None:
    documents = join_documents(cut_long_sentences(make_documents(lengths), room), SEP)
    packed = pack_sentences(documents, room, SEP)
    found = segments(documents.ids, packed.a_start, packed.a_length)
    tokens = [token for segment in found for token in segment if token != SEP]
    assert tokens == list(range(sum(map(sum, lengths))))
    for segment in found:
        assert 1 <= len(segment) <= room
        assert SEP not in (segment[0], segment[-1])
    # No two neighbours would have fitted into one, with the separator if a document ends there.
    ends = set(np.cumsum([sum(document) for document in lengths]).tolist())
    splits = cut_long_sentences(make_documents(lengths), room).sentence_splits
    for a, b in itertools.pairwise(found):
        next_sentence = splits[np.searchsorted(splits, b[0], side="right")] - b[0]
        assert len(a) + (b[0] in ends) + next_sentence > room


def test_single_sentences(make_documents: Make) -> None:
    documents = make_documents([[3, 1], [2]])
    single = single_sentences(documents)
    assert segments(documents.ids, single.a_start, single.a_length) == [[0, 1, 2], [3], [4, 5]]
    assert len(single_sentences(make_documents([]))) == 0


@given(DOCUMENTS, st.integers(3, 20))
def test_filling_within_documents(make_documents: Make, lengths: list[list[int]], room: int) -> None:
    documents = make_documents(lengths)
    filled = fill(documents, room, SEP)
    expected = []
    for document in sentences_of(documents):
        tokens = [token for sentence in document for token in sentence]
        expected += [tokens[place : place + room] for place in range(0, len(tokens), room)]
    assert segments(documents.ids, filled.a_start, filled.a_length) == expected
    assert not filled.b_length.any()


@given(DOCUMENTS, st.integers(3, 20))
def test_filling_across_documents(make_documents: Make, lengths: list[list[int]], room: int) -> None:
    documents = join_documents(make_documents(lengths), SEP)
    filled = fill(documents, room, SEP)
    found = segments(documents.ids, filled.a_start, filled.a_length)
    joined = documents.ids.tolist()
    expected = [joined[place : place + room] for place in range(0, len(joined), room)]
    # A separator at an end of an instance is left out there, and nothing else is.
    assert found == [piece[piece[0] == SEP : len(piece) - (piece[-1] == SEP)] for piece in expected]
    assert all(segment and SEP not in (segment[0], segment[-1]) for segment in found)
