from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances.instances import Instances, TokenizedDocuments, concatenate, drop_empty


def nested(documents: TokenizedDocuments) -> list[list[list[int]]]:
    sentences = [
        documents.ids[a:b].tolist()
        for a, b in zip(documents.sentence_splits, documents.sentence_splits[1:], strict=False)
    ]
    return [sentences[a:b] for a, b in zip(documents.document_splits, documents.document_splits[1:], strict=False)]


@given(st.lists(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=4), max_size=5))
def test_what_is_empty_is_dropped_and_nothing_else(documents: list[list[list[int]]]) -> None:
    sentences = [sentence for document in documents for sentence in document]
    ids = np.array([token for sentence in sentences for token in sentence], np.int32)
    found = drop_empty(
        ids,
        np.cumsum([0, *map(len, sentences)], dtype=np.int64),
        np.cumsum([0, *map(len, documents)], dtype=np.int64),
    )
    kept = [[sentence for sentence in document if sentence] for document in documents]
    kept = [document for document in kept if document]
    assert nested(found) == kept
    assert found.documents == len(kept)


def instances(*columns: list[int]) -> Instances:
    return Instances(*(np.array(column, np.int64) for column in columns))


def test_taking_and_joining() -> None:
    first = instances([0, 5, 9], [2, 1, 3], [2, 0, 4], [3, 3, 3], [0, 1, 0])
    second = instances([7], [1], [8], [2], [1])
    assert len(first) == 3
    taken = first.take(np.array([2, 0, 2]))
    assert taken.a_start.tolist() == [9, 0, 9]
    assert taken.label.tolist() == [0, 0, 0]
    assert first.take(slice(1, 9)).b_length.tolist() == [3, 3]
    assert first.take(first.label == 1).a_start.tolist() == [5]
    joined = concatenate([first, Instances.none(), second])
    assert joined.a_start.tolist() == [0, 5, 9, 7]
    assert joined.label.tolist() == [0, 1, 0, 1]
    assert len(Instances.none()) == 0
