"""Cuts words into the entries of a WordPiece vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.tokenizers.chunks import encoded

# google-research/bert's max_input_chars_per_word: longer words become [UNK].
MAX_WORD_CHARS = 200
_GOES_ON = "##"  # Prefix of entries that continue a word.


class Pieces:
    """Cuts words as google-research/bert's `WordpieceTokenizer` does: longest match first, from the left.

    Args:
        tokens: the vocabulary.
        unknown_id: the id of words that the vocabulary cannot spell.
    """

    def __init__(self, tokens: Sequence[str], *, unknown_id: int) -> None:
        from pipeline.tokenizers import chunk_kernels as kernels

        goes_on = [token.startswith(_GOES_ON) for token in tokens]
        tokens_, splits = encoded([token.removeprefix(_GOES_ON) for token in tokens])
        slots = np.full(1 << (2 * len(tokens)).bit_length(), -1, np.int32)
        self._vocabulary = (tokens_, splits, np.array(goes_on, np.uint8), slots)
        kernels.fill_pieces(*self._vocabulary)
        self._longest = int(np.diff(splits).max())
        self._unknown_id = unknown_id

    def cut(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Cuts words.

        Args:
            words: as split by `pipeline.tokenizers.normalizer`; none is empty.

        Returns:
            Their ids, int32, word by word, and their row splits, int64 `[words + 1]`.
        """
        return self.cut_encoded(*encoded(words))

    def cut_encoded(self, data: np.ndarray, splits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cuts words given as `pipeline.tokenizers.chunks.encoded` returns them; see `cut`."""
        from pipeline.tokenizers import chunk_kernels as kernels

        ids, id_splits = np.empty(len(data), np.int32), np.empty(len(splits), np.int64)
        number = kernels.cut_words(
            *(data, splits, *self._vocabulary, self._longest, MAX_WORD_CHARS, self._unknown_id, ids, id_splits)
        )
        return ids[:number], id_splits
