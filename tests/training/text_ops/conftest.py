"""Real prose, and tokenizers learned from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from oracles.sentencepiece_models import train_sentencepiece

from pipeline.tokenizers import SentencePieceTokenizer, WordPieceTokenizer


@pytest.fixture(scope="session")
def prose() -> list[str]:
    """Paragraphs of Python's help."""
    return [line for text in topics.values() for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="session")
def sample_vocabulary() -> bytes:
    return (Path(__file__).parents[3] / "vocab" / "sample-uncased-8k.txt").read_bytes()


@pytest.fixture(scope="session")
def sample_tokenizer(sample_vocabulary: bytes) -> Callable[[bool], WordPieceTokenizer]:
    """A real WordPiece tokenizer, lower-casing or not."""
    return lambda lower_case: WordPieceTokenizer(sample_vocabulary, lower_case=lower_case)


@pytest.fixture(scope="session")
def learned(prose: list[str]) -> Callable[..., SentencePieceTokenizer]:
    """Makes a tokenizer whose model of 1,000 pieces the library trains on part of the prose."""

    def learn(*, lower_case: bool = False, **options: Any) -> SentencePieceTokenizer:
        return SentencePieceTokenizer(train_sentencepiece(prose[:3000], 1000, **options), lower_case=lower_case)

    return learn
