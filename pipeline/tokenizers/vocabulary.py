"""Reads WordPiece vocabularies: one token per line, whose id is the line number, from 0."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pipeline import files
from pipeline.errors import InputError, VocabularyError
from pipeline.hub import VOCABULARIES, fetch, is_hub_name
from pipeline.shipped import find_shipped
from pipeline.tokenizers.base import SPECIAL_NAMES

_RESERVED = re.compile(r"\[[^\[\]\s]+\]")


def special_token(name: str) -> str:
    """Returns the token of a special name: "[MASK]" for "mask"."""
    return f"[{name.upper()}]"


SPECIAL_TOKENS = tuple(map(special_token, SPECIAL_NAMES))


def is_reserved(token: str) -> bool:
    """Returns whether `token` is a special token or a placeholder, such as "[MASK]" or "[unused0]".

    No other token has this form, because BERT cuts text at brackets.
    """
    return _RESERVED.fullmatch(token) is not None


def find_vocabulary(path: str) -> str:
    """Returns the file of a vocabulary.

    Args:
        path: the file, which may be one that this package ships; or the directory of a model, or the name of a model
            of the hub, whose vocabulary it is.

    Raises:
        VocabularyError: if a directory holds none.
        UserError: if the hub has no such model, or cannot be asked; see `pipeline.hub.fetch`.
    """
    path = find_shipped(path)
    folder = fetch(path, weights=False).folder if is_hub_name(path) else path
    if not os.path.isdir(folder):
        return path
    found = next((name for name in VOCABULARIES if files.exists(files.join(folder, name))), None)
    if found is None:
        raise VocabularyError(
            f"{path} must hold a vocabulary: {', '.join(VOCABULARIES)}",
            received=", ".join(files.list_names(folder)[:5]) or "an empty directory",
            do="Name the vocabulary's file",
        )
    return files.join(folder, found)


def read_vocabulary(path: str) -> bytes:
    """Reads the bytes of a vocabulary file.

    Raises:
        VocabularyError: if it cannot be read.
    """
    try:
        return files.read(path)
    except InputError as error:
        raise VocabularyError(
            f"There must be a vocabulary at {path}",
            received=error.__cause__,
            do="Set --vocab to a vocabulary, or learn one from your text with the vocab command",
        ) from error


def parse_vocabulary(data: bytes, *, name: str) -> list[str]:
    """Parses the tokens of a vocabulary file, by id.

    Args:
        data: the file's bytes: UTF-8, one token per line, as google-research/bert writes them. A byte order mark is
            skipped; empty lines take up ids.
        name: the name of the file in messages.

    Raises:
        VocabularyError: if it is not UTF-8, has a duplicate entry, or lacks a special token.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise VocabularyError(
            f"{name} must be UTF-8 text, one token per line, or a SentencePiece model", received=str(error)
        ) from error
    tokens = [line.strip() for line in text.split("\n")]
    while tokens and not tokens[-1]:
        tokens.pop()
    check_tokens(tokens, name=name)
    return tokens


def check_tokens(tokens: Sequence[str], *, name: str) -> None:
    """Checks that no token occurs twice and that no special token is missing; empty entries are ignored.

    Raises:
        VocabularyError: with the missing or duplicate tokens.
    """
    present = set(tokens)
    missing = [special_token(key) for key in SPECIAL_NAMES if special_token(key) not in present]
    if missing:
        raise VocabularyError(
            f"{name} must contain the special tokens [PAD], [UNK], [CLS], [SEP] and [MASK]",
            received=f"{len(present):,} entries, without {', '.join(missing)}",
            do="Use a BERT vocabulary, or learn one with the vocab command",
        )
    lines: dict[str, int] = {}
    for line, token in enumerate(tokens, start=1):
        if token and token in lines:
            raise VocabularyError(
                f"Every entry of {name} must occur only once", received=f"{token!r} on lines {lines[token]} and {line}"
            )
        lines[token] = line
