"""WordPiece, with the ids of google-research/bert's `FullTokenizer` at the speed of tensorflow-text's kernels."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import VocabularyError
from pipeline.manifest import TokenizerDescription
from pipeline.quiet import start_tensorflow
from pipeline.tokenizers.base import MASK, SPECIAL_NAMES, TokenBatch
from pipeline.tokenizers.normalizer import BertNormalizer, basic_tokenize, is_control
from pipeline.tokenizers.vocabulary import is_reserved, parse_vocabulary, special_token
from pipeline.tokenizers.word_boundaries import WordBoundaries

# google-research/bert's max_input_chars_per_word: longer words become [UNK].
_MAX_WORD_CHARS = 200
_BATCH = 65_536  # Sentences a call of the kernel: bounds its temporary memory.


class WordPieceTokenizer:
    """Cuts text into the pieces of a WordPiece vocabulary; see `pipeline.tokenizers.base.Tokenizer`.

    tensorflow-text's FastWordpieceTokenizer (Song et al., 2021, "Fast WordPiece Tokenization") does the work on text
    that `BertNormalizer` has made plain: its own lower-casing (NFKC case folding) is not BERT's. The rare sentences
    on which its idea of a word is not BERT's go through a slower, exact path.

    Args:
        vocabulary: the bytes of a vocabulary file.
        name: what to call that file in messages.
        lower_case: whether to lower-case and strip accents; None finds out: a vocabulary without a capital letter
            means lower case.

    Raises:
        VocabularyError: if the vocabulary is malformed.
    """

    def __init__(self, vocabulary: bytes, *, name: str = "the vocabulary", lower_case: bool | None = None) -> None:
        self.tokens: Sequence[str] = parse_vocabulary(vocabulary, name=name)
        self._sha256 = hashlib.sha256(vocabulary).hexdigest()
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        self.vocab_size = len(self.tokens)
        self.special_ids: Mapping[str, int] = {key: self._ids[special_token(key)] for key in SPECIAL_NAMES}
        # An empty line takes its id, as in google-research/bert, and is no token.
        ordinary = [i for i, token in enumerate(self.tokens) if token and not is_reserved(token)]
        if not ordinary:
            raise VocabularyError(f"{name} must hold more than special and unused tokens")
        self.ordinary_ids = np.array(ordinary, np.int32)
        self.word_boundaries = WordBoundaries(np.array([not token.startswith("##") for token in self.tokens]))
        if lower_case is None:
            lower_case = not any(self.tokens[i] != self.tokens[i].lower() for i in ordinary)
        self.lower_case = lower_case
        self._normalizer = BertNormalizer(lower_case=lower_case)
        self._agrees: set[str] = set()
        self._differs: set[str] = set()

    @functools.cached_property
    def _kernel(self) -> Any:
        return _make_kernel(self.tokens)

    @functools.cached_property
    def _word_counter(self) -> Any:
        # A vocabulary of nothing tells how many words the kernel sees: one [UNK] each.
        return _make_kernel([special_token("unk"), "\U0010fffd"])

    def encode(self, sentences: Sequence[str]) -> TokenBatch:
        """Tokenizes sentences.

        Args:
            sentences: any text; what it spells, "[MASK]" too, is text.

        Returns:
            The ids, int32, without special tokens; words that the vocabulary cannot spell are [UNK].
        """
        parts = [self._encode_batch(sentences[i : i + _BATCH]) for i in range(0, len(sentences), _BATCH)]
        if not parts:
            return TokenBatch(np.zeros(0, np.int32), np.zeros(1, np.int64))
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([np.diff(part.row_splits) for part in parts])
        row_splits = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return TokenBatch(np.concatenate([part.ids for part in parts]), row_splits)

    def encode_with_masks(self, text: str) -> list[int]:
        """Tokenizes a text in which [MASK] stands for the special token."""
        ids, row_splits = self.encode(text.split(MASK))
        with_masks: list[int] = np.insert(ids, row_splits[1:-1], self.special_ids["mask"]).tolist()
        return with_masks

    def _encode_batch(self, sentences: Sequence[str]) -> TokenBatch:
        start_tensorflow()
        import tensorflow as tf

        normalized = self._normalizer.normalize(sentences)
        with tf.device("CPU:0"):
            ragged = self._kernel.tokenize(tf.constant(normalized, tf.string))
        batch = TokenBatch(ragged.flat_values.numpy(), ragged.row_splits.numpy())
        exact = {i: self._encode_exactly(sentences[i]) for i in self._exceptions(normalized)}
        return _replace_rows(batch, exact) if exact else batch

    def _exceptions(self, normalized: Sequence[str]) -> list[int]:
        """Indices of the sentences on which the kernel may see other words than BERT's."""
        rows = [i for i, s in enumerate(normalized) if len(s) > _MAX_WORD_CHARS or not s.isascii()]
        characters = set().union(*(normalized[i] for i in rows)) if rows else set()
        self._learn_characters(characters - self._agrees - self._differs)
        differing = self._differs & characters
        return [
            i
            for i in rows
            if (differing and not differing.isdisjoint(normalized[i]))
            or (len(normalized[i]) > _MAX_WORD_CHARS and max(map(len, normalized[i].split())) > _MAX_WORD_CHARS)
        ]

    def _learn_characters(self, characters: set[str]) -> None:
        """Asks the kernel, once for each character, whether it leaves it within a word as BERT does.

        Its tables are of another version of Unicode than Python's.
        """
        fresh = sorted(char for char in characters if not char.isascii())
        if not fresh:
            return
        words = [len(basic_tokenize(f"x{char}x", lower_case=False)) for char in fresh]
        seen = self._word_counter.tokenize([f"x{char}x" for char in fresh]).row_lengths().numpy()
        for char, expected, found in zip(fresh, words, seen.tolist(), strict=True):
            # Ideographs and punctuation stand between spaces by now: one word, whatever the kernel thinks of them.
            (self._agrees if expected == 3 or expected == found else self._differs).add(char)

    def _encode_exactly(self, sentence: str) -> np.ndarray:
        """One sentence's ids by greedy longest match in Python, as google-research/bert's WordpieceTokenizer."""
        ids: list[int] = []
        for word in basic_tokenize(sentence, lower_case=self.lower_case):
            ids += self._word_pieces(word)
        return np.array(ids, np.int32)

    def _word_pieces(self, word: str) -> list[int]:
        unknown = [self.special_ids["unk"]]
        if len(word) > _MAX_WORD_CHARS:
            return unknown
        pieces, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._ids.get(prefix + word[start:end])
                if piece is not None:
                    break
            else:
                return unknown
            pieces.append(piece)
            start = end
        return pieces

    def describe(self) -> TokenizerDescription:
        """What a manifest says of this tokenizer."""
        return TokenizerDescription(
            kind="wordpiece",
            vocab_file="vocab.txt",
            sha256=self._sha256,
            vocab_size=self.vocab_size,
            lower_case=self.lower_case,
            special_ids=dict(self.special_ids),
        )

    def decode(self, ids: Sequence[int]) -> str:
        """Text that reads like what was encoded: pieces joined to words, words by spaces."""
        return " ".join(self.tokens[int(i)] for i in ids).replace(" ##", "")


def _make_kernel(tokens: Sequence[str]) -> Any:
    # Imported here, not above: it takes seconds, and describing a tokenizer needs none of it.
    start_tensorflow()
    import tensorflow as tf
    import tensorflow_text as tf_text

    # The kernel counts a word's bytes; UTF-8 takes at most four a character.
    return tf_text.FastWordpieceTokenizer(
        [token if _is_within_a_word(token) else f"[entry-{index}]" for index, token in enumerate(tokens)],
        token_out_type=tf.int32,
        unknown_token=special_token("unk"),
        max_bytes_per_word=4 * _MAX_WORD_CHARS,
    )


def _is_within_a_word(token: str) -> bool:
    """Whether a word may hold `token`; what none may, white space say, leads the kernel astray."""
    return not any(char.isspace() or is_control(char) for char in token)


def _replace_rows(batch: TokenBatch, rows: dict[int, np.ndarray]) -> TokenBatch:
    """`batch` with the ids of some sentences replaced."""
    pieces, lengths = [], np.diff(batch.row_splits)
    done = 0
    for index in sorted(rows):
        pieces += [batch.ids[done : batch.row_splits[index]], rows[index]]
        done = batch.row_splits[index + 1]
        lengths[index] = len(rows[index])
    pieces.append(batch.ids[done:])
    return TokenBatch(np.concatenate(pieces), np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))
