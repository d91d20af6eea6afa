"""ModernBERT's encoder."""

from __future__ import annotations

import math
from typing import Any

import keras

from pipeline.training.modeling.bert_encoder import BertEncoder


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class ModernBertEncoder(BertEncoder):
    """Encoder of ModernBERT: a `BertEncoder` with rotary positions, local attention, gated dense layers and no biases.

    "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for Fast, Memory Efficient, and Long Context
    Finetuning and Inference" (https://arxiv.org/abs/2412.13663). Norms come before attention and dense layers, and two
    of three blocks attend within a window. There are no segment embeddings and no pooled output. The computed numbers
    are those of transformers' `ModernBertModel`.

    Inputs, outputs and arguments are those of `BertEncoder`; the defaults are those of ModernBERT-base.

    Args:
        vocab_size: number of entries in the vocabulary.
        hidden_size: width of the hidden states.
        num_layers: number of Transformer blocks.
        initializer_range: standard deviation of the truncated normal initialisers, before values beyond two standard
            deviations are redrawn. For kernels whose output is added to the residual, it is divided by
            `sqrt(2 * num_layers)`. `initializer` and `output_initializer` replace these initialisers.
        **kwargs: other arguments of `BertEncoder`.

    Raises:
        TypeError: if an argument is unknown.
        ValueError: if arguments do not fit together.

    Example:

    ```python
    import numpy as np
    from pipeline.training import ModernBertEncoder

    encoder = ModernBertEncoder(vocab_size=100, hidden_size=32, num_layers=3, num_attention_heads=2, inner_dim=48)
    outputs = encoder(
        {"input_word_ids": np.array([[2, 7, 8, 3, 0]]), "input_mask": np.array([[1, 1, 1, 1, 0]])}
    )
    outputs["sequence_output"].shape  # (1, 5, 32)
    ```
    """

    type_name = "modernbert"

    def __init__(
        self,
        vocab_size: int = 50368,
        hidden_size: int = 768,
        num_layers: int = 22,
        initializer_range: float = 0.02,
        **kwargs: Any,
    ) -> None:
        num_layers = kwargs.pop("num_hidden_layers", num_layers)
        normal = keras.initializers.TruncatedNormal
        defaults = {
            "num_attention_heads": 12,
            "max_sequence_length": 8192,
            "type_vocab_size": None,
            "inner_dim": 1152,
            "inner_activation": keras.activations.gelu,  # Keras's is the exact one.
            "output_dropout": 0.0,
            "attention_dropout": 0.0,
            "norm_first": True,
            "layer_norm_epsilon": 1e-5,
            "final_norm": True,
            "use_bias": False,
            "gated_mlp": True,
            "positions": "rotary",
            "rotary_theta": 160_000.0,
            "local_rotary_theta": 10_000.0,
            "local_attention": 128,
            "global_attention_every": 3,
            "use_pooler": False,
            "dict_outputs": True,
            "initializer": normal(stddev=initializer_range),
            "output_initializer": normal(stddev=scaled_range(initializer_range, num_layers)),
        }
        super().__init__(vocab_size, hidden_size, num_layers, **{**defaults, **kwargs})


def scaled_range(initializer_range: float, num_layers: int) -> float:
    """Returns the standard deviation for kernels whose output is added to the residual, as in GPT-2 and ModernBERT."""
    return initializer_range / math.sqrt(2.0 * num_layers)
