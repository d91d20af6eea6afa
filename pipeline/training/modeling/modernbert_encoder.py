"""ModernBERT's encoder."""

from __future__ import annotations

import math
from typing import Any

import keras

from pipeline.training.modeling.bert_encoder import BertEncoder


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class ModernBertEncoder(BertEncoder):
    """BERT's encoder with the parts that ModernBERT has instead.

    "Smarter, Better, Faster, Longer: A Modern Bidirectional Encoder for Fast, Memory Efficient, and Long Context
    Finetuning and Inference" (https://arxiv.org/abs/2412.13663). Norms come first, layers are without biases and
    their two dense layers gated, positions are rotary, and two blocks of three attend within a window. There are no
    segments and no pooled output. The numbers are those of transformers' `ModernBertModel`.

    Inputs, outputs and arguments are `BertEncoder`'s; the defaults are ModernBERT-base's.

    Args:
        vocab_size: entries of the vocabulary.
        hidden_size: width of the hidden states.
        num_layers: blocks.
        initializer_range: standard deviation of the truncated normal initialisers, before values beyond two of it are
            drawn again; that of the kernels whose output is added to the residual is divided by the root of twice
            `num_layers`. `initializer` and `output_initializer` replace them.
        **kwargs: of `BertEncoder`.
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
    """The standard deviation of kernels whose output is added to the residual, as in GPT-2 and ModernBERT."""
    return initializer_range / math.sqrt(2.0 * num_layers)
