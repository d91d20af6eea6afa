"""The encoder's configuration, and the encoder that it describes."""

from __future__ import annotations

import abc
import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.config.aliases import accept_aliases
from pipeline.config.base import Config
from pipeline.config.choices import Choice
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


class BaseEncoderConfig(Choice, Config):
    """What every encoder's configuration has; each kind adds its own options and their defaults.

    A kind is a frozen dataclass, registered with `@BaseEncoderConfig.register(type)`.

    Attributes:
        type: the kind.
        vocab_size: entries of the vocabulary; None takes the corpus's.
        hidden_size: width of the sequence output.
        max_position_embeddings: longest sequence in tokens; None for any length.
        type_vocab_size: kinds of segments; None if the encoder does not tell segments apart.
    """

    kinds: ClassVar[dict[str, type]] = {}
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    type: str
    vocab_size: int | None
    hidden_size: int
    max_position_embeddings: int | None
    type_vocab_size: int | None

    @abc.abstractmethod
    def build(self, vocab_size: int) -> Any:
        """Builds the encoder, with random weights and a dictionary of outputs.

        Args:
            vocab_size: entries of the vocabulary.

        Returns:
            A `BuiltModel` with `sequence_output` `[batch, seq_length, hidden_size]` among its outputs, int32 `inputs`
            by name (some of `input_word_ids`, `input_mask`, `input_type_ids`), `get_embedding_table()`, and the
            attributes `vocab_size`, `type_vocab_size`, `max_sequence_length` and `pooler_layer`, which may be None.
        """


@BaseEncoderConfig.register("bert", "albert")
@accept_aliases(
    defaults_by_type={"bert": {}, "albert": _ALBERT},
    num_hidden_layers="num_layers",
    embedding_width="embedding_size",
)
@dataclass(frozen=True)
class EncoderConfig(BaseEncoderConfig):
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

    def build(self, vocab_size: int) -> BertEncoder:
        """Builds a `BertEncoder` or an `AlbertEncoder`."""
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
            inner_activation=get_activation(self.hidden_activation),
            output_dropout=self.dropout_rate,
            attention_dropout=self.attention_dropout_rate,
            initializer=keras.initializers.TruncatedNormal(stddev=self.initializer_range),
            embedding_width=self.embedding_size or self.hidden_size,
            norm_first=self.norm_first,
            return_all_encoder_outputs=self.return_all_encoder_outputs,
            dict_outputs=True,
            name=f"{self.type}_encoder",
        )


BertEncoderConfig = functools.partial(EncoderConfig, type="bert")
AlbertEncoderConfig = functools.partial(EncoderConfig, type="albert")


def build_encoder(config: BaseEncoderConfig) -> Any:
    """Builds the encoder that `config` describes, with random weights and a dictionary of outputs.

    Raises:
        ConfigError: if the configuration leaves the vocabulary's size open.
    """
    if config.vocab_size is None:
        raise ConfigError(
            "An encoder needs a vocab_size", do="Set encoder.vocab_size, or train on a corpus's directory"
        )
    return config.build(config.vocab_size)
