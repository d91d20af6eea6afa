"""Hugging Face's BERT in plain numpy, from the files of a folder alone.

What an export is checked by: written from the published architecture (https://arxiv.org/abs/1810.04805, and the names
of `transformers`' modeling_bert.py), it shares no code with the model that was trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Weights = Mapping[str, np.ndarray]


def bert_for_pretraining(
    config: Mapping[str, Any], weights: Weights, batch: Mapping[str, np.ndarray], positions: np.ndarray
) -> dict[str, np.ndarray]:
    """The logits of `BertForPreTraining`, or of `BertForMaskedLM` where there is no next-sentence head.

    Args:
        config: what config.json holds.
        weights: what model.safetensors holds.
        batch: `input_ids`, `attention_mask`, `token_type_ids`, integers `[batch, seq_length]`.
        positions: the positions to score, integers `[batch, n]`.

    Returns:
        `prediction_logits`, float64 `[batch, n, vocab_size]`, and with that head
        `seq_relationship_logits`, float64 `[batch, 2]`.
    """
    eps = config["layer_norm_eps"]
    activation = _ACTIVATIONS[config["hidden_act"]]
    table = _get(weights, "bert.embeddings.word_embeddings.weight")
    ids = batch["input_ids"]
    x = table[ids]
    x = x + _get(weights, "bert.embeddings.position_embeddings.weight")[: ids.shape[1]]
    x = x + _get(weights, "bert.embeddings.token_type_embeddings.weight")[batch["token_type_ids"]]
    x = _layer_norm(weights, "bert.embeddings.LayerNorm", x, eps)
    blocked = np.where(batch["attention_mask"], 0.0, -np.inf)[:, None, None, :]
    for index in range(config["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{index}"
        attended = _attention(weights, f"{layer}.attention", x, blocked, config["num_attention_heads"])
        x = _layer_norm(weights, f"{layer}.attention.output.LayerNorm", x + attended, eps)
        inner = activation(_linear(weights, f"{layer}.intermediate.dense", x))
        x = _layer_norm(weights, f"{layer}.output.LayerNorm", x + _linear(weights, f"{layer}.output.dense", inner), eps)
    hidden = np.take_along_axis(x, positions[..., None], axis=1)
    hidden = activation(_linear(weights, "cls.predictions.transform.dense", hidden))
    hidden = _layer_norm(weights, "cls.predictions.transform.LayerNorm", hidden, eps)
    outputs = {"prediction_logits": hidden @ table.T + _get(weights, "cls.predictions.bias")}
    if "cls.seq_relationship.weight" in weights:
        pooled = np.tanh(_linear(weights, "bert.pooler.dense", x[:, 0]))
        outputs["seq_relationship_logits"] = _linear(weights, "cls.seq_relationship", pooled)
    return outputs


def _attention(weights: Weights, name: str, x: np.ndarray, blocked: np.ndarray, heads: int) -> np.ndarray:
    batch, length, width = x.shape
    query, key, value = (
        _linear(weights, f"{name}.self.{part}", x).reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 1, 3, 2) / math.sqrt(width // heads) + blocked
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    context = (shares @ value).transpose(0, 2, 1, 3).reshape(batch, length, width)
    return _linear(weights, f"{name}.output.dense", context)


def _linear(weights: Weights, name: str, x: np.ndarray) -> np.ndarray:
    return x @ _get(weights, f"{name}.weight").T + _get(weights, f"{name}.bias")


def _layer_norm(weights: Weights, name: str, x: np.ndarray, eps: float) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return normal * _get(weights, f"{name}.weight") + _get(weights, f"{name}.bias")


def _get(weights: Weights, name: str) -> np.ndarray:
    """A weight in double precision, a weight at a time: so the whole model is never there twice."""
    return weights[name].astype(np.float64)


def _gelu_new(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _gelu(x: np.ndarray) -> np.ndarray:
    import tensorflow as tf  # numpy has no error function.

    return 0.5 * x * (1.0 + tf.math.erf(x / math.sqrt(2.0)).numpy())


_ACTIVATIONS = {
    "gelu_new": _gelu_new,
    "gelu": _gelu,
    "relu": lambda x: np.maximum(x, 0.0),
    "silu": lambda x: x / (1.0 + np.exp(-x)),
}
