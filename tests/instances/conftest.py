"""Documents of tokens whose ids say where they stand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.instances.instances import TokenizedDocuments

Make = Callable[[list[list[int]]], TokenizedDocuments]


@pytest.fixture(scope="session")
def make_documents() -> Make:
    """Makes documents of the sentence lengths of each; token i has id i."""

    def make(lengths: list[list[int]]) -> TokenizedDocuments:
        flat = [length for document in lengths for length in document]
        return TokenizedDocuments(
            np.arange(sum(flat), dtype=np.int32),
            np.cumsum([0, *flat], dtype=np.int64),
            np.cumsum([0, *map(len, lengths)], dtype=np.int64),
        )

    return make


@pytest.fixture(scope="session")
def lengths() -> list[list[int]]:
    """Sentence lengths of forty documents: some of one sentence, some sentences longer than any example."""
    rng = np.random.default_rng(11)
    documents = [rng.integers(1, 25, rng.integers(1, 16)).tolist() for _ in range(38)]
    return [*documents, [1], [90, 2, 60]]
