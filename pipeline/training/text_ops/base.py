"""The interface of tokenizers in a TensorFlow graph, and the conversion of their ids to model inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import tensorflow as tf


class TextOps(Protocol):
    """A tokenizer in a graph; a `tf.Module`, so that its resources are saved with a model.

    Attributes:
        special_ids: ids of the special tokens, by the names of `pipeline.tokenizers.base.SPECIAL_NAMES`.
    """

    special_ids: Mapping[str, int]

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenizes strings `[texts]` as `Tokenizer.encode` does; returns int32 `[texts, (tokens)]`."""

    def tokenize_with_masks(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Tokenizes strings `[texts]` as `Tokenizer.encode_with_masks` does; returns int32 `[texts, (tokens)]`."""


def model_inputs(
    ids: tf.RaggedTensor, special_ids: Mapping[str, int], max_length: int | None, *, pad_to_max: bool = False
) -> dict[str, tf.Tensor]:
    """Makes `[CLS] text [SEP]`, truncated to the maximum length and padded.

    Args:
        ids: int32 `[texts, (tokens)]`, without special tokens.
        special_ids: ids of the special tokens.
        max_length: maximum tokens of a text, including special tokens; None for no limit.
        pad_to_max: whether to pad to `max_length` instead of the longest text.

    Returns:
        `input_word_ids`, `input_mask` and `input_type_ids`, which are zeros: int32 `[texts, seq_length]`.
    """
    if max_length is not None:
        ids = ids[:, : max_length - 2]
    count = ids.nrows()
    cls, sep = (tf.fill([count, 1], tf.constant(special_ids[name], tf.int32)) for name in ("cls", "sep"))
    framed = tf.concat([cls, ids, sep], axis=1)
    length = max_length if pad_to_max else None
    word_ids = framed.to_tensor(special_ids["pad"], shape=[None, length])
    mask = tf.sequence_mask(framed.row_lengths(), tf.shape(word_ids)[1], tf.int32)
    return {"input_word_ids": word_ids, "input_mask": mask, "input_type_ids": tf.zeros_like(word_ids)}
