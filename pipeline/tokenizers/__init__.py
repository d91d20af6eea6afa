"""Tokenizers, which turn text into ids, and their vocabularies."""

from __future__ import annotations

import hashlib

from pipeline import files
from pipeline.errors import CorpusError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers.base import TokenBatch, Tokenizer
from pipeline.tokenizers.casing import Casing, stated_casing
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer
from pipeline.tokenizers.sentencepiece_model import is_model
from pipeline.tokenizers.vocabulary import read_vocabulary
from pipeline.tokenizers.word_boundaries import WordBoundaries
from pipeline.tokenizers.wordpiece import WordPieceTokenizer

__all__ = [
    "SentencePieceTokenizer",
    "TokenBatch",
    "Tokenizer",
    "WordBoundaries",
    "WordPieceTokenizer",
    "load_tokenizer",
    "make_tokenizer",
    "tokenizer_of_file",
]


def make_tokenizer(vocabulary: bytes, *, name: str = "the vocabulary", lower_case: bool | None = None) -> Tokenizer:
    """Makes the tokenizer of a vocabulary, whose kind is detected from its bytes.

    Args:
        vocabulary: the bytes of a WordPiece vocabulary or a SentencePiece model.
        name: the name of that file in messages.
        lower_case: as for `WordPieceTokenizer` and `SentencePieceTokenizer`.

    Raises:
        VocabularyError: if it is malformed.
    """
    kind = SentencePieceTokenizer if is_model(vocabulary) else WordPieceTokenizer
    return kind(vocabulary, name=name, lower_case=lower_case)


def tokenizer_of_file(path: str, vocabulary: bytes, *, lower_case: bool | None = None) -> tuple[Tokenizer, Casing]:
    """Makes the tokenizer of a vocabulary file.

    Args:
        path: the file.
        vocabulary: its bytes.
        lower_case: whether to lower-case text and strip accents; None decides from the files beside it, or else from
            its entries.

    Returns:
        The tokenizer, and the decision on its casing.

    Raises:
        VocabularyError: if it is malformed.
    """
    stated = stated_casing(path, vocabulary) if lower_case is None else None
    tokenizer = make_tokenizer(vocabulary, name=path, lower_case=stated.lower_case if stated else lower_case)
    return tokenizer, stated or tokenizer.casing


def load_tokenizer(description: TokenizerDescription, directory: str) -> Tokenizer:
    """Makes the tokenizer that a manifest describes.

    Args:
        description: the manifest's `tokenizer`.
        directory: the directory of its vocabulary file: the corpus's directory.

    Raises:
        VocabularyError: if the vocabulary is missing or malformed.
        CorpusError: if it is not the one that made the corpus.
    """
    path = files.join(directory, description.vocab_file)
    data = read_vocabulary(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != description.sha256:
        raise CorpusError(
            f"{path} must be the vocabulary that made the corpus (SHA-256 {description.sha256})",
            received=f"one with SHA-256 {sha256}",
            do="Put the right file there, or make the corpus again",
        )
    return make_tokenizer(data, name=path, lower_case=description.lower_case)
