"""Tokenizers, which turn text into ids, and their vocabularies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from pipeline import files
from pipeline.errors import CorpusError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers.base import TokenBatch, Tokenizer
from pipeline.tokenizers.casing import Casing, stated_casing
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer
from pipeline.tokenizers.sentencepiece_model import is_model
from pipeline.tokenizers.tokenizer_file import is_tokenizer_file, stated_special
from pipeline.tokenizers.vocabulary import read_vocabulary
from pipeline.tokenizers.wordpiece import WordPieceTokenizer

__all__ = [
    "HuggingFaceTokenizer",
    "SentencePieceTokenizer",
    "TokenBatch",
    "Tokenizer",
    "WordPieceTokenizer",
    "load_tokenizer",
    "make_tokenizer",
]


def make_tokenizer(
    vocabulary: bytes,
    *,
    name: str = "the vocabulary",
    lower_case: bool | None = None,
    special: Mapping[str, str | int] | None = None,
) -> Tokenizer:
    """Makes the tokenizer of a vocabulary, whose kind is detected from its bytes.

    Args:
        vocabulary: the bytes of a WordPiece vocabulary, a SentencePiece model or a tokenizer.json.
        name: the name of that file in messages.
        lower_case: as for `WordPieceTokenizer`, `SentencePieceTokenizer` and `HuggingFaceTokenizer`.
        special: special tokens of a tokenizer.json, as for `HuggingFaceTokenizer`; the other kinds know their own.

    Raises:
        VocabularyError: if it is malformed.
    """
    if is_tokenizer_file(vocabulary):
        return HuggingFaceTokenizer(vocabulary, name=name, lower_case=lower_case, special=special)
    kind = SentencePieceTokenizer if is_model(vocabulary) else WordPieceTokenizer
    return kind(vocabulary, name=name, lower_case=lower_case)


def tokenizer_of_file(path: str, vocabulary: bytes, *, lower_case: bool | None = None) -> tuple[Tokenizer, Casing]:
    """Makes the tokenizer of a vocabulary file.

    Beside a tokenizer.json, a tokenizer_config.json may name its special tokens.

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
    tokenizer = make_tokenizer(
        vocabulary,
        name=path,
        lower_case=stated.lower_case if stated else lower_case,
        special=special_beside(path) if is_tokenizer_file(vocabulary) else None,
    )
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
            f"{path} must be the vocabulary that the corpus was made with (SHA-256 {description.sha256})",
            received=f"a file with SHA-256 {sha256}",
            do="Put the right file there, or make the corpus again",
        )
    return make_tokenizer(data, name=path, lower_case=description.lower_case, special=description.special_ids)


def special_beside(path: str) -> dict[str, str]:
    """Returns the special tokens by role that the tokenizer_config.json beside a tokenizer.json states.

    Args:
        path: the tokenizer.json; a file of any other name has no such neighbour.
    """
    folder = path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")
    config = files.join(folder, "tokenizer_config.json")
    if path.rpartition("/")[2] != "tokenizer.json" or not files.exists(config):
        return {}
    try:
        stated = json.loads(files.read(config))
    except ValueError:
        return {}
    return stated_special(stated) if isinstance(stated, dict) else {}
