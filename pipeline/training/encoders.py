"""The encoder's configuration, and the encoder that it describes."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config.aliases import accept_aliases
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_encoder import BertEncoder


# By name; "gelu" is its tanh approximation, as in google-research/bert, "gelu_exact" what that approximates.
ACTIVATIONS = (
    *("gelu", "gelu_exact", "relu", "relu6", "leaky_relu", "elu", "selu", "silu", "swish", "hard_swish", "mish"),
    *("tanh", "sigmoid", "softplus", "softsign", "linear"),
)
MOST_POSITIONS = 2**20
_WIDEST = 2**16
# Where ALBERT's defaults are others than BERT's, as in tensorflow/models.
_ALBERT = {"vocab_size": 30000, "embedding_size": 128, "dropout_rate": 0.0, "attention_dropout_rate": 0.0}


@accept_aliases(
    defaults_by_type={"bert": {}, "albert": _ALBERT},
    num_hidden_layers="num_layers",
    embedding_width="embedding_size",
)
@dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder; the defaults are BERT-Base's, or with `type` "albert" ALBERT-Base's.

    Fields and defaults are those of tensorflow/models' `BertEncoderConfig` and `AlbertEncoderConfig`. Its
    nested form, `EncoderConfig(type="bert", bert=BertEncoderConfig(...))`, is understood like the flat one;
    so are `num_hidden_layers` for `num_layers`, and `embedding_width` for `embedding_size`.

    Raises:
        ConfigError: for a value out of range, or a hidden size that the heads do not divide.
    """

    type: str = option(
        "bert",
        "bert; albert: one block that is applied num_layers times",
        choices=("bert", "albert"),
        source="Lan et al., 2020",
    )
    vocab_size: int | None = option(
        30522, "entries of the vocabulary; null takes the corpus's", minimum=6, maximum=2**24
    )
    hidden_size: int = option(768, "width of the hidden states", minimum=1, maximum=_WIDEST)
    num_layers: int = option(12, "transformer blocks", minimum=1, maximum=1000)
    num_attention_heads: int = option(12, "attention heads of a block", minimum=1, maximum=_WIDEST)
    hidden_activation: str = option("gelu", "activation between a block's two dense layers", choices=ACTIVATIONS)
    intermediate_size: int = option(3072, "width between a block's two dense layers", minimum=1, maximum=4 * _WIDEST)
    dropout_rate: float = option(0.1, "dropout of hidden states", minimum=0, maximum=0.99)
    attention_dropout_rate: float = option(0.1, "dropout of attention probabilities", minimum=0, maximum=0.99)
    max_position_embeddings: int = option(512, "longest sequence, in tokens", minimum=1, maximum=MOST_POSITIONS)
    type_vocab_size: int = option(2, "kinds of segments", minimum=1, maximum=_WIDEST)
    initializer_range: float = option(
        0.02, "standard deviation of the truncated normal initialiser", minimum=0, maximum=10
    )
    embedding_size: int | None = option(
        None,
        "width of the embeddings; null is hidden_size",
        minimum=1,
        maximum=_WIDEST,
        source="ALBERT's factorisation, https://arxiv.org/abs/1909.11942",
    )
    return_all_encoder_outputs: bool = option(False, "whether to return every block's output")
    norm_first: bool = option(False, "layer norm before attention and dense layers instead of after them")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                "hidden_size must be a multiple of num_attention_heads",
                received=f"{self.hidden_size} and {self.num_attention_heads}",
            )

    def get(self) -> EncoderConfig:
        """The options of the chosen type: the config itself, as it holds no others."""
        return self


BertEncoderConfig = functools.partial(EncoderConfig, type="bert")
AlbertEncoderConfig = functools.partial(EncoderConfig, type="albert")


def build_encoder(config: EncoderConfig) -> BertEncoder:
    """Builds the encoder that `config` describes, a `BertEncoder` or `AlbertEncoder` with a dictionary of outputs.

    Raises:
        ConfigError: if the configuration leaves the vocabulary's size open.
    """
    import keras

    from pipeline.training.modeling.activations import get_activation
    from pipeline.training.modeling.albert_encoder import AlbertEncoder
    from pipeline.training.modeling.bert_encoder import BertEncoder

    if config.vocab_size is None:
        raise ConfigError(
            "An encoder needs a vocab_size", do="Set encoder.vocab_size, or train on a corpus's directory"
        )
    kind = {"bert": BertEncoder, "albert": AlbertEncoder}[config.type]
    return kind(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_layers,
        num_attention_heads=config.num_attention_heads,
        max_sequence_length=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        inner_dim=config.intermediate_size,
        inner_activation=get_activation(config.hidden_activation),
        output_dropout=config.dropout_rate,
        attention_dropout=config.attention_dropout_rate,
        initializer=keras.initializers.TruncatedNormal(stddev=config.initializer_range),
        embedding_width=config.embedding_size or config.hidden_size,
        norm_first=config.norm_first,
        return_all_encoder_outputs=config.return_all_encoder_outputs,
        dict_outputs=True,
        name=f"{config.type}_encoder",
    )
