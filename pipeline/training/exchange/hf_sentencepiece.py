"""Converts SentencePiece models to the format of the tokenizers library."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.errors import ConfigError
from pipeline.tokenizers import Tokenizer
from pipeline.tokenizers import sentencepiece_model as spm

_SPACE = "▁"
_NEVER = -1e6  # The score of pieces that must never be produced from text.


def sentencepiece_parts(tokenizer: Tokenizer, vocabulary: bytes) -> dict[str, Any]:
    """Returns the parts of a tokenizer.json that are specific to a SentencePiece model.

    Args:
        tokenizer: the tokenizer.
        vocabulary: the bytes of its model.

    Raises:
        ConfigError: for a model of words or characters, or one with pieces or rules that the library lacks.
    """
    model = spm.parse_model(vocabulary, name="the vocabulary")
    special = set(tokenizer.special_ids.values())
    user_defined = [p.piece for i, p in enumerate(model.pieces) if p.type == spm.USER_DEFINED and i not in special]
    kind = model.trainer_spec.model_type or spm.UNIGRAM
    for refused, what in (
        (kind not in (spm.UNIGRAM, spm.BPE), "a model of words or characters"),
        (bool(user_defined), f"user-defined pieces, such as {', '.join(map(repr, user_defined[:3]))}"),
        (not _flag(model.normalizer_spec, "escape_whitespaces"), "a model that does not escape white space"),
    ):
        if refused:
            raise ConfigError(
                "Hugging Face's tokenizers support only SentencePiece models of unigrams or byte pairs",
                received=what,
                do="Export this model as a SavedModel instead",
            )
    prefix = "first" if _flag(model.normalizer_spec, "add_dummy_prefix") else "never"
    space = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": prefix, "split": False}
    return {
        "normalizer": {
            "type": "Sequence",
            "normalizers": list(_normalizers(model.normalizer_spec, tokenizer.lower_case)),
        },
        "pre_tokenizer": space,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, space]},
        "model": _unigram(model, tokenizer) if kind == spm.UNIGRAM else _byte_pairs(model, tokenizer),
    }


def _flag(message: Any, name: str) -> bool:
    """Returns a flag of a normaliser; the default is true."""
    return bool(getattr(message, name)) if message.HasField(name) else True


def _normalizers(spec: Any, lower_case: bool) -> Iterator[dict[str, Any]]:
    if lower_case:
        yield from ({"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"})
    if spec.precompiled_charsmap:
        yield {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(spec.precompiled_charsmap).decode()}
    if _flag(spec, "remove_extra_whitespaces"):
        # Leading white space marks the first word, so it is not extra.
        yield {"type": "Strip", "strip_left": False, "strip_right": True}
        yield {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}


def _unigram(model: Any, tokenizer: Tokenizer) -> dict[str, Any]:
    special = set(tokenizer.special_ids.values())
    pieces = [
        (piece.piece, piece.score if piece.type == spm.NORMAL and index not in special else _NEVER)
        for index, piece in enumerate(model.pieces)
    ]
    byte_fallback = any(piece.type == spm.BYTE for piece in model.pieces)
    return {"type": "Unigram", "unk_id": tokenizer.special_ids["unk"], "vocab": pieces, "byte_fallback": byte_fallback}


def _byte_pairs(model: Any, tokenizer: Tokenizer) -> dict[str, Any]:
    normal = [piece for piece in model.pieces if piece.type == spm.NORMAL]
    return {
        "type": "BPE",
        "unk_token": tokenizer.tokens[tokenizer.special_ids["unk"]],
        "fuse_unk": True,
        "byte_fallback": any(piece.type == spm.BYTE for piece in model.pieces),
        "vocab": {piece.piece: index for index, piece in enumerate(model.pieces)},
        "merges": _merges({piece.piece: piece.score for piece in normal}),
    }


def _merges(scores: dict[str, float]) -> Sequence[tuple[str, str]]:
    """Returns every pair of pieces that forms a piece, best piece first."""
    found = [
        (-score, piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [(left, right) for _, left, right in sorted(found, key=lambda merge: merge[0])]
