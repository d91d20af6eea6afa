"""Pseudo-perplexity: how well a masked-LM model foresees a text, a token at a time.

Salazar et al., 2020, "Masked Language Model Scoring" (https://arxiv.org/abs/1910.14659): the pseudo-log-likelihood of a
text is the sum, over its tokens, of the log-probability of each when it alone is masked; the pseudo-perplexity is
exp(-sum / tokens). Special tokens are context and are not counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.training.evaluation.scores import TokenScores

_COPIES = 64  # Copies of a sequence, each with another token masked, that are scored together.


@dataclass(frozen=True)
class PseudoLikelihood:
    """The pseudo-log-likelihood of texts.

    Attributes:
        log_likelihood: its sum over all tokens, in nats.
        tokens: tokens, specials left out.
        texts: how many texts, or parts of texts.
    """

    log_likelihood: float
    tokens: int
    texts: int

    @property
    def perplexity(self) -> float:
        """The pseudo-perplexity; infinite if it is more than a float can hold."""
        mean = -self.log_likelihood / self.tokens
        return math.exp(mean) if mean < 700 else math.inf


def score_sequences(
    score: Callable[..., TokenScores],
    sequences: Iterable[tuple[np.ndarray, np.ndarray]],
    special_ids: Mapping[str, int],
    *,
    max_tokens: int | None = None,
) -> PseudoLikelihood:
    """Masks each token of each sequence in turn.

    Args:
        score: what `build_scorer` made.
        sequences: token ids and segments, int32 `[length]` each, special tokens among them.
        special_ids: ids of the special tokens, by their names.
        max_tokens: enough tokens: no sequence is begun after them.
    """
    # [UNK] is a token of the text: a model can foresee it too.
    specials = [special_ids[name] for name in ("pad", "cls", "sep", "mask")]
    total, tokens, texts = 0.0, 0, 0
    for ids, types in sequences:
        if max_tokens is not None and tokens >= max_tokens:
            break
        positions = np.flatnonzero(~np.isin(ids, specials))
        for start in range(0, len(positions), _COPIES):
            masked = positions[start : start + _COPIES]
            rows = np.arange(len(masked))
            copies = np.repeat(ids[None], len(masked), axis=0)
            copies[rows, masked] = special_ids["mask"]
            places = np.stack([rows, masked], axis=1).astype(np.int32)
            segments = np.repeat(types[None], len(masked), axis=0)
            mask = (copies != special_ids["pad"]).astype(np.int32)
            inputs = {"input_word_ids": copies, "input_mask": mask, "input_type_ids": segments}
            scores: Any = score(inputs, places, ids[masked])
            total -= float(scores.losses.sum(dtype=np.float64))
        tokens += len(positions)
        texts += bool(len(positions))
    return PseudoLikelihood(total, tokens, texts)
