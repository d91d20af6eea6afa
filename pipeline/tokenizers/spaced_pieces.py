"""Finds where words begin among pieces that mark white space with "▁", as SentencePiece's do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.scripts import is_unspaced
from pipeline.tokenizers.normalizer import is_punctuation
from pipeline.tokenizers.word_boundaries import WordBoundaries

SPACE = "▁"  # SentencePiece's symbol for white space, U+2581.


def spaced_boundaries(
    tokens: Sequence[str], ordinary: Sequence[int], unknown: int, byte_pieces: Mapping[str, int]
) -> WordBoundaries:
    """Returns where words begin: at white space, and around words by themselves, such as punctuation and ideographs.

    These are BERT's words, except that a piece of several ideographs is one word, as is every piece of other scripts
    without spaces. A lone "▁" belongs to the piece after it, and [UNK] is part of a word.

    Args:
        tokens: the pieces by id.
        ordinary: the ids of pieces that text gives.
        unknown: the id of unknown text.
        byte_pieces: the bytes by the pieces that stand for them, such as "<0xE4>".
    """
    begins, behind = np.ones(len(tokens), np.bool_), np.ones(len(tokens), np.int8)
    for index in ordinary:
        token = tokens[index]
        if token in byte_pieces:
            begins[index], behind[index] = _byte_begins_word(byte_pieces[token]), 0
        else:
            begins[index] = token[0] == SPACE or _stands_alone(token[0])
            behind[index] = -1 if token == SPACE else _stands_alone(token[-1])
    begins[unknown], behind[unknown] = False, 0
    return WordBoundaries(begins, behind)


def _stands_alone(char: str) -> bool:
    """Returns whether `char` is not part of a word delimited by white space or punctuation."""
    # In a script without spaces, a piece is the best guess at a word.
    return is_punctuation(char) or is_unspaced(char)


def _byte_begins_word(byte: int) -> bool:
    """Returns whether a character whose UTF-8 begins with `byte` is likely to stand alone, such as CJK or an emoji."""
    if byte < 0x80:
        return _stands_alone(chr(byte))
    return 0xE3 <= byte <= 0xE9 or byte >= 0xF0
