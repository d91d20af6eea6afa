"""How well a model predicts single tokens: the loss of each, and the rank of the right one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class TokenScores(NamedTuple):
    """Scores of predictions.

    Attributes:
        losses: float32 `[n]`: negative log-likelihood of the right token, in nats.
        ranks: int32 `[n]`: how many tokens were thought likelier than the right one.
        heads: float32 `[batch, num_classes]`: logits of each classification head, by its name.
    """

    losses: np.ndarray
    ranks: np.ndarray
    heads: dict[str, np.ndarray]


def build_scorer(model: Any) -> Callable[..., TokenScores]:
    """Makes a function that scores predictions of `model`.

    Args:
        model: a `BertPretrainerV2`.

    Returns:
        A function of `word_ids`, `mask` and `type_ids`, int32 `[batch, seq_length]`; of `places`, int32 `[n, 2]`, the
        example and the position of each prediction; and of `labels`, int32 `[n]`, the right tokens.
    """
    matrix, vector = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)

    # One trace for all lengths.
    @tf.function(input_signature=[matrix, matrix, matrix, tf.TensorSpec([None, 2], tf.int32), vector])
    def score(word_ids: Any, mask: Any, type_ids: Any, places: Any, labels: Any) -> Any:
        inputs = {"input_word_ids": word_ids, "input_mask": mask, "input_type_ids": type_ids}
        outputs = model.encode(inputs, training=False)
        logits = model.score_positions(outputs["sequence_output"], places)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        right = tf.gather(logits, labels, batch_dims=1)
        ranks = tf.reduce_sum(tf.cast(logits > right[:, None], tf.int32), axis=1)
        heads = {head.name: tf.cast(outputs[head.name], tf.float32) for head in model.classification_heads}
        return losses, ranks, heads

    return lambda *arrays: TokenScores(*tf.nest.map_structure(lambda part: part.numpy(), score(*arrays)))
