"""Translates weight names of TensorFlow checkpoints (google-research/bert, tensorflow/models) to Hugging Face's."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

_LAYER = r"(?:encoder|transformer)/layer_(\d+)"
_OURS = r"bert.encoder.layer.\1"
# The end of a name, and its translation. Of several poolers, the first is used: the next-sentence head's was trained.
_LAYERS = {
    # google-research/bert's
    r"bert/embeddings/LayerNorm": "bert.embeddings.LayerNorm",
    rf"{_LAYER}/attention/self/(query|key|value)": rf"{_OURS}.attention.self.\2",
    rf"{_LAYER}/attention/output/(dense|LayerNorm)": rf"{_OURS}.attention.output.\2",
    rf"{_LAYER}/intermediate/dense": rf"{_OURS}.intermediate.dense",
    rf"{_LAYER}/output/(dense|LayerNorm)": rf"{_OURS}.output.\2",
    r"bert/pooler/dense": "bert.pooler.dense",
    # of both
    r"cls/predictions/transform/(dense|LayerNorm)": r"cls.predictions.transform.\1",
    # tensorflow/models'
    r"embeddings/layer_norm": "bert.embeddings.LayerNorm",
    rf"{_LAYER}/self_attention/(query|key|value)": rf"{_OURS}.attention.self.\2",
    rf"{_LAYER}/self_attention/attention_output": rf"{_OURS}.attention.output.dense",
    rf"{_LAYER}/self_attention_layer_norm": rf"{_OURS}.attention.output.LayerNorm",
    rf"{_LAYER}/intermediate": rf"{_OURS}.intermediate.dense",
    rf"{_LAYER}/output": rf"{_OURS}.output.dense",
    rf"{_LAYER}/output_layer_norm": rf"{_OURS}.output.LayerNorm",
    r"next_sentence/pooler_dense": "bert.pooler.dense",
    r"pooler_transform": "bert.pooler.dense",
    r"next_sentence/logits": "cls.seq_relationship",
}
_VARIABLES = {
    r"word_embeddings(?:/embeddings)?": "bert.embeddings.word_embeddings.weight",
    r"position_embeddings|position_embedding/embeddings": "bert.embeddings.position_embeddings.weight",
    r"token_type_embeddings|type_embeddings/embeddings": "bert.embeddings.token_type_embeddings.weight",
    r"cls/predictions/output_bias(?:/bias)?": "cls.predictions.bias",
    r"cls/seq_relationship/output_weights": "cls.seq_relationship.weight",
    r"cls/seq_relationship/output_bias": "cls.seq_relationship.bias",
} | {
    f"{layer}/{variable}": f"{name}.{part}"
    for layer, name in _LAYERS.items()
    for variable, part in (("kernel", "weight"), ("gamma", "weight"), ("bias", "bias"), ("beta", "bias"))
}
_PATTERNS = [(re.compile(rf"(?:.*/)?(?:{pattern})"), name) for pattern, name in _VARIABLES.items()]


def translate_names(names: Mapping[str, str]) -> dict[str, str]:
    """Finds the variables of a BERT among those of a checkpoint.

    Args:
        names: the checkpoint's keys, by variable name.

    Returns:
        The keys, by Hugging Face's names.
    """
    found: dict[str, str] = {}
    for pattern, translation in _PATTERNS:
        for name, key in names.items():
            match = pattern.fullmatch(name)
            if match is not None:
                found.setdefault(match.expand(translation), key)
    return found


def to_torch_layout(name: str, value: np.ndarray, *, key: str) -> np.ndarray:
    """Converts a checkpoint's variable to PyTorch's layout: matrices as `[out, in]`, heads concatenated.

    Args:
        name: its Hugging Face name.
        value: the variable; in tensorflow/models, those of attention have an axis for the heads.
        key: its key in the checkpoint.
    """
    if "kernel" in key.split("/"):
        inputs = value.shape[:-1] if name.endswith("attention.output.dense.weight") else value.shape[:1]
        value = value.reshape(int(np.prod(inputs)), -1).T
    elif name.endswith(".bias"):
        value = value.reshape(-1)
    return value.astype(np.float32)
