"""The signatures of a SavedModel that take text."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from pipeline.tokenizers import HuggingFaceTokenizer, Tokenizer
from pipeline.training.text_ops.base import TextOps, model_inputs

TOKENIZE, ENCODE_TEXT, FILL_MASK = "tokenize", "encode_text", "fill_mask"
_ENCODED = ("sequence_output", "pooled_output")


def why_no_text(tokenizer: Tokenizer) -> str | None:
    """Returns the reason why a model with this tokenizer cannot take text, as a clause; None if it can."""
    if isinstance(tokenizer, HuggingFaceTokenizer):
        return "its vocabulary is a tokenizer.json, for which tensorflow-text has no operation"
    if importlib.util.find_spec("tensorflow_text") is None:
        return "tensorflow-text is not installed"
    return None


def text_signatures(
    model: Any, tokenizer: Tokenizer, ops: TextOps, top_k: int
) -> Mapping[str, Callable[[tf.Tensor], dict[str, tf.Tensor]]]:
    """Returns functions of strings `[batch]`, by the names of their signatures.

    Texts become `[CLS] text [SEP]`, truncated to the model's maximum length, and padded to the longest of the batch.

    - "tokenize" returns `input_word_ids`, `input_mask` and `input_type_ids`, int32 `[batch, seq_length]`.
    - "encode_text" returns `sequence_output`, float32 `[batch, seq_length, hidden_size]`, `pooled_output`, `[batch,
      hidden_size]`, if the model has it, and `input_word_ids` and `input_mask`, int32 `[batch, seq_length]`.
    - "fill_mask" returns the best `tokens`, strings, and their `probabilities`, float32, `[batch, masks, top_k]`, best
      first, and `mask_counts`, int32 `[batch]`. The masks of a text are in order, from left to right, without those
      that were truncated; further rows are "" and 0. In the other signatures, "[MASK]" is ordinary text.

    Args:
        model: a `BertPretrainerV2`.
        tokenizer: its tokenizer.
        ops: the tokenizer in a graph.
        top_k: number of tokens for each mask.
    """
    limit, special = model.encoder_network.max_sequence_length, tokenizer.special_ids
    shown = tf.constant([tokenizer.show(index) for index in range(tokenizer.vocab_size)])

    def tokenize(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return model_inputs(ops.tokenize(text), special, limit)

    def encode_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = tokenize(text)
        encoded = model.encoder_network({name: inputs[name] for name in model.encoder_network.inputs}, training=False)
        outputs = {name: encoded[name] for name in _ENCODED if name in encoded}
        return {**outputs, "input_word_ids": inputs["input_word_ids"], "input_mask": inputs["input_mask"]}

    def fill_mask(text: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = model_inputs(ops.tokenize_with_masks(text), special, limit)
        is_mask = inputs["input_word_ids"] == special["mask"]
        counts = tf.math.count_nonzero(is_mask, axis=1)
        positions = tf.RaggedTensor.from_row_lengths(tf.cast(tf.where(is_mask)[:, 1], tf.int32), counts).to_tensor()
        inputs["masked_lm_positions"] = positions
        logits = model({name: inputs[name] for name in model.inputs}, training=False)["mlm_logits"]
        best = tf.math.top_k(tf.nn.softmax(tf.cast(logits, tf.float64)), top_k)
        is_there = tf.sequence_mask(counts, tf.shape(positions)[1])[:, :, None]
        return {
            "tokens": tf.where(is_there, tf.gather(shown, best.indices), ""),
            "probabilities": tf.cast(tf.where(is_there, best.values, 0.0), tf.float32),
            "mask_counts": tf.cast(counts, tf.int32),
        }

    return {TOKENIZE: tokenize, ENCODE_TEXT: encode_text, FILL_MASK: fill_mask}
