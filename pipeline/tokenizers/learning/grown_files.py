"""Files of vocabularies with new entries behind the old ones: a tokenizer.json, or a SentencePiece model."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from pipeline.errors import VocabularyError
from pipeline.tokenizers import sentencepiece_model
from pipeline.tokenizers.huggingface import HuggingFaceTokenizer
from pipeline.tokenizers.tokenizer_file import is_unused


def file_with_pieces(tokenizer: HuggingFaceTokenizer, tokens: Sequence[str], places: Collection[int]) -> bytes:
    """A tokenizer.json of a WordPiece model with new entries.

    Args:
        tokenizer: the old tokenizer.
        tokens: the new entries.
        places: the ids of unused entries that the first of them replace; the others follow behind.
    """
    replaced = set(places)
    vocab = {token: index for token, index in _whole_vocab(tokenizer).items() if index not in replaced}
    behind = range(tokenizer.vocab_size, tokenizer.vocab_size + len(tokens) - len(places))
    return _file(tokenizer, {"vocab": vocab | dict(zip(tokens, [*places, *behind], strict=True))})


def file_with_merges(
    tokenizer: HuggingFaceTokenizer, tokens: Sequence[str], merges: Iterable[tuple[str, str]]
) -> bytes:
    """A tokenizer.json of a byte-pair encoding with new entries, and the merges that make them behind the old ones."""
    vocab = _whole_vocab(tokenizer)
    vocab |= {token: tokenizer.vocab_size + number for number, token in enumerate(tokens)}
    old = list(tokenizer.values["model"]["merges"])
    as_text = bool(old) and isinstance(old[0], str)
    new: list[Any] = [f"{left} {right}" if as_text else [left, right] for left, right in merges]
    return _file(tokenizer, {"vocab": vocab, "merges": [*old, *new]})


def file_with_scores(tokenizer: HuggingFaceTokenizer, scores: Mapping[str, float]) -> bytes:
    """A tokenizer.json of a unigram model with new entries of these scores."""
    vocab = [list(entry) for entry in tokenizer.values["model"]["vocab"]]
    # Added tokens that the model lacks would be numbered behind the new ones. The least score stays what it is: that of
    # unknown text follows from it.
    least = min(score for _, score in vocab)
    vocab += [[token, least] for token in tokenizer.tokens[len(vocab) :]]
    return _file(tokenizer, {"vocab": [*vocab, *([token, score] for token, score in scores.items())]})


def model_with_scores(data: bytes, scores: Mapping[str, float], *, name: str) -> bytes:
    """A SentencePiece model with new pieces of these scores."""
    model = sentencepiece_model.parse_model(data, name=name)
    for piece, score in scores.items():
        model.pieces.add(piece=piece, score=score)
    if model.trainer_spec.HasField("vocab_size"):
        model.trainer_spec.vocab_size = len(model.pieces)
    grown: bytes = model.SerializeToString(deterministic=True)
    return grown


def _whole_vocab(tokenizer: HuggingFaceTokenizer) -> dict[str, int]:
    """The entries of the model and its added tokens.

    The library numbers added tokens that the model lacks by the size of its vocabulary, which grows: within it, they
    keep their ids. No text becomes them all the same, since added tokens are found first.
    """
    return {**tokenizer.values["model"]["vocab"], **tokenizer.added}


def _file(tokenizer: HuggingFaceTokenizer, model: Mapping[str, Any]) -> bytes:
    values = {**tokenizer.values, "model": {**tokenizer.values["model"], **model}}
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def check_grown(old: Sequence[str], new: Sequence[str], tokens: Iterable[str], *, name: str) -> None:
    """Makes sure that the libraries number the entries of a grown vocabulary as it was meant.

    Raises:
        VocabularyError: if old entries have other ids, or new ones are missing.
    """
    moved = [ours for ours, theirs in zip(old, new, strict=False) if ours != theirs and not is_unused(ours)]
    if moved or set(tokens) - set(new):
        raise VocabularyError(
            f"The entries of {name} must keep their ids when others are added",
            received=f"{len(moved):,} that do not, such as {', '.join(map(repr, moved[:3]))}",
            do="Learn a new vocabulary from your text, and train a new model with it",
        )
