"""The encoder's configuration, and the encoder that it describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.training.aliases import accept_aliases

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_encoder import BertEncoder


@accept_aliases(num_hidden_layers="num_layers")
@dataclass(frozen=True)
class EncoderConfig:
    """The shape of a BERT encoder; the defaults are BERT-Base.

    Fields and defaults are those of tensorflow/models' `BertEncoderConfig`; `num_hidden_layers` is
    understood for `num_layers`.

    Raises:
        ConfigError: for a value out of range, or a hidden size that the heads do not divide.
    """

    type: str = option("bert", "architecture", choices=("bert",))
    vocab_size: int | None = option(30522, "entries of the vocabulary; null takes the corpus's", minimum=6)
    hidden_size: int = option(768, "width of the hidden states", minimum=1)
    num_layers: int = option(12, "transformer blocks", minimum=1)
    num_attention_heads: int = option(12, "attention heads of a block", minimum=1)
    hidden_activation: str = option("gelu", "activation between a block's two dense layers")
    intermediate_size: int = option(3072, "width between a block's two dense layers", minimum=1)
    dropout_rate: float = option(0.1, "dropout of hidden states", minimum=0, maximum=0.99)
    attention_dropout_rate: float = option(0.1, "dropout of attention probabilities", minimum=0, maximum=0.99)
    max_position_embeddings: int = option(512, "longest sequence, in tokens", minimum=1)
    type_vocab_size: int = option(2, "kinds of segments", minimum=1)
    initializer_range: float = option(0.02, "standard deviation of the truncated normal initialiser", minimum=0)
    embedding_size: int | None = option(
        None,
        "width of the embeddings; null is hidden_size",
        minimum=1,
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


def build_encoder(config: EncoderConfig) -> BertEncoder:
    """Builds the encoder that `config` describes; its outputs are a dictionary.

    Raises:
        ConfigError: if the configuration leaves the vocabulary's size open.
    """
    import keras

    from pipeline.training.modeling.activations import get_activation
    from pipeline.training.modeling.bert_encoder import BertEncoder

    if config.vocab_size is None:
        raise ConfigError(
            "An encoder needs a vocab_size", do="Set encoder.vocab_size, or train on a corpus's directory"
        )
    return BertEncoder(
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
        embedding_width=config.embedding_size,
        norm_first=config.norm_first,
        return_all_encoder_outputs=config.return_all_encoder_outputs,
        dict_outputs=True,
        name="bert_encoder",
    )
