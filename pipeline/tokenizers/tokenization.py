"""BERT's tokenizers under the names of tensorflow/models' `official.nlp.tools.tokenization`, a text at a time.

For code that was written for them. Corpora are tokenized by `WordPieceTokenizer`, which gives the same ids and is
hundreds of times as fast.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline import files
from pipeline.tokenizers.normalizer import basic_tokenize

_UNUSED = re.compile(r"\[unused\d+\]")


def load_vocab(vocab_file: str) -> dict[str, int]:
    """Reads a vocabulary, an entry a line.

    Returns:
        The entries' ids, which are their lines' numbers from 0.

    Raises:
        InputError: if the file cannot be read.
    """
    # At line feeds alone: an entry may be another character that ends lines, such as U+2028.
    lines = files.read(vocab_file).decode("utf-8", "replace").removesuffix("\n").split("\n")
    return {line.strip() or line.removesuffix("\r"): number for number, line in enumerate(lines)}


def convert_tokens_to_ids(vocab: Mapping[str, int], tokens: Iterable[str]) -> list[int]:
    """The ids of tokens.

    Raises:
        KeyError: for a token that is not in the vocabulary.
    """
    return [vocab[token] for token in tokens]


def convert_ids_to_tokens(inv_vocab: Mapping[int, str], ids: Iterable[int]) -> list[str]:
    """The tokens of ids; the inverse of `convert_tokens_to_ids`."""
    return [inv_vocab[token_id] for token_id in ids]


def whitespace_tokenize(text: str) -> list[str]:
    """The words of a text that white space separates."""
    return text.split()


class BasicTokenizer:
    """Splits text into BERT's words: cleaned, CJK ideographs and punctuation apart.

    Args:
        do_lower_case: whether to lower-case text.
        split_on_punc: whether punctuation is apart.
        never_split: words that stay as they are.
        tokenize_chinese_chars: whether CJK ideographs are apart.
        strip_accents: whether to remove accents; by default, if text is lower-cased.
        preserve_unused_token: whether words such as "[unused7]" stay as they are.
    """

    def __init__(
        self,
        do_lower_case: bool = True,
        split_on_punc: bool = True,
        *,
        never_split: Iterable[str] = (),
        tokenize_chinese_chars: bool = True,
        strip_accents: bool | None = None,
        preserve_unused_token: bool = False,
    ) -> None:
        self.do_lower_case = do_lower_case
        self.split_on_punc = split_on_punc
        self.never_split = frozenset(never_split)
        self.tokenize_chinese_chars = tokenize_chinese_chars
        self.strip_accents = do_lower_case if strip_accents is None else strip_accents
        self.preserve_unused_token = preserve_unused_token

    def tokenize(self, text: str) -> list[str]:
        """The words of a text."""
        return basic_tokenize(
            text,
            lower_case=self.do_lower_case,
            accents=not self.strip_accents,
            split_cjk=self.tokenize_chinese_chars,
            split_punctuation=self.split_on_punc,
            is_kept=self.is_kept,
        )

    def is_kept(self, word: str) -> bool:
        """Whether a word stays as it is."""
        return word in self.never_split or (self.preserve_unused_token and _UNUSED.fullmatch(word) is not None)


class WordpieceTokenizer:
    """Cuts words into the longest pieces of a vocabulary, from left to right.

    Args:
        vocab: the pieces; those that continue a word begin with "##".
        unk_token: what becomes of a word that the vocabulary cannot spell.
        max_input_chars_per_word: what becomes of longer words as well.
    """

    def __init__(self, vocab: Mapping[str, int], unk_token: str = "[UNK]", max_input_chars_per_word: int = 400) -> None:
        self.vocab = vocab
        self.unk_token = unk_token
        self.max_input_chars_per_word = max_input_chars_per_word

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text whose words white space separates."""
        return [piece for word in text.split() for piece in self._cut(word)]

    def _cut(self, word: str) -> list[str]:
        if len(word) > self.max_input_chars_per_word:
            return [self.unk_token]
        pieces: list[str] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.vocab), None)
            if end is None:
                return [self.unk_token]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


class FullTokenizer:
    """BERT's tokenizer of a WordPiece vocabulary; words that `BasicTokenizer` keeps are looked up as they are.

    Args:
        vocab_file: the vocabulary.
        do_lower_case: whether to lower-case text.
        split_on_punc: whether punctuation is apart.
        **options: further ones of `BasicTokenizer`.

    Raises:
        InputError: if the vocabulary cannot be read.
    """

    def __init__(self, vocab_file: str, do_lower_case: bool = True, split_on_punc: bool = True, **options: Any) -> None:
        self.vocab = load_vocab(vocab_file)
        self.inv_vocab = {token_id: token for token, token_id in self.vocab.items()}
        self.basic_tokenizer = BasicTokenizer(do_lower_case, split_on_punc, **options)
        self.wordpiece_tokenizer = WordpieceTokenizer(self.vocab)

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text."""
        return [
            piece
            for word in self.basic_tokenizer.tokenize(text)
            for piece in ([word] if self.basic_tokenizer.is_kept(word) else self.wordpiece_tokenizer.tokenize(word))
        ]

    def convert_tokens_to_ids(self, tokens: Sequence[str]) -> list[int]:
        """The ids of tokens; raises KeyError for one that is not in the vocabulary."""
        return convert_tokens_to_ids(self.vocab, tokens)

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """The tokens of ids."""
        return convert_ids_to_tokens(self.inv_vocab, ids)
