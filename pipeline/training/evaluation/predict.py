"""Filling masks with a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import ConfigError, InputError
from pipeline.tokenizers import Tokenizer
from pipeline.tokenizers.base import MASK
from pipeline.training.exchange.load import load_trained


@dataclass(frozen=True)
class Guess:
    """A token for a mask, and its probability."""

    token: str
    probability: float


def predict(model_dir: str, texts: Sequence[str], top_k: int = 5) -> list[list[list[Guess]]]:
    """Fills the masks of texts with a trained model.

    Args:
        model_dir: what `load_trained` reads: the folder of a finished run or of a Hugging Face model.
        texts: texts with `[MASK]` in them, each at most as long as the model's sequences.
        top_k: guesses for each mask.

    Returns:
        For each text, for each of its masks from left to right, the best guesses, best first.

    Raises:
        InputError: if there is no trained model, or a text has no mask or is too long.
    """
    trained = load_trained(model_dir)
    return fill_masks(trained.model, trained.tokenizer, texts, top_k)


def fill_masks(model: Any, tokenizer: Tokenizer, texts: Sequence[str], top_k: int = 5) -> list[list[list[Guess]]]:
    """As `predict`, with a model at hand."""
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise ConfigError(f"top_k must be between 1 and {tokenizer.vocab_size}", received=top_k)
    return [_fill_one(model, tokenizer, text, top_k) for text in texts]


def format_guesses(text: str, guesses: Sequence[Sequence[Guess]]) -> str:
    """A text and what its masks were filled with, in Markdown: the text with the best guesses, and a list for each."""
    filled = text
    for of_mask in guesses:
        filled = filled.replace(MASK, f"**{of_mask[0].token}**", 1)
    lists = [", ".join(f"{guess.token} {guess.probability:.1%}" for guess in of_mask) for of_mask in guesses]
    return "\n".join([filled, "", *(f"{number}. {line}" for number, line in enumerate(lists, start=1))])


def _fill_one(model: Any, tokenizer: Tokenizer, text: str, top_k: int) -> list[list[Guess]]:
    ids, positions = encode_with_masks(tokenizer, text)
    limit = model.encoder_network.max_sequence_length
    if limit is not None and len(ids) > limit:
        raise InputError(
            f"A text must have at most {limit} tokens, including special tokens", received=f"{len(ids)} tokens"
        )
    word_ids = np.array([ids], np.int32)
    outputs = model(
        {
            "input_word_ids": word_ids,
            "input_mask": np.ones_like(word_ids),
            "input_type_ids": np.zeros_like(word_ids),
            "masked_lm_positions": np.array([positions], np.int32),
        },
        training=False,
    )
    logits = np.asarray(outputs["mlm_logits"][0], np.float64)  # [masks, vocab_size]
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return [
        [Guess(tokenizer.show(int(i)), float(row[i])) for i in order]
        for row, order in zip(probabilities, best, strict=True)
    ]


def encode_with_masks(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Tokenizes a text with masks as `[CLS] text [SEP]`.

    Returns:
        `(ids, positions)`: the token ids, and where the masks are among them.

    Raises:
        InputError: if there is no mask.
    """
    if MASK not in text:
        raise InputError(f"A text must contain at least one {MASK}", received=repr(text))
    special = tokenizer.special_ids
    ids = [special["cls"], *tokenizer.encode_with_masks(text), special["sep"]]
    return ids, [position for position, token_id in enumerate(ids) if token_id == special["mask"]]
