"""How much is masked, and in which units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.errors import ConfigError

UNITS = {
    "token": "single tokens (Devlin et al., 2019, BERT)",
    "word": "whole words (google-research/bert's do_whole_word_mask)",
    "ngram": "n-grams of words, length n with weight 1/n (Lan et al., 2020, ALBERT; tensorflow/models)",
    "span": "spans of words, of geometrically distributed lengths (Joshi et al., 2020, SpanBERT)",
}
_SPAN_SUCCESS_PROB, _MAX_SPAN_WORDS = 0.2, 10  # SpanBERT, section 3.1.


@dataclass(frozen=True)
class MaskingPolicy:
    """How examples are masked.

    Attributes:
        max_predictions_per_seq: P, the maximum number of predictions of an example.
        masked_lm_prob: the share of tokens to predict, in (0, 1].
        unit: a key of `UNITS`: what is chosen, and replaced in one of the three ways, as a whole.
        max_ngram_size: words of the longest n-gram, with unit "ngram".
        mask_prob: probability that a unit becomes [MASK].
        random_prob: probability that a unit becomes random tokens; otherwise it stays.

    Raises:
        ConfigError: for an invalid value.
    """

    max_predictions_per_seq: int
    masked_lm_prob: float = 0.15
    unit: str = "token"
    max_ngram_size: int = 3
    mask_prob: float = 0.8
    random_prob: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.masked_lm_prob <= 1:
            raise ConfigError("masked_lm_prob must be above 0 and at most 1", received=self.masked_lm_prob)
        if self.unit not in UNITS:
            raise ConfigError(f"The masking unit must be one of {', '.join(UNITS)}", received=repr(self.unit))
        if not (self.mask_prob >= 0 and self.random_prob >= 0 and self.mask_prob + self.random_prob <= 1 + 1e-9):
            raise ConfigError(
                "mask_prob and random_prob must be at least 0, and their sum at most 1",
                received=f"{self.mask_prob} and {self.random_prob}",
            )
        if self.max_ngram_size < 1:
            raise ConfigError("max_ngram_size must be at least 1", received=self.max_ngram_size)

    def unit_lengths(self) -> np.ndarray:
        """Returns the probabilities of units of 1, 2, ... words, float64."""
        weights: np.ndarray
        if self.unit == "ngram":
            weights = 1 / np.arange(1, self.max_ngram_size + 1)
        elif self.unit == "span":
            weights = (1 - _SPAN_SUCCESS_PROB) ** np.arange(_MAX_SPAN_WORDS)
        else:
            weights = np.ones(1)
        probabilities: np.ndarray = weights / weights.sum()
        return probabilities

    def length_thresholds(self) -> np.ndarray:
        """From which number in [0, 1) on a unit has one word more: float64, ascending."""
        thresholds: np.ndarray = np.cumsum(self.unit_lengths())[:-1]
        return thresholds


def prediction_counts(lengths: np.ndarray, policy: MaskingPolicy) -> np.ndarray:
    """Returns how many tokens to predict: `min(P, max(1, round(n * masked_lm_prob)))`, rounding half to even.

    This is google-research/bert's formula (create_masked_lm_predictions).

    Args:
        lengths: integers `[batch]`, tokens of the examples, including special tokens.
        policy: the rates.
    """
    wanted = np.rint(lengths * policy.masked_lm_prob).astype(np.int64)
    return np.clip(wanted, 1, policy.max_predictions_per_seq)
