"""What a vocabulary has more than another one that it extends."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.tokenizers.base import TokenBatch, Tokenizer
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer
from pipeline.tokenizers.tokenizer_file import is_unused, model_type
from pipeline.tokenizers.wordpiece import WordPieceTokenizer

_CONTINUES = "##"
_SPACES = ("Ġ", "▁")  # Of byte-level tokenizers, and of SentencePiece.


@dataclass(frozen=True)
class Growth:
    """The new entries of a vocabulary, and what they were before.

    Attributes:
        size: number of entries of the extended vocabulary.
        old_size: of the one that it extends.
        new_ids: int64 `[new]`, ascending: the ids of new entries.
        pieces: int64, for each of them the ids of the old tokens of its text, one behind another; none where the old
            vocabulary cannot spell it.
        row_splits: int64 `[new + 1]`, where the pieces of each begin and end.
    """

    size: int
    old_size: int
    new_ids: np.ndarray
    pieces: np.ndarray
    row_splits: np.ndarray

    @property
    def in_unused(self) -> int:
        """How many of the new entries took the place of an old one that was unused."""
        return int((self.new_ids < self.old_size).sum())


def differences(old: Tokenizer, new: Tokenizer) -> list[str]:
    """Lists where a vocabulary differs from one that it must extend.

    It extends it if all entries have the same ids, but that unused ones may have become new ones, which the old
    vocabulary has nowhere.

    Returns:
        The differences, in words, by id; none if `new` is `old` or extends it.
    """
    known = set(old.tokens)
    found = []
    for index, (theirs, ours) in enumerate(itertools.zip_longest(old.tokens, new.tokens)):
        if theirs is None:
            if ours in known and ours:
                found.append(f"{ours!r} a second time (id {index})")
        elif ours != theirs and (ours is None or not (theirs == "" or is_unused(theirs)) or ours in known):
            found.append(f"{'nothing' if ours is None else repr(ours)} instead of {theirs!r} (id {index})")
    return found


def growth(old: Tokenizer, new: Tokenizer) -> Growth | None:
    """Returns what a vocabulary has more than one that it extends; None if it is the same.

    Args:
        old: the tokenizer of a model.
        new: one without `differences` from it.
    """
    ids = [i for i, token in enumerate(new.tokens) if i >= old.vocab_size or token != old.tokens[i]]
    if not ids:
        return None
    pieces = list(_old_pieces(old, new, ids))
    splits = np.cumsum([0, *map(len, pieces)])
    flat = np.array(list(itertools.chain.from_iterable(pieces)), np.int64)
    return Growth(new.vocab_size, old.vocab_size, np.array(ids, np.int64), flat, splits)


def _old_pieces(old: Tokenizer, new: Tokenizer, ids: list[int]) -> Iterator[list[int]]:
    unknown = old.special_ids["unk"]
    if isinstance(old, WordPieceTokenizer) or _is_wordpiece(old):
        known = {token: index for index, token in enumerate(old.tokens) if token}
        yield from (_cut(new.tokens[index], known) for index in ids)
        return
    # Added tokens are spelled as text, all others as the old entries are.
    added = new.added if isinstance(new, HuggingFaceTokenizer) else {}
    entries = [new.tokens[index] for index in ids]
    if isinstance(old, HuggingFaceTokenizer | SentencePieceTokenizer):
        spelled = iter(_rows(old.spell([entry for entry in entries if entry not in added])))
    of_text = iter(_rows(old.encode([_text(new, index) for index in ids if new.tokens[index] in added])))
    for entry in entries:
        yield [piece for piece in next(of_text if entry in added else spelled) if piece != unknown]


def _is_wordpiece(tokenizer: Tokenizer) -> bool:
    return isinstance(tokenizer, HuggingFaceTokenizer) and model_type(tokenizer.values) == "WordPiece"


def _text(tokenizer: Tokenizer, index: int) -> str:
    return (" " if tokenizer.tokens[index].startswith(_SPACES) else "") + tokenizer.decode([index])


def _rows(batch: TokenBatch) -> list[list[int]]:
    ids = batch.ids.tolist()
    return [ids[start:end] for start, end in itertools.pairwise(batch.row_splits.tolist())]


def _cut(token: str, known: dict[str, int]) -> list[int]:
    """Cuts an entry of WordPiece, which may continue a word, into the longest pieces, from the left."""
    mark, text = (_CONTINUES, token.removeprefix(_CONTINUES)) if token.startswith(_CONTINUES) else ("", token)
    pieces, start = [], 0
    while start < len(text):
        end = next((end for end in range(len(text), start, -1) if mark + text[start:end] in known), None)
        if end is None:
            return []
        pieces.append(known[mark + text[start:end]])
        mark, start = _CONTINUES, end
    return pieces
