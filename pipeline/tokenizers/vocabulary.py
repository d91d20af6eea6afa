"""Reading a WordPiece vocabulary: a token a line, its line number its id."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline import files
from pipeline.errors import InputError, VocabularyError
from pipeline.tokenizers.base import SPECIAL_NAMES

_RESERVED = re.compile(r"\[[^\[\]\s]+\]")


def special_token(name: str) -> str:
    """The token of a special name: "[MASK]" of "mask"."""
    return f"[{name.upper()}]"


SPECIAL_TOKENS = tuple(map(special_token, SPECIAL_NAMES))


def is_reserved(token: str) -> bool:
    """Whether `token` is a special one or a place holder, "[MASK]" or "[unused0]": BERT cuts text at brackets."""
    return _RESERVED.fullmatch(token) is not None


def read_vocabulary(path: str) -> bytes:
    """The bytes of a vocabulary file.

    Raises:
        VocabularyError: if it cannot be read.
    """
    try:
        return files.read(path)
    except InputError as error:
        raise VocabularyError(
            f"There must be a vocabulary at {path}",
            received=error.__cause__,
            do="Name one with --vocab, or learn one from your text with the vocab command",
        ) from error


def parse_vocabulary(data: bytes, *, name: str) -> list[str]:
    """The tokens of a vocabulary file, by id.

    Args:
        data: the file's bytes, UTF-8, a token a line, as google-research/bert writes them. A byte order mark is no part
            of the first; empty lines take their ids.
        name: what to call the file in messages.

    Raises:
        VocabularyError: if it is not UTF-8, has an entry twice or lacks a special token.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise VocabularyError(
            f"{name} must be UTF-8 text, a token a line, or a SentencePiece model", received=str(error)
        ) from error
    tokens = [line.strip() for line in text.split("\n")]
    while tokens and not tokens[-1]:
        tokens.pop()
    check_tokens(tokens, name=name)
    return tokens


def check_tokens(tokens: Sequence[str], *, name: str) -> None:
    """Checks that every token is there once, and the special ones at all; empty ones are none.

    Raises:
        VocabularyError: naming what is missing or doubled.
    """
    present = set(tokens)
    missing = [special_token(key) for key in SPECIAL_NAMES if special_token(key) not in present]
    if missing:
        raise VocabularyError(
            f"{name} must hold the special tokens [PAD], [UNK], [CLS], [SEP] and [MASK]",
            received=f"{len(present):,} entries, without {', '.join(missing)}",
            do="Use a BERT vocabulary, or learn one with the vocab command",
        )
    lines: dict[str, int] = {}
    for line, token in enumerate(tokens, start=1):
        if token and token in lines:
            raise VocabularyError(
                f"Every entry of {name} must be there once", received=f"{token!r} on lines {lines[token]} and {line}"
            )
        lines[token] = line
