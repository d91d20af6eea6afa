"""The encoder's configuration, and the encoder that it describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.config.aliases import accept_aliases
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.training.encoder_base import (
    ACTIVATIONS,
    MOST_POSITIONS,
    POSITIONS,
    WIDEST,
    BaseEncoderConfig,
    bias_option,
    block_activation,
    check_shape,
    every_option,
    mlp_option,
    norm_option,
    theta_option,
    window_option,
)
from pipeline.training.modernbert import ModernBertEncoderConfig

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_encoder import BertEncoder

__all__ = [
    "ACTIVATIONS",
    "MOST_POSITIONS",
    "AlbertEncoderConfig",
    "BaseEncoderConfig",
    "BertEncoderConfig",
    "EncoderConfig",
    "ModernBertEncoderConfig",
    "build_encoder",
]

# Where ALBERT's defaults are others than BERT's, as in tensorflow/models.
_ALBERT = {"vocab_size": 30000, "embedding_size": 128, "dropout_rate": 0.0, "attention_dropout_rate": 0.0}


@accept_aliases(
    defaults_by_type={"bert": {}, "albert": _ALBERT},
    num_hidden_layers="num_layers",
    embedding_width="embedding_size",
)
@dataclass(frozen=True)
class EncoderConfig(BaseEncoderConfig):
    """The architecture of a BERT or ALBERT encoder.

    The defaults are those of BERT-Base, or with `type="albert"` those of ALBERT-Base. Fields and defaults are those of
    tensorflow/models' `BertEncoderConfig` and `AlbertEncoderConfig`. The nested form of tensorflow/models,
    `EncoderConfig(type="bert", bert=BertEncoderConfig(...))`, is accepted as well, and so are `num_hidden_layers` for
    `num_layers` and `embedding_width` for `embedding_size`.

    Raises:
        ConfigError: if a value is out of range, or parts do not fit together.
    """

    type: str = option(
        "bert",
        "bert; albert: one block that is applied num_layers times",
        choices=("bert", "albert"),
        source="Lan et al., 2020",
    )
    vocab_size: int | None = option(
        30522, "number of entries in the vocabulary; null: as in the corpus", minimum=6, maximum=2**24
    )
    hidden_size: int = option(768, "width of the hidden states", minimum=1, maximum=WIDEST)
    num_layers: int = option(12, "number of transformer blocks", minimum=1, maximum=1000)
    num_attention_heads: int = option(12, "number of attention heads per block", minimum=1, maximum=WIDEST)
    hidden_activation: str = option("gelu", "activation between a block's two dense layers", choices=ACTIVATIONS)
    intermediate_size: int = option(3072, "width between a block's two dense layers", minimum=1, maximum=4 * WIDEST)
    dropout_rate: float = option(0.1, "dropout rate of hidden states", minimum=0, maximum=0.99)
    attention_dropout_rate: float = option(0.1, "dropout rate of attention probabilities", minimum=0, maximum=0.99)
    max_position_embeddings: int = option(512, "maximum sequence length in tokens", minimum=1, maximum=MOST_POSITIONS)
    type_vocab_size: int = option(2, "number of segment types", minimum=1, maximum=WIDEST)
    initializer_range: float = option(
        0.02, "standard deviation of the truncated normal initialiser", minimum=0, maximum=10
    )
    embedding_size: int | None = option(
        None,
        "width of the embeddings; null: hidden_size",
        minimum=1,
        maximum=WIDEST,
        source="ALBERT's factorisation, https://arxiv.org/abs/1909.11942",
    )
    return_all_encoder_outputs: bool = option(False, "whether to return every block's output")
    norm_first: bool = option(
        False, "whether to apply layer norm before attention and dense layers instead of after them"
    )
    layer_norm_epsilon: float = option(
        1e-12, "epsilon of every layer norm, including the masked-LM head's; RoBERTa uses 1e-5", minimum=0, maximum=1
    )
    final_norm: bool = option(
        False,
        "with norm_first: whether there is a norm after the last block, and none before the first attention, as"
        " in modernbert",
    )
    norm: str = norm_option("layer_norm")
    use_bias: bool = bias_option(True)
    mlp: str = mlp_option("dense")
    positions: str = option(
        "learned",
        "learned: position embeddings; rotary: queries and keys are rotated by their positions",
        choices=POSITIONS,
        source="Su et al., 2021",
    )
    rotary_theta: float = theta_option(10_000.0, "blocks that attend to the whole sequence")
    local_rotary_theta: float = theta_option(10_000.0, "blocks with local attention")
    local_attention: int | None = window_option(None)
    global_attention_every: int = every_option()

    def __post_init__(self) -> None:
        check_ranges(self)
        check_shape(self)
        if self.final_norm and not self.norm_first:
            raise ConfigError("final_norm needs norm_first", received="norm_first false")

    @property
    def masked_lm_options(self) -> dict[str, Any]:
        return {"norm_epsilon": self.layer_norm_epsilon, "norm": self.norm, "use_bias": self.use_bias}

    def get(self) -> EncoderConfig:
        """Returns the options of the chosen type: this configuration itself, which holds no others."""
        return self

    def build(self, vocab_size: int) -> BertEncoder:
        """Builds a `BertEncoder` or an `AlbertEncoder`.

        Args:
            vocab_size: number of entries in the vocabulary.
        """
        import keras

        from pipeline.training.modeling.activations import get_activation
        from pipeline.training.modeling.albert_encoder import AlbertEncoder
        from pipeline.training.modeling.bert_encoder import BertEncoder

        kind = {"bert": BertEncoder, "albert": AlbertEncoder}[self.type]
        return kind(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            num_attention_heads=self.num_attention_heads,
            max_sequence_length=self.max_position_embeddings,
            type_vocab_size=self.type_vocab_size,
            inner_dim=self.intermediate_size,
            inner_activation=get_activation(block_activation(self)),
            output_dropout=self.dropout_rate,
            attention_dropout=self.attention_dropout_rate,
            initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
            embedding_width=self.embedding_size or self.hidden_size,
            norm_first=self.norm_first,
            layer_norm_epsilon=self.layer_norm_epsilon,
            final_norm=self.final_norm,
            norm=self.norm,
            use_bias=self.use_bias,
            gated_mlp=self.mlp != "dense",
            positions=self.positions,
            rotary_theta=self.rotary_theta,
            local_rotary_theta=self.local_rotary_theta,
            local_attention=self.local_attention,
            global_attention_every=self.global_attention_every,
            return_all_encoder_outputs=self.return_all_encoder_outputs,
            dict_outputs=True,
            name=f"{self.type}_encoder",
        )


# An architecture is one module and one line here; the first is the default.
BaseEncoderConfig.register("bert", "albert")(EncoderConfig)
BaseEncoderConfig.register("modernbert")(ModernBertEncoderConfig)


def BertEncoderConfig(*args: Any, **kwargs: Any) -> EncoderConfig:
    """Makes an `EncoderConfig` of type "bert", as tensorflow/models' class of this name.

    Args:
        *args: a mapping of options, or none.
        **kwargs: options of `EncoderConfig`.

    Raises:
        ConfigError: if an option is unknown or out of range.
    """
    return EncoderConfig(*args, **{"type": "bert"} | kwargs)


def AlbertEncoderConfig(*args: Any, **kwargs: Any) -> EncoderConfig:
    """Makes an `EncoderConfig` of type "albert", as tensorflow/models' class of this name.

    Args:
        *args: a mapping of options, or none.
        **kwargs: options of `EncoderConfig`.

    Raises:
        ConfigError: if an option is unknown or out of range.
    """
    return EncoderConfig(*args, **{"type": "albert"} | kwargs)


def build_encoder(config: BaseEncoderConfig) -> Any:
    """Builds the encoder that a configuration describes, with random weights.

    Args:
        config: an `EncoderConfig`, a `ModernBertEncoderConfig`, or another registered kind.

    Returns:
        The encoder: a `BertEncoder`, an `AlbertEncoder`, a `ModernBertEncoder` or another Keras model. Its outputs are
        a dictionary; see `BertEncoder`.

    Raises:
        ConfigError: if the configuration has no `vocab_size`.

    Example:

    ```python
    from pipeline.training import EncoderConfig, build_encoder

    encoder = build_encoder(EncoderConfig(vocab_size=8192, hidden_size=128, num_layers=2, num_attention_heads=2))
    encoder.count_params()
    ```
    """
    if config.vocab_size is None:
        raise ConfigError(
            "An encoder needs a vocab_size", do="Set encoder.vocab_size, or train on a corpus's directory"
        )
    return config.build(config.vocab_size)
