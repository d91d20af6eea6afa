"""WordPiece in a graph: words are split by this project's rules, and pieces by tensorflow-text."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import tensorflow as tf

from pipeline.errors import VocabularyError
from pipeline.tokenizers.base import MASK
from pipeline.tokenizers.normalizer import BertNormalizer, is_control
from pipeline.tokenizers.pieces import MAX_WORD_CHARS
from pipeline.tokenizers.vocabulary import special_token
from pipeline.tokenizers.wordpiece import WordPieceTokenizer
from pipeline.training.text_ops.characters import CharacterMap, FinalSigma, blocks_order, decode, encode

_MOST_BYTES = 4 * MAX_WORD_CHARS  # Maximum length of a word in UTF-8.
_TOO_LONG = "x" * (_MOST_BYTES + 1)
_IN_BETWEEN = "\0"  # Replaces a dropped mark until the other marks are in order.


class WordPieceOps(tf.Module):
    """The ids of a `WordPieceTokenizer`; see `pipeline.training.text_ops.base.TextOps`.

    tensorflow-text's own BERT tokenizers differ in control characters, which they replace with spaces, in lower case
    (they fold "ß" to "ss") and in long words. Therefore, the text is normalised here by the tokenizer's own rules, and
    words are split with `FastWordpieceTokenizer` (Song et al., 2021, https://arxiv.org/abs/2012.15524).

    Raises:
        VocabularyError: if tensorflow-text does not accept the vocabulary.
    """

    def __init__(self, tokenizer: WordPieceTokenizer) -> None:
        import tensorflow_text as tf_text

        super().__init__()
        self.special_ids: Mapping[str, int] = dict(tokenizer.special_ids)
        self._lower_case = tokenizer.lower_case
        self._sigma = _sigma() if tokenizer.lower_case else None
        self._characters = _characters(tokenizer.lower_case)
        # The operation refuses some entries that match no word; the replacements in brackets match none either.
        entries = [
            entry if entry and "\0" not in entry else f"[[{number}]]" for number, entry in enumerate(tokenizer.tokens)
        ]
        try:
            self._pieces = tf_text.FastWordpieceTokenizer(
                entries,
                max_bytes_per_word=_MOST_BYTES,
                token_out_type=tf.int32,
                unknown_token=special_token("unk"),
                no_pretokenization=True,
            )
        except Exception as error:  # RuntimeError, ValueError or others from its C++ code.
            raise VocabularyError(
                "tensorflow-text's FastWordpieceTokenizer does not accept the vocabulary", received=str(error)[:300]
            ) from error

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenizes strings `[texts]`; returns int32 `[texts, (tokens)]`."""
        words = tf.strings.split(self._normalized(texts))
        too_long = tf.strings.length(words.values, "UTF8_CHAR") > MAX_WORD_CHARS
        words = words.with_values(tf.where(too_long, _TOO_LONG, words.values))
        return self._pieces.tokenize(words).merge_dims(1, 2)

    def tokenize_with_masks(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenizes strings `[texts]` in which [MASK] becomes the special token; returns int32 `[texts, (tokens)]`."""
        parts = tf.strings.split(texts, MASK)
        ids = self.tokenize(parts.values)
        mask = tf.fill([ids.nrows(), 1], tf.constant(self.special_ids["mask"], tf.int32))
        return parts.with_values(tf.concat([ids, mask], axis=1)).merge_dims(1, 2)[:, :-1]

    def _normalized(self, texts: tf.Tensor) -> tf.Tensor:
        """Normalises texts so that their words are separated by spaces, `[texts]`."""
        codes = decode(texts)
        if self._sigma is None:
            return encode(self._characters(codes))
        import tensorflow_text as tf_text

        mapped = encode(self._characters(self._sigma(codes)))
        in_order = tf_text.normalize_utf8(mapped, "NFD")  # Orders the remaining marks, which are not accents.
        return tf.strings.regex_replace(in_order, r"\x00", "")


@functools.cache
def _sigma() -> FinalSigma:
    return FinalSigma(is_control)


@functools.cache
def _characters(lower_case: bool) -> CharacterMap:
    normalizer = BertNormalizer(lower_case=lower_case)
    return CharacterMap(lambda char: _IN_BETWEEN if lower_case and blocks_order(char) else normalizer.replacement(char))
