"""What a model without context reaches: predicting the frequencies of the masked tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.training.data.loader import readable

_ENOUGH = 100_000  # Examples after which frequencies hardly change; the run waits for the count.


def unigram_cross_entropy(
    train: Iterable[Mapping[str, Any]], validation: Iterable[Mapping[str, Any]], vocab_size: int
) -> float:
    """Cross-entropy of the validation predictions under the training predictions' frequencies.

    Frequencies are smoothed by adding one to each count. Of large corpora the first hundred thousand
    training examples are counted.

    Args:
        train: batches to count in.
        validation: batches to predict.
        vocab_size: entries of the vocabulary.

    Returns:
        Mean negative log-likelihood of a prediction, in nats.
    """
    counts = count_predictions(train, vocab_size)
    log_probabilities = np.log((counts + 1) / (counts.sum() + vocab_size))
    validation_counts = count_predictions(validation, vocab_size)
    return float(-(validation_counts @ log_probabilities) / validation_counts.sum())


def count_predictions(batches: Iterable[Mapping[str, Any]], vocab_size: int) -> np.ndarray:
    """How often each token is the one to predict.

    Returns:
        int64 `[vocab_size]`.

    Raises:
        CorpusError: if a record cannot be read.
    """
    counts = np.zeros(vocab_size, np.int64)
    read = 0
    for batch in readable(batches):
        ids, weights = np.asarray(batch["masked_lm_ids"]), np.asarray(batch["masked_lm_weights"])
        counts += np.bincount(ids[weights > 0], minlength=vocab_size)
        read += len(ids)
        if read >= _ENOUGH:
            break
    return counts
