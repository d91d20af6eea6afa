"""How well a model predicts single tokens: the loss of each, and the rank of the right one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.training.modeling.bert_pretrainer import check_inputs

_INPUTS = ("input_word_ids", "input_mask", "input_type_ids", "input_sequence_ids", "next_sentence_positions")


class TokenScores(NamedTuple):
    """Scores of predictions.

    Attributes:
        losses: float32 `[n]`: negative log-likelihood of the right token, in nats.
        ranks: int32 `[n]`: how many tokens were thought likelier than the right one.
        heads: float32 `[batch, num_classes]`, or of packed rows `[batch, sequences, num_classes]`: logits of each
            classification head, by its name.
    """

    losses: np.ndarray
    ranks: np.ndarray
    heads: dict[str, np.ndarray]


def build_scorer(model: Any) -> Callable[..., TokenScores]:
    """Makes a function that scores predictions of `model`.

    Args:
        model: a `BertPretrainerV2`.

    Returns:
        A function of a batch, of which what encoders take is used, int32 matrices; of `places`, int32 `[n, 2]`, the row
        and the position of each prediction; and of `labels`, int32 `[n]`, the right tokens.
    """

    def compute(inputs: Mapping[str, Any], places: Any, labels: Any) -> Any:
        outputs = model.encode(inputs, training=False)
        logits = model.score_positions(outputs["sequence_output"], places)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        right = tf.gather(logits, labels, batch_dims=1)
        ranks = tf.reduce_sum(tf.cast(logits > right[:, None], tf.int32), axis=1)
        heads = {head.name: tf.cast(outputs[head.name], tf.float32) for head in model.classification_heads}
        return losses, ranks, heads

    @functools.cache
    def compiled(names: tuple[str, ...]) -> Any:
        """One trace for all lengths."""
        matrices = {name: tf.TensorSpec([None, None], tf.int32) for name in names}
        pairs, vector = tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None], tf.int32)
        return tf.function(compute, input_signature=[matrices, pairs, vector])

    def score(batch: Mapping[str, np.ndarray], places: np.ndarray, labels: np.ndarray) -> TokenScores:
        check_inputs(model.encoder_network, batch)
        inputs = {name: batch[name] for name in _INPUTS if name in batch}
        scores = compiled(tuple(inputs))(inputs, places, labels)
        return TokenScores(*tf.nest.map_structure(lambda part: part.numpy(), scores))

    return score
