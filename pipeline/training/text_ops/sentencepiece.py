"""SentencePiece in a graph, with the operations of tensorflow-text."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from pipeline.tokenizers.base import MASK
from pipeline.tokenizers.sentencepiece import SentencePieceTokenizer
from pipeline.tokenizers.spaced_pieces import SPACE
from pipeline.training.text_ops.characters import CharacterMap, FinalSigma, decode, encode, pattern_of

# Private characters, which no model has. FastSentencepieceTokenizer normalises all text, and so could change "[MASK]";
# the second one replaces the first if it occurs in a text.
_MASK, _UNKNOWN = "\U0010fffc", "\U0010fffb"


class SentencePieceOps(tf.Module):
    """The ids of a `SentencePieceTokenizer`; see `pipeline.training.text_ops.base.TextOps`.

    Unigram models use tensorflow-text's `FastSentencepieceTokenizer`. Its `SentencepieceTokenizer`, built on an older
    version of the library, resolves ties between segmentations differently, such as "===" into "=" and "==", in one or
    two of 1,000 sentences. The fast operation supports neither BPE nor bytes, so models with these use the other. It
    also adds other scores for unknown characters and masks; after one, rounding may resolve ties differently.
    """

    def __init__(self, tokenizer: SentencePieceTokenizer) -> None:
        import tensorflow_text as tf_text

        super().__init__()
        self.special_ids: Mapping[str, int] = dict(tokenizer.special_ids)
        fast = tokenizer.is_unigram and not tokenizer.has_bytes
        self._piece = tokenizer.tokens[self.special_ids["mask"]]
        self._mask = _MASK if fast else self._piece
        make = tf_text.FastSentencepieceTokenizer if fast else _named_tokenizer
        self._pieces = make(tokenizer.model_bytes())
        self._pieces_and_masks = make(tokenizer.model_bytes(mask=self._mask))
        self._space = tokenizer.tokens.index(SPACE) if SPACE in tokenizer.tokens else -1
        self._end = pattern_of(str.isspace) + r"+\z"
        self._fold: list[Any] = (
            [CharacterMap(_decomposed), FinalSigma(), CharacterMap(str.lower)] if tokenizer.lower_case else []
        )

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenizes strings `[texts]`; returns int32 `[texts, (tokens)]`."""
        return self._pieces.tokenize(self._folded(texts)).with_row_splits_dtype(tf.int64)

    def tokenize_with_masks(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenizes strings `[texts]` in which [MASK] becomes the special token; returns int32 `[texts, (tokens)]`."""
        parts = tf.strings.split(texts, MASK)
        folded = self._folded(parts.values)
        if self._mask != self._piece:
            folded = tf.strings.regex_replace(folded, self._mask, _UNKNOWN)
            folded = tf.strings.regex_replace(folded, re.escape(self._piece), self._mask)
        # White space before a mask is part of the masked piece, as in "▁word".
        before_mask = tf.strings.join([tf.strings.regex_replace(folded, self._end, ""), self._mask])
        marked = tf.where(_last_of_rows(parts), folded, before_mask)
        marked = tf.strings.reduce_join(parts.with_values(marked), axis=1)
        ids = self._pieces_and_masks.tokenize(marked).with_row_splits_dtype(tf.int64)
        # Removes the white space that the model prepends to a text before a mask.
        following = tf.concat([ids.values[1:], [-1]], axis=0)
        precedes_mask = (following == self.special_ids["mask"]) & ~_last_of_rows(ids)
        return tf.ragged.boolean_mask(ids, ids.with_values((ids.values != self._space) | ~precedes_mask))

    def _folded(self, texts: tf.Tensor) -> tf.Tensor:
        codes = decode(texts)
        for step in self._fold:
            codes = step(codes)
        return encode(codes)


def _named_tokenizer(model: bytes) -> Any:
    """Builds a `SentencepieceTokenizer` with a unique name: SavedModels in one process share resources by name."""
    import tensorflow_text as tf_text

    return tf_text.SentencepieceTokenizer(model, name=f"sentencepiece_{hashlib.sha256(model).hexdigest()}")


def _last_of_rows(ragged: tf.RaggedTensor) -> tf.Tensor:
    """Returns whether each value is the last of its row: bool `[values]`."""
    number = tf.range(tf.size(ragged.values, out_type=tf.int64), dtype=tf.int64)
    return number + 1 == tf.gather(ragged.row_splits, ragged.value_rowids() + 1)


def _decomposed(char: str) -> str:
    """Removes accents from a character, as `pipeline.tokenizers.normalizer.text_for_library` does first."""
    return "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
