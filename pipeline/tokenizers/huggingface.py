"""Any tokenizer.json of Hugging Face's tokenizers, such as byte-level BPE, with the same ids as that library."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import VocabularyError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers import tokenizer_file
from pipeline.tokenizers.base import MASK, SPECIAL_NAMES, TokenBatch
from pipeline.tokenizers.casing import AS_ASKED, NORMALIZED_BY_TOKENIZER, Casing
from pipeline.tokenizers.normalizer import text_for_library
from pipeline.tokenizers.pre_tokenized_words import pre_tokenized_boundaries
from pipeline.tokenizers.remembered_chunks import RememberedChunks, cuts_at_spaces

_MOST_ENTRIES = 1 << 24  # As of a model's embeddings.
_BATCH = 4096  # Sentences per call of the library: bounds its temporary memory.


class HuggingFaceTokenizer:
    """Cuts text as a tokenizer.json says; see `Tokenizer`.

    The `tokenizers` library does it, sentence by sentence: a byte-level BPE without `add_prefix_space`, such as
    RoBERTa's, then has another token for the first word of a sentence than for the same word after a space.

    Args:
        data: the bytes of a tokenizer.json.
        name: the name of that file in messages.
        lower_case: whether to lower-case and strip accents before the tokenizer sees the text; None leaves this to the
            tokenizer, which normalises text by its own rules.
        special: special tokens, by the names of `SPECIAL_NAMES`, as tokens or ids; those left open are found in the
            file. See `pipeline.tokenizers.tokenizer_file.find_special`.

    Attributes:
        own_special_ids: `special_ids`, without "unk" if the tokenizer has no such token.

    Raises:
        VocabularyError: if the file is damaged or lacks a special token.
    """

    def __init__(
        self,
        data: bytes,
        *,
        name: str = "the vocabulary",
        lower_case: bool | None = None,
        special: Mapping[str, str | int] | None = None,
    ) -> None:
        self._name = name
        self._sha256 = hashlib.sha256(data).hexdigest()
        self._values = tokenizer_file.parse_tokenizer_file(data, name=name)
        # The library checks the file as it is; only its ids and rules are of use here.
        library = _load(data.decode("utf-8-sig"), name)
        ids: dict[str, int] = library.get_vocab(with_added_tokens=True)
        self.vocab_size = max(ids.values(), default=-1) + 1
        if self.vocab_size > _MOST_ENTRIES:  # A single wrong id would fill the memory.
            raise VocabularyError(
                f"{name} must number its tokens below {_MOST_ENTRIES:,}", received=self.vocab_size - 1
            )
        self.tokens: Sequence[str] = _by_id(ids, self.vocab_size)
        found = tokenizer_file.find_special(self._values, ids, special or {}, name=name)
        if not all(0 <= index < self.vocab_size and self.tokens[index] for index in found.values()):
            raise VocabularyError(
                f"{name} must contain all special tokens", received=f"{self.vocab_size:,} entries: {found}"
            )
        if "unk" not in found and not tokenizer_file.spells_everything(self._values, ids):
            raise VocabularyError(
                f"{name} must contain a token for unknown text, or one for each byte",
                received=f"{len(ids):,} tokens, without {', '.join(tokenizer_file.NAMES['unk'])}",
            )
        self.own_special_ids: Mapping[str, int] = {key: found[key] for key in SPECIAL_NAMES if key in found}
        # What spells everything needs no token for unknown text. Padding stands for it, which no text becomes.
        self.special_ids: Mapping[str, int] = {key: found.get(key, found["pad"]) for key in SPECIAL_NAMES}
        added = [token for token in library.get_added_tokens_decoder().values() if token.special]
        self._special = {token.content: ids[token.content] for token in added}
        self._special |= {self.tokens[index]: index for index in found.values()}
        never_text = set(self._special.values())
        ordinary = [
            index
            for index, token in enumerate(self.tokens)
            if token and index not in never_text and not tokenizer_file.is_unused(token)
        ]
        if not ordinary:
            raise VocabularyError(f"{name} must contain more than special and unused tokens")
        self.ordinary_ids = np.array(ordinary, np.int32)
        self.casing = Casing(False, NORMALIZED_BY_TOKENIZER) if lower_case is None else Casing(lower_case, AS_ASKED)
        self.lower_case = self.casing.lower_case
        self._is_byte_level = tokenizer_file.is_byte_level(self._values)
        self._library = _load(tokenizer_file.for_plain_text(self._values, self._special), name)
        self._chunks = None
        if cuts_at_spaces(self._values):
            space = tokenizer_file.byte_symbols()[ord(" ")]
            has_space = np.array([token.startswith(space) for token in self.tokens], np.bool_)
            self._chunks = RememberedChunks(self._encode_each, has_space)
        self.word_boundaries = pre_tokenized_boundaries(
            self._library, self._values, self.tokens, ordinary, self.special_ids["unk"]
        )

    def encode(self, sentences: Sequence[str]) -> TokenBatch:
        """Tokenizes sentences.

        Args:
            sentences: any text; special tokens in it, such as "<mask>", are plain text.

        Returns:
            The ids, int32, without special tokens, except for text that the model cannot spell.
        """
        texts = [text_for_library(sentence, self.lower_case) for sentence in sentences]
        return self._encode_each(texts) if self._chunks is None else self._chunks.encode(texts)

    def _encode_each(self, texts: Sequence[str]) -> TokenBatch:
        ids, lengths = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            lists = [encoding.ids for encoding in self._library.encode_batch_fast(batch, add_special_tokens=False)]
            lengths.append(np.fromiter(map(len, lists), np.int64, len(lists)))
            ids.append(np.fromiter(itertools.chain.from_iterable(lists), np.int32, int(lengths[-1].sum())))
        return TokenBatch(np.concatenate(ids), np.cumsum(np.concatenate(lengths)))

    def encode_words(self, texts: Sequence[str]) -> tuple[TokenBatch, np.ndarray]:
        """Tokenizes texts like `encode`, and tells which tokens the pre-tokenizer cuts off from what is before them.

        Returns:
            The tokens; and bool `[tokens]`, of which the first of a text is whatever it is.
        """
        ids, words, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], [np.zeros(1, np.int64)]
        for start in range(0, len(texts), _BATCH):
            batch = [text_for_library(text, self.lower_case) for text in texts[start : start + _BATCH]]
            found = self._library.encode_batch(batch, add_special_tokens=False)
            lengths.append(np.fromiter((len(each.ids) for each in found), np.int64, len(found)))
            total = int(lengths[-1].sum())
            ids.append(np.fromiter(itertools.chain.from_iterable(each.ids for each in found), np.int32, total))
            numbers = (-1 if word is None else word for each in found for word in each.word_ids)
            words.append(np.fromiter(numbers, np.int64, total))
        begins = np.diff(np.concatenate(words), prepend=-1) != 0
        return TokenBatch(np.concatenate(ids), np.cumsum(np.concatenate(lengths))), begins

    def split_words(self, text: str) -> list[str]:
        """Returns a text normalised, as the words that the model is given one by one."""
        normalizer, splitter = self._library.normalizer, self._library.pre_tokenizer
        text = text_for_library(text, self.lower_case)
        text = normalizer.normalize_str(text) if normalizer is not None else text
        return [word for word, _ in splitter.pre_tokenize_str(text)] if splitter is not None else [text]

    def spell(self, entries: Sequence[str]) -> TokenBatch:
        """Cuts entries of another vocabulary, spelled as this one's are, into those of this one, as `encode` does."""
        model = {name: value for name, value in self._values["model"].items() if name != "dropout"}
        suffix = model.get("end_of_word_suffix") or ""
        # The model puts the suffix to what it is given, which is the end of a word only if the entry is one.
        bare = {
            ends: _load(json.dumps({"version": "1.0", "added_tokens": [], "model": model | end}), self._name)
            for ends, end in ((True, {}), (False, {"end_of_word_suffix": None} if suffix else {}))
        }
        ids, lengths = [], [0]
        for entry in entries:
            ends = bool(suffix) and entry.endswith(suffix)
            found = bare[ends].encode(entry.removesuffix(suffix) if ends else entry, add_special_tokens=False).ids
            ids += found
            lengths.append(len(found))
        return TokenBatch(np.array(ids, np.int32), np.cumsum(lengths, dtype=np.int64))

    @functools.cached_property
    def word_prefix(self) -> str:
        """What to put before a word to give it the tokens that it has within a text: " " or ""."""
        ids, splits = self.encode(["a", "a a"])
        alone, both = ids[: splits[1]], ids[splits[1] :]
        return "" if np.array_equal(both[len(alone) :], alone) else " "

    @property
    def values(self) -> Mapping[str, Any]:
        """The parsed tokenizer.json."""
        return self._values

    @property
    def scores(self) -> list[float]:
        """The scores of a unigram model, by id."""
        return [score for _, score in self._values["model"]["vocab"]]

    @property
    def added(self) -> Mapping[str, int]:
        """The added tokens, which are cut off before the model sees the text, with their ids."""
        return {token["content"]: int(token["id"]) for token in self._values.get("added_tokens") or ()}

    @property
    def mergeable_ids(self) -> np.ndarray:
        """int64: the ids of entries that the model makes of text, without bytes of characters that it does not know."""
        added, unknown = self.added, self.own_special_ids.get("unk")
        has_bytes = bool(self._values["model"].get("byte_fallback"))
        return np.array(
            [
                index
                for index in self.ordinary_ids.tolist()
                if self.tokens[index] not in added
                and index != unknown
                and not (has_bytes and tokenizer_file.is_byte_piece(self.tokens[index]))
            ],
            np.int64,
        )

    def encode_with_masks(self, text: str) -> list[int]:
        """Tokenizes a text in which [MASK], or the tokenizer's own name for it, becomes the special token."""
        mask = self.tokens[self.special_ids["mask"]]
        marked = mask.join(text_for_library(part, self.lower_case) for part in text.split(MASK))
        ids: list[int] = self._masking_library.encode(marked, add_special_tokens=False).ids
        return ids

    @functools.cached_property
    def _masking_library(self) -> Any:
        mask = self.tokens[self.special_ids["mask"]]
        return _load(tokenizer_file.for_plain_text(self._values, self._special, mask=mask), self._name)

    def describe(self) -> TokenizerDescription:
        """Returns the manifest's description of this tokenizer."""
        return TokenizerDescription(
            kind="huggingface",
            vocab_file="tokenizer.json",
            sha256=self._sha256,
            vocab_size=self.vocab_size,
            lower_case=self.lower_case,
            special_ids=dict(self.special_ids),
        )

    def show(self, index: int) -> str:
        """Returns an entry, spelled in characters instead of symbols for bytes where these are whole characters."""
        token = self.tokens[index]
        if not self._is_byte_level or index in self._special.values():
            return token
        try:
            text = tokenizer_file.bytes_of(token).decode()
        except ValueError:
            return token
        return text.replace(" ", "▁") if text.isprintable() else token

    def decode(self, ids: Sequence[int]) -> str:
        """Converts ids back to readable text, with special tokens spelled out."""
        of_text = set(self.ordinary_ids.tolist())
        parts = []
        for is_text, run in itertools.groupby(map(int, ids), of_text.__contains__):
            if is_text:
                parts.append(self._library.decode(list(run), skip_special_tokens=False).strip())
            else:
                parts += [self.tokens[i] for i in run]
        return " ".join(parts)


def _load(text: str, name: str) -> Any:
    # The library's threads would not survive the fork of a worker, and workers use every core already.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import tokenizers

    try:
        return tokenizers.Tokenizer.from_str(text)
    except Exception as error:
        raise VocabularyError(
            f"{name} must be a tokenizer.json that the tokenizers library {tokenizers.__version__} can load",
            received=str(error),
            do="Copy the file again; one of a newer version may need a newer library",
        ) from error


def _by_id(ids: Mapping[str, int], size: int) -> list[str]:
    """Returns the tokens by id; "" where there is none."""
    tokens = [""] * size
    for token, index in ids.items():
        tokens[index] = token
    return tokens
