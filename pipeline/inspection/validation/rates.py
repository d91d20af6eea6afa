"""Statistical tests of masks and labels, with a bound on false alarms."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.validation.problems import Problem
from pipeline.inspection.validation.tally import Tally

FALSE_ALARM = 1e-6  # The largest probability with which a test rejects a correct corpus.


def largest_deviation(variance: float, largest: float = 1.0, false_alarm: float = FALSE_ALARM) -> float:
    """Bounds how far a sum of independent draws may deviate from its mean.

    Bernstein's inequality (Boucheron, Lugosi and Massart, 2013, "Concentration Inequalities", section 2.8): if the sum
    has variance v and no draw is further than m from its mean, then the sum is t or more from its mean with a
    probability of at most 2 exp(-t^2 / (2 (v + m t / 3))). The bound is sharp for many draws, and valid for few, for
    weighted ones (whole words are replaced together), and if earlier draws decide whether a draw is made (Freedman,
    1975).

    Args:
        variance: v, or an upper bound of it.
        largest: m, or an upper bound of it.
        false_alarm: the probability.

    Returns:
        The smallest such t; 0 if there is no variance.
    """
    if variance <= 0:
        return 0.0
    logarithm = math.log(2 / false_alarm)
    linear = largest * logarithm / 3
    return linear + math.sqrt(linear**2 + 2 * variance * logarithm)


def check_rates(corpus: Corpus, split: str, tally: Tally) -> Iterator[Problem]:
    """Tests the replacements of predictions and, if single tokens are masked, their positions."""
    config, counts = corpus.config, tally.counts
    predictions = counts["predictions"]
    by_mask, at_random = counts["replaced_by_mask"], counts["replaced_at_random"]
    single = config.masking_unit == "token"
    squares, longest = (predictions, 1) if single else (tally.squares, tally.longest_run)
    hidden = config.random_prob * tally.coincidence
    kept_prob = 1 - config.mask_prob - config.random_prob
    for what, observed, prob, mean in (
        ("became [MASK]", by_mask, config.mask_prob, config.mask_prob * predictions),
        ("became a random token", at_random, config.random_prob, config.random_prob * predictions - hidden),
        ("stayed", predictions - by_mask - at_random, kept_prob, kept_prob * predictions + hidden),
    ):
        # A token that looks kept may be a random one that equals the original: adds at most its mean to the variance.
        variance = prob * (1 - prob) * squares + hidden
        allowed = largest_deviation(variance if variance > 1e-9 else 0.0, longest)
        if abs(observed - mean) > allowed + 0.5:
            yield Problem(
                "rates",
                f"{split}: {observed:,} of {predictions:,} predictions {what}, {observed / predictions:.2%};"
                f" expected {mean / predictions:.2%} ± {allowed / predictions:.2%}",
            )
    if single:
        yield from _check_positions(split, tally)


def _check_positions(split: str, tally: Tally) -> Iterator[Problem]:
    tests = int((tally.variance_at > 0).sum())
    allowed = np.array([largest_deviation(v, 1.0, FALSE_ALARM / max(tests, 1)) for v in tally.variance_at.tolist()])
    off = np.flatnonzero(np.abs(tally.predicted_at - tally.expected_at) > allowed + 0.5)
    if len(off):
        worst = int(off[np.argmax(np.abs(tally.predicted_at - tally.expected_at)[off])])
        yield Problem(
            "rates",
            f"{split}: {len(off):,} position{'s are' if len(off) > 1 else ' is'} predicted too often or too rarely;"
            f" position {worst} {tally.predicted_at[worst]:,} times, expected {tally.expected_at[worst]:,.0f}"
            f" ± {allowed[worst]:,.0f}",
        )


def check_pairs(corpus: Corpus, split: str, tally: Tally) -> Iterator[Problem]:
    """Tests the balance of `next_sentence_labels`.

    Half of the pairs should have label 1. Pairs without a next sentence, which the manifest counts, always have label 1
    and are not included.
    """
    forced = corpus.manifest.statistics.get(split, {}).get("pairs_forced_random", 0)
    if tally.counts["label_1"] < forced:
        yield Problem(
            "pairs",
            f"{split}: {tally.counts['label_1']:,} pairs have label 1; the manifest says that {forced:,} pairs have no"
            " next sentence, and these must have label 1",
        )
        return
    pairs = tally.counts["sequences"] or tally.counts["examples"]
    drawn, ones = pairs - forced, tally.counts["label_1"] - forced
    allowed = largest_deviation(drawn / 4)
    if abs(ones - drawn / 2) > allowed:
        yield Problem(
            "pairs",
            f"{split}: {ones:,} of {drawn:,} pairs with a random label have label 1; expected {drawn / 2:,.0f}"
            f" ± {allowed:,.0f}",
        )
