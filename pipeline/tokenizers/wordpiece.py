"""WordPiece, with the same ids as google-research/bert's `FullTokenizer`, at the speed of table look-ups."""

from __future__ import annotations

import functools
import hashlib
import itertools
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.errors import VocabularyError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers.base import MASK, SPECIAL_NAMES, TokenBatch
from pipeline.tokenizers.casing import AS_ASKED, Casing, casing_of_entries
from pipeline.tokenizers.chunks import Chunks, encoded
from pipeline.tokenizers.normalizer import BertNormalizer, basic_tokenize
from pipeline.tokenizers.pieces import Pieces
from pipeline.tokenizers.vocabulary import is_reserved, parse_vocabulary, special_token
from pipeline.tokenizers.word_boundaries import WordBoundaries

_CAPITAL_SIGMA = "Σ"
_SIGMA_BYTES = _CAPITAL_SIGMA.encode()
_MOST_CHUNKS = 1 << 19  # Chunks remembered at a time: bounds memory.


class WordPieceTokenizer:
    """Cuts text into the pieces of a WordPiece vocabulary; see `Tokenizer`.

    Text is cut into chunks. When a chunk first occurs, it is normalised and cut into words, and these into pieces; from
    then on, its ids are looked up.

    Args:
        vocabulary: the bytes of a vocabulary file.
        name: the name of that file in messages.
        lower_case: whether to lower-case and strip accents; None infers it from the entries, see
            `pipeline.tokenizers.casing`.

    Raises:
        VocabularyError: if the vocabulary is malformed.
    """

    def __init__(self, vocabulary: bytes, *, name: str = "the vocabulary", lower_case: bool | None = None) -> None:
        self.tokens: Sequence[str] = parse_vocabulary(vocabulary, name=name)
        self._sha256 = hashlib.sha256(vocabulary).hexdigest()
        self._ids = {token: index for index, token in enumerate(self.tokens)}
        self.vocab_size = len(self.tokens)
        self.special_ids: Mapping[str, int] = {key: self._ids[special_token(key)] for key in SPECIAL_NAMES}
        # An empty line takes up an id, as in google-research/bert, but is not a token.
        ordinary = [i for i, token in enumerate(self.tokens) if token and not is_reserved(token)]
        if not ordinary:
            raise VocabularyError(f"{name} must contain more than special and unused tokens")
        self.ordinary_ids = np.array(ordinary, np.int32)
        self.word_boundaries = WordBoundaries(np.array([not token.startswith("##") for token in self.tokens]))
        if lower_case is None:
            self.casing = casing_of_entries(self.tokens[i] for i in ordinary)
        else:
            self.casing = Casing(lower_case, AS_ASKED)
        self.lower_case = self.casing.lower_case
        self._normalizer = BertNormalizer(lower_case=self.lower_case)
        self._learning = threading.Lock()  # Many runners use several threads per worker, which share the chunks.
        self._forget()

    @functools.cached_property
    def _pieces(self) -> Pieces:
        return Pieces(self.tokens, unknown_id=self.special_ids["unk"])

    def encode(self, sentences: Sequence[str]) -> TokenBatch:
        """Tokenizes sentences.

        Args:
            sentences: any text; special tokens in it, such as "[MASK]", are plain text.

        Returns:
            The ids, int32, without special tokens; words that the vocabulary cannot spell are [UNK].
        """
        from pipeline.tokenizers.chunk_kernels import count_ids, put_ids

        data, splits = encoded(sentences)
        # The lower case of sigma depends on whether the word continues, even after an apostrophe, where a chunk ends.
        # Normalising text again does not change it.
        if self.lower_case and ((data[:-1] == _SIGMA_BYTES[0]) & (data[1:] == _SIGMA_BYTES[1])).any():
            settled = (
                " ".join(basic_tokenize(text, lower_case=True)) if _CAPITAL_SIGMA in text else text
                for text in sentences
            )
            data, splits = encoded(list(settled))
        with self._learning:
            if len(self._chunks) > _MOST_CHUNKS:
                self._forget()
            numbers, number_splits = self._chunks.number(data, splits)
            self._learn_chunks()
            chunk_ids, begins, ends = self._ids_of_chunks, self._begins, self._ends
        row_splits = np.zeros(len(splits), np.int64)
        count_ids(numbers, number_splits, begins, ends, row_splits)
        ids = np.empty(row_splits[-1], np.int32)
        put_ids(numbers, chunk_ids, begins, ends, ids)
        return TokenBatch(ids, row_splits)

    def encode_with_masks(self, text: str) -> list[int]:
        """Tokenizes a text in which [MASK] becomes the special token."""
        ids, row_splits = self.encode(text.split(MASK))
        with_masks: list[int] = np.insert(ids, row_splits[1:-1], self.special_ids["mask"]).tolist()
        return with_masks

    def _forget(self) -> None:
        self._chunks = Chunks()
        # Chunk i has the ids `_ids_of_chunks[_begins[i]:_ends[i]]`.
        self._ids_of_chunks = np.zeros(0, np.int32)
        self._begins = self._ends = np.zeros(0, np.int64)

    def _learn_chunks(self) -> None:
        """Computes the ids of the new chunks."""
        if len(self._chunks) == len(self._ends):
            return
        data, splits = self._chunks.since(len(self._ends))
        # A chunk of printable ASCII is one word: a mark of punctuation, or characters without any.
        text = data.tobytes()
        words = np.frombuffer(text.lower() if self.lower_case else text, np.uint8)
        ids, id_splits = self._pieces.cut_encoded(words, splits)
        begins, ends = id_splits[:-1], id_splits[1:].copy()
        others = np.flatnonzero(np.logical_or.reduceat((data < ord(" ")) | (data > ord("~")), splits[:-1]))
        chunks = [text[splits[chunk] : splits[chunk + 1]].decode("utf-8", "surrogatepass") for chunk in others]
        found = [self._normalizer.words(chunk) for chunk in chunks]
        other_ids, other_splits = self._pieces.cut(list(itertools.chain.from_iterable(found)))
        place = len(ids) + other_splits[np.cumsum([0, *map(len, found)])]
        begins[others], ends[others] = place[:-1], place[1:]
        known = len(self._ids_of_chunks)
        self._ids_of_chunks = np.concatenate([self._ids_of_chunks, ids, other_ids])
        self._begins = np.concatenate([self._begins, known + begins])
        self._ends = np.concatenate([self._ends, known + ends])

    def describe(self) -> TokenizerDescription:
        """Returns the manifest's description of this tokenizer."""
        return TokenizerDescription(
            kind="wordpiece",
            vocab_file="vocab.txt",
            sha256=self._sha256,
            vocab_size=self.vocab_size,
            lower_case=self.lower_case,
            special_ids=dict(self.special_ids),
        )

    def show(self, index: int) -> str:
        """Returns an entry of the vocabulary."""
        return self.tokens[index]

    def decode(self, ids: Sequence[int]) -> str:
        """Converts ids back to readable text: pieces joined into words, and words separated by spaces."""
        return " ".join(self.tokens[int(i)] for i in ids).replace(" ##", "")
