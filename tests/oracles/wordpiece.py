"""WordPiece, a piece after the other."""

from __future__ import annotations

from pipeline.tokenizers.pieces import _GOES_ON, MAX_WORD_CHARS


def cut_word(word: str, ids: dict[str, int], unknown_id: int) -> list[int]:
    """What `pipeline.tokenizers.pieces.Pieces.cut` gives for a word."""
    if len(word) > MAX_WORD_CHARS:
        return [unknown_id]
    pieces, start = [], 0
    while start < len(word):
        prefix = _GOES_ON if start else ""
        for end in range(len(word), start, -1):
            piece = ids.get(prefix + word[start:end])
            if piece is not None:
                break
        else:
            return [unknown_id]
        pieces.append(piece)
        start = end
    return pieces
