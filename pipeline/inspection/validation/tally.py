"""Counts of the examples of one split, for the totals and the statistical tests."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pipeline.inspection.examples import Examples
from pipeline.inspection.validation.vocabulary import VocabularyFacts


@dataclass
class Tally:
    """Counts of examples; those of several parts can be added.

    Attributes:
        counts: the manifest's counts that examples show, by the manifest's names. Random replacements count only if
            they differ from the original.
        coincidence: sum over predictions of the probability that a random token equals the original.
        squares: sum over runs of predictions of the squared length; tokens replaced together are within one run.
        longest_run: predictions in the longest run.
        predicted_at: int64 `[S]`, predictions at each position.
        expected_at: float64 `[S]`, their expected number if all ordinary tokens of an example are equally likely.
        variance_at: float64 `[S]`, the variance of that number.
    """

    max_seq_length: int
    counts: Counter[str] = field(default_factory=Counter)
    coincidence: float = 0.0
    squares: int = 0
    longest_run: int = 0
    predicted_at: np.ndarray = field(init=False)
    expected_at: np.ndarray = field(init=False)
    variance_at: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.predicted_at = np.zeros(self.max_seq_length, np.int64)
        self.expected_at = np.zeros(self.max_seq_length)
        self.variance_at = np.zeros(self.max_seq_length)

    def add(self, other: Tally) -> None:
        """Adds the counts of another part."""
        self.counts.update(other.counts)
        self.longest_run = max(self.longest_run, other.longest_run)
        for name in ("coincidence", "squares", "predicted_at", "expected_at", "variance_at"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def count(self, examples: Examples, vocabulary: VocabularyFacts, *, masked: bool) -> None:
        """Counts a batch of examples.

        Args:
            examples: the batch, of valid examples.
            vocabulary: the facts about the corpus's vocabulary.
            masked: whether the examples are masked.
        """
        tokens = int(examples.lengths.sum())
        unknown = (examples.ids == vocabulary.special_ids["unk"]) & examples.ordinary
        self.counts["examples"] += len(examples)
        self.counts["tokens"] += tokens
        self.counts["padding"] += examples.ids.size - tokens
        self.counts["unknown_tokens"] += int(unknown.sum())
        if examples.packed:
            sequences = int(examples.begins.sum())
            self.counts["sequences"] += sequences
            self.counts["padding_unpacked"] += sequences * examples.ids.shape[1] - tokens
        if examples.labels is not None:
            self.counts["label_1"] += int(examples.labels.sum())
        if masked:
            self._count_masks(examples, vocabulary)

    def _count_masks(self, examples: Examples, vocabulary: VocabularyFacts) -> None:
        predicted, length = examples.predicted, examples.ids.shape[1]
        stored, originals = examples.stored_ids[predicted], examples.ids[predicted]
        by_mask = stored == vocabulary.special_ids["mask"]
        self.counts["predictions"] += len(stored)
        self.counts["replaced_by_mask"] += int(by_mask.sum())
        self.counts["replaced_at_random"] += int((~by_mask & (stored != originals)).sum())
        self.coincidence += float(vocabulary.is_ordinary[originals].sum() / vocabulary.is_ordinary.sum())

        before = np.zeros_like(predicted)
        before[:, 1:] = predicted[:, :-1]
        run_of = np.cumsum((predicted & ~before).ravel())[predicted.ravel()]
        runs = np.bincount(run_of)
        self.squares += int((runs**2).sum())
        self.longest_run = max(self.longest_run, int(runs.max(initial=0)))

        share = predicted.sum(axis=1) / np.maximum(examples.ordinary.sum(axis=1), 1)
        self.predicted_at[:length] += predicted.sum(axis=0)
        self.expected_at[:length] += share @ examples.ordinary
        self.variance_at[:length] += (share * (1 - share)) @ examples.ordinary
