"""SentencePiece (Kudo and Richardson, 2018), with the same ids as its own library: unigram, BPE, byte fallback."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import VocabularyError
from pipeline.manifest import TokenizerDescription
from pipeline.tokenizers import sentencepiece_model
from pipeline.tokenizers.base import MASK, SPECIAL_NAMES, TokenBatch
from pipeline.tokenizers.casing import AS_ASKED, FOLDED_BY_MODEL, Casing, casing_of_entries
from pipeline.tokenizers.normalizer import text_for_library
from pipeline.tokenizers.spaced_pieces import SPACE, spaced_boundaries
from pipeline.tokenizers.vocabulary import special_token

_BATCH = 16_384  # Sentences per call of the library: bounds its temporary memory, lists of integers.
# Alternatives to the special tokens of BERT and ALBERT: those of RoBERTa and its successors.
_OTHER_NAMES = {"pad": "<pad>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}


class SentencePieceTokenizer:
    """Cuts text into the pieces of a SentencePiece model; see `Tokenizer`.

    It uses the `sentencepiece` library: tensorflow-text's copy is slower, and of another version, which breaks ties
    differently. The model normalises text by its own rules.

    Args:
        model: the bytes of a model file.
        name: the name of that file in messages.
        lower_case: whether to lower-case and strip accents before the model sees the text, as ALBERT does
            (google-research/albert tokenization.py); None infers it from the pieces, see `pipeline.tokenizers.casing`.
            A model that folds case itself does not need it.

    Attributes:
        has_bytes: whether the model has pieces for the bytes of unknown text.

    Raises:
        VocabularyError: if the model is damaged or lacks a special piece.
    """

    def __init__(self, model: bytes, *, name: str = "the vocabulary", lower_case: bool | None = None) -> None:
        self._sha256 = hashlib.sha256(model).hexdigest()
        self._model = sentencepiece_model.parse_model(model, name=name)
        types = [piece.type for piece in self._model.pieces]
        self.tokens: Sequence[str] = [piece.piece for piece in self._model.pieces]
        self.vocab_size = len(self.tokens)
        self.special_ids: Mapping[str, int] = _find_special(self.tokens, types, name)
        special = set(self.special_ids.values())
        never_text = (sentencepiece_model.CONTROL, sentencepiece_model.UNUSED)
        ordinary = [i for i, kind in enumerate(types) if i not in special and kind not in never_text]
        if not ordinary:
            raise VocabularyError(f"{name} must contain more than special and unused pieces")
        self.ordinary_ids = np.array(ordinary, np.int32)
        # Written as <0xE4>.
        byte_pieces = {
            self.tokens[i]: int(self.tokens[i][1:-1], 16) for i in ordinary if types[i] == sentencepiece_model.BYTE
        }
        self.has_bytes = bool(byte_pieces)
        unknown = types.index(sentencepiece_model.UNKNOWN)
        self.word_boundaries = spaced_boundaries(self.tokens, ordinary, unknown, byte_pieces)
        # Text never becomes a control symbol, whatever it spells; it could become a user-defined one.
        for index in special - {self.special_ids["unk"]}:
            self._model.pieces[index].type = sentencepiece_model.CONTROL
        self._processor = _make_processor(self.model_bytes(), name)
        if lower_case is not None:
            self.casing = Casing(lower_case, AS_ASKED)
        elif self._processor.normalize("A") == self._processor.normalize("a"):
            self.casing = Casing(False, FOLDED_BY_MODEL)
        else:
            self.casing = casing_of_entries(self.tokens[i] for i in ordinary if types[i] != sentencepiece_model.BYTE)
        self.lower_case = self.casing.lower_case

    def encode(self, sentences: Sequence[str]) -> TokenBatch:
        """Tokenizes sentences.

        Args:
            sentences: any text; special tokens in it, such as "[MASK]", are plain text.

        Returns:
            The ids, int32, without special tokens; text that the model can neither spell nor encode in bytes is [UNK].
        """
        ids, lengths = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
        for start in range(0, len(sentences), _BATCH):
            batch = [text_for_library(sentence, self.lower_case) for sentence in sentences[start : start + _BATCH]]
            # Measured: twice as fast as the library's own arrays, one per sentence.
            lists = self._processor.encode(batch, out_type=int)
            lengths.append(np.fromiter(map(len, lists), np.int64, len(lists)))
            ids.append(np.fromiter(itertools.chain.from_iterable(lists), np.int32, int(lengths[-1].sum())))
        return TokenBatch(np.concatenate(ids), np.cumsum(np.concatenate(lengths)))

    def encode_with_masks(self, text: str) -> list[int]:
        """Tokenizes a text in which [MASK] becomes the special token."""
        mask_id = self.special_ids["mask"]
        # White space before a mask belongs to the hidden piece, as in "▁word".
        parts = [text_for_library(part, self.lower_case) for part in text.split(MASK)]
        marked = self.tokens[mask_id].join([part.rstrip() for part in parts[:-1]] + parts[-1:])
        ids: list[int] = self._masking_processor.encode(marked, out_type=int)
        # The library prepends white space to every text, even before a mask.
        return [i for i, next_id in itertools.pairwise([*ids, -1]) if next_id != mask_id or self.tokens[i] != SPACE]

    def spell(self, entries: Sequence[str]) -> TokenBatch:
        """Cuts entries of another vocabulary, spelled as this one's are, into those of this one, as `encode` does."""
        model = type(self._model).FromString(self._model.SerializeToString())
        model.normalizer_spec.Clear()
        model.normalizer_spec.add_dummy_prefix = model.normalizer_spec.remove_extra_whitespaces = False
        lists = _make_processor(model, "the vocabulary").encode(list(entries), out_type=int)
        splits = np.cumsum([0, *map(len, lists)], dtype=np.int64)
        return TokenBatch(np.array(list(itertools.chain.from_iterable(lists)), np.int32), splits)

    @property
    def is_unigram(self) -> bool:
        """Whether the model cuts by the scores of whole cuts (Kudo, 2018)."""
        return bool(self._model.trainer_spec.model_type in (0, sentencepiece_model.UNIGRAM))

    @property
    def is_byte_pairs(self) -> bool:
        """Whether the model merges pairs of pieces, by their scores."""
        return bool(self._model.trainer_spec.model_type == sentencepiece_model.BPE)

    @property
    def scores(self) -> list[float]:
        """The pieces' scores, by id."""
        return [piece.score for piece in self._model.pieces]

    @property
    def mergeable_ids(self) -> np.ndarray:
        """int64: the ids of pieces of text, without bytes and pieces that are found before all others."""
        special = set(self.special_ids.values())
        types = [piece.type for piece in self._model.pieces]
        return np.array([i for i, kind in enumerate(types) if kind == sentencepiece_model.NORMAL and i not in special])

    @functools.cached_property
    def _masking_processor(self) -> Any:
        return _make_processor(self.model_bytes(mask=self.tokens[self.special_ids["mask"]]), "the vocabulary")

    def model_bytes(self, *, mask: str | None = None) -> bytes:
        """Returns the model as `encode` uses it: text becomes no special piece.

        Args:
            mask: what becomes the mask's piece in a text; None for nothing.
        """
        model = type(self._model).FromString(self._model.SerializeToString())
        if mask is not None:
            piece = model.pieces[self.special_ids["mask"]]
            piece.piece, piece.type = mask, sentencepiece_model.USER_DEFINED
        data: bytes = model.SerializeToString()
        return data

    def describe(self) -> TokenizerDescription:
        """Returns the manifest's description of this tokenizer."""
        return TokenizerDescription(
            kind="sentencepiece",
            vocab_file="spm.model",
            sha256=self._sha256,
            vocab_size=self.vocab_size,
            lower_case=self.lower_case,
            special_ids=dict(self.special_ids),
        )

    def show(self, index: int) -> str:
        """Returns an entry of the vocabulary."""
        return self.tokens[index]

    def decode(self, ids: Sequence[int]) -> str:
        """Converts ids back to readable text, with special tokens spelled out."""
        of_text = set(self.ordinary_ids.tolist())
        parts = []
        for is_text, run in itertools.groupby(map(int, ids), of_text.__contains__):
            if is_text:
                parts.append(self._processor.decode(list(run)).strip())
            else:
                parts += [self.tokens[i] for i in run]
        return " ".join(parts)


def _make_processor(model: bytes, name: str) -> Any:
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_proto=model, num_threads=1)
    except RuntimeError as error:
        raise VocabularyError(
            f"{name} must be a SentencePiece model that the sentencepiece library can load", received=error
        ) from error


def _find_special(tokens: Sequence[str], types: Sequence[int], name: str) -> dict[str, int]:
    """Returns the ids of the special pieces, by the names of `SPECIAL_NAMES`."""
    found = {"unk": types.index(sentencepiece_model.UNKNOWN)} if sentencepiece_model.UNKNOWN in types else {}
    for key, other in _OTHER_NAMES.items():
        for token in (special_token(key), other):
            if key not in found and token in tokens:
                found[key] = tokens.index(token)
    missing = [f"{special_token(key)} or {_OTHER_NAMES.get(key, '<unk>')}" for key in SPECIAL_NAMES if key not in found]
    if missing:
        raise VocabularyError(
            f"{name} must contain special pieces for padding, unknown text, classification, separation and masks",
            received=f"{len(tokens):,} pieces, without {', '.join(missing)}",
            do="Learn a model with the vocab command, or name the pieces when training one: --pad_piece=[PAD]"
            " --unk_piece=[UNK] --bos_piece=[CLS] --eos_piece=[SEP] --pad_id=0 --control_symbols=[MASK]",
        )
    return {key: found[key] for key in SPECIAL_NAMES}
