"""Finds, for a tokenizer.json, which tokens begin words: where its pre-tokenizer cuts text.

The masks are drawn from ids alone, so this is put into tables. For each token, the pre-tokenizer is asked whether it
cuts in front of it after a letter, after a digit, after a full stop and so on. This is exact for what only depends on
the characters at the cut. The library's own `word_ids` may differ where a cut depends on more:

- Digits that are cut in groups of three, as by GPT-4's pattern, are one word here.
- A character of several tokens, of bytes each, counts as a letter to the token after it.
- A sentence that does not end in a mark and the one after it share a word, if neither has white space there.

A tokenizer that keeps no trace of white space, such as BPE behind `Whitespace`, has tokens for words. If the
pre-tokenizer does not cut at spaces, words are those of `pipeline.tokenizers.sentencepiece`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline.tokenizers.spaced_pieces import spaced_boundaries
from pipeline.tokenizers.tokenizer_file import model_type, rules_of, symbol_bytes
from pipeline.tokenizers.word_boundaries import WordBoundaries

_SPACE = "▁"
_NEXT = (
    "a",
    "s",
    "1",
    ".",
    "'s",
    " a",
    " ",
    "中",
    "—",
    "\n",
)  # Characters of a class are cut alike from each of these.
_MOST_CLASSES = 100


class _Piece(NamedTuple):
    """The text of a token.

    Attributes:
        text: at least one character; that of an incomplete one is a guess.
        starts_inside: whether it begins within a character.
        ends_inside: whether it ends within a character.
    """

    text: str
    starts_inside: bool = False
    ends_inside: bool = False


def pre_tokenized_boundaries(
    library: Any, values: Mapping[str, Any], tokens: Sequence[str], ordinary: Sequence[int], unknown: int
) -> WordBoundaries:
    """Finds where words begin.

    Args:
        library: the `tokenizers.Tokenizer`.
        values: its tokenizer.json.
        tokens: its tokens, by id.
        ordinary: the ids of tokens that text gives.
        unknown: the id of unknown text.
    """
    model, kind = values["model"], model_type(values)
    prefix = model.get("continuing_subword_prefix") or ("##" if kind == "WordPiece" else "")
    if prefix:
        return WordBoundaries(np.array([not token.startswith(prefix) for token in tokens]))
    suffix = model.get("end_of_word_suffix")
    if suffix:
        of_text = np.isin(np.arange(len(tokens)), ordinary)
        inside = of_text & ~np.array([token.endswith(suffix) for token in tokens])
        return WordBoundaries(np.ones(len(tokens), bool), np.where(inside, 2, 1).astype(np.int8), ~of_text[None])
    cut = _cutter(library.pre_tokenizer)
    if cut is None or not (cut("a", " b") or cut("a", f"{_SPACE}b")):
        byte_pieces = {f"<0x{byte:02X}>": byte for byte in range(256)} if model.get("byte_fallback") else {}
        return spaced_boundaries(tokens, ordinary, unknown, byte_pieces)
    alone = {index for index, token in library.get_added_tokens_decoder().items() if not token.special}
    spell = _speller(values)
    pieces = {int(index): spell(tokens[index]) for index in ordinary if index not in alone}
    if kind == "WordLevel" or not any(piece.text[0] in (" ", _SPACE) for piece in pieces.values()):
        return WordBoundaries(np.ones(len(tokens), bool))
    if unknown not in alone and tokens[unknown]:
        pieces.setdefault(unknown, _Piece("a"))  # Part of a word, as an unknown letter is.
    return _by_class(pieces, cut, len(tokens))


def _by_class(pieces: Mapping[int, _Piece], cut: Callable[[str, str], bool], size: int) -> WordBoundaries:
    """Returns the tables of the pieces; any other id is a word by itself."""
    begins, behind = np.ones(size, np.bool_), np.ones(size, np.int8)
    class_of: dict[str, int] = {}
    representatives: dict[tuple[bool, ...], str] = {}
    for index, piece in pieces.items():
        begins[index] = not piece.starts_inside
        if piece.ends_inside:
            behind[index] = 2
            continue
        # "'s" is cut from a word, but after a space, "'" is a quotation mark.
        last = piece.text[-1:] if piece.text[-1].isalnum() else piece.text[-2:]
        if last not in class_of:
            signature = tuple(cut(last, following) for following in _NEXT)
            if len(representatives) < _MOST_CLASSES:
                representatives.setdefault(signature, last)
            class_of[last] = list(representatives).index(signature) if signature in representatives else 0
        behind[index] = 3 + class_of[last]
    after = np.ones((1 + len(representatives), size), np.bool_)
    after[0, list(pieces)] = False  # After a part of a character.
    decided: dict[str, np.ndarray] = {}
    for index, piece in pieces.items():
        start = piece.text[:2]
        if start not in decided:
            decided[start] = np.array([cut(before, start) for before in representatives.values()], np.bool_)
        after[1:, index] = decided[start] & (not piece.starts_inside)
    return WordBoundaries(begins, behind, after)


def _cutter(pre_tokenizer: Any) -> Callable[[str, str], bool] | None:
    """Returns the function that says whether the pre-tokenizer cuts between two texts; None if there is none."""
    if pre_tokenizer is None:
        return None

    def cut(before: str, after: str) -> bool:
        place = len(before)
        return any(start == place for _, (start, _) in pre_tokenizer.pre_tokenize_str(before + after))

    return cut


def _speller(values: Mapping[str, Any]) -> Callable[[str], _Piece]:
    """Returns the function that gives a token's text, as the pre-tokenizer sees it."""
    rules = {rule.get("type"): rule for rule in rules_of(values, "pre_tokenizer")}
    if "ByteLevel" in rules:
        byte_of = symbol_bytes()
        return lambda token: _of_bytes(bytes(byte_of[symbol] for symbol in token if symbol in byte_of))
    space = rules.get("Metaspace", {}).get("replacement", "")
    return lambda token: _Piece(token.replace(space, " ") if space else token)


def _of_bytes(data: bytes) -> _Piece:
    """Returns the text of bytes, of which the first and the last character may be incomplete."""
    rest = data.lstrip(bytes(range(0x80, 0xC0)))
    starts_inside = len(rest) < len(data)
    if not rest:
        return _Piece("a", starts_inside=True)
    lead = max(place for place, byte in enumerate(rest) if byte & 0xC0 != 0x80)
    needed = 1 if rest[lead] < 0x80 else 2 if rest[lead] < 0xE0 else 3 if rest[lead] < 0xF0 else 4
    ends_inside = len(rest) - lead < needed
    text = rest[: lead if ends_inside else None].decode("utf-8", "ignore")
    if ends_inside:
        text += _likely_character(rest[lead])
    return _Piece(text or "a", starts_inside, ends_inside)


def _likely_character(lead: int) -> str:
    """Returns a character of the kind that most often begins with a byte in UTF-8."""
    if lead == 0xC2 or lead in (0xE2, 0xEF):
        return "—"  # Latin-1's and general punctuation, and full-width marks.
    return "é" if lead < 0xE3 else "中" if lead < 0xEE else "😀"
