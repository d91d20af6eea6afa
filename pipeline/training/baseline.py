"""What a model without context reaches: predicting the frequencies of the masked tokens."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipeline.record_columns import parsing_features
from pipeline.training.record_source import RecordSource

_BATCH = 1024  # Examples parsed at a time.
_ENOUGH = 1_000_000  # Examples after which frequencies no longer move.


def unigram_cross_entropy(train: RecordSource, validation: RecordSource, vocab_size: int) -> float:
    """Cross-entropy of the validation predictions under the training predictions' frequencies.

    Frequencies are smoothed by adding one to each count. Of very large corpora the first million
    examples are counted.

    Args:
        train: records to count in.
        validation: records to predict.
        vocab_size: entries of the vocabulary.

    Returns:
        Mean negative log-likelihood of a prediction, in nats.
    """
    counts = count_predictions(train, vocab_size)
    log_probabilities = np.log((counts + 1) / (counts.sum() + vocab_size))
    validation_counts = count_predictions(validation, vocab_size)
    return float(-(validation_counts @ log_probabilities) / validation_counts.sum())


def count_predictions(source: RecordSource, vocab_size: int) -> np.ndarray:
    """How often each token is the one to predict.

    Returns:
        int64 `[vocab_size]`.
    """
    features = parsing_features(source.spec)
    wanted = {name: features[name] for name in ("masked_lm_ids", "masked_lm_weights")}
    records = tf.data.TFRecordDataset(list(source.paths), source.compression).take(_ENOUGH)
    counts = np.zeros(vocab_size, np.int64)
    for serialized in records.batch(_BATCH):
        parsed = tf.io.parse_example(serialized, wanted)
        ids = parsed["masked_lm_ids"].numpy()[parsed["masked_lm_weights"].numpy() > 0]
        counts += np.bincount(ids, minlength=vocab_size)
    return counts
