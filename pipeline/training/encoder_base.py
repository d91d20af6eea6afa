"""What the configurations of all encoders have in common."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

from pipeline.config.base import Config
from pipeline.config.choices import Choice
from pipeline.config.tree import option
from pipeline.errors import ConfigError

# By name; "gelu" is its tanh approximation, as in google-research/bert, "gelu_exact" what that approximates.
ACTIVATIONS = (
    *("gelu", "gelu_exact", "relu", "relu6", "leaky_relu", "elu", "selu", "silu", "swish", "hard_swish", "mish"),
    *("tanh", "sigmoid", "softplus", "softsign", "linear"),
)
MOST_POSITIONS = 2**20
WIDEST = 2**16
NORMS = ("layer_norm", "rms_norm")
MLPS = ("dense", "geglu", "swiglu")
POSITIONS = ("learned", "rotary")
# Which a gated MLP may be configured with: geglu takes one of the first two, swiglu has silu in any case.
_GATED = ("gelu", "gelu_exact", "silu", "swish")


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

    @property
    def default_mlm_activation(self) -> str:
        """Activation of the masked-LM head where the pre-trainer's configuration leaves it open."""
        return "gelu"

    @property
    def default_mlm_initializer_range(self) -> float:
        """Standard deviation of the masked-LM head's initialiser where that leaves it open."""
        return 0.02

    @property
    def masked_lm_options(self) -> dict[str, Any]:
        """Further arguments of the encoder's `MaskedLM`; what is not there keeps its default."""
        return {}

    @abc.abstractmethod
    def build(self, vocab_size: int) -> Any:
        """Builds the encoder, with random weights and a dictionary of outputs.

        Args:
            vocab_size: entries of the vocabulary.

        Returns:
            A `BuiltModel` with `sequence_output` `[batch, seq_length, hidden_size]` among its outputs, int32 `inputs`
            by name (some of `input_word_ids`, `input_mask`, `input_type_ids`), `get_embedding_table()`, and the
            attributes `vocab_size`, `type_vocab_size`, `max_sequence_length` and `pooler_layer`, which may be None. For
            packed rows, `input_sequence_ids` is among its `optional_inputs`.
        """


def norm_option(default: str) -> Any:
    """The option of the kind of norm."""
    return option(
        default, "layer_norm; rms_norm: without mean and bias", choices=NORMS, source="Zhang and Sennrich, 2019"
    )


def bias_option(default: bool) -> Any:
    """The option of biases."""
    return option(
        default,
        "whether dense layers and norms have biases, including those of the masked-LM head; its output scores always"
        " have one",
    )


def mlp_option(default: str) -> Any:
    """The option of a block's dense layers."""
    return option(
        default,
        "dense: two layers with an activation in between; geglu, swiglu: the first layer, of width 2 *"
        " intermediate_size, is split in two halves, and one, after gelu or silu, is multiplied by the other",
        choices=MLPS,
        source="Shazeer, 2020, https://arxiv.org/abs/2002.05202",
    )


def theta_option(default: float, where: str) -> Any:
    """The option of a base of rotary angles."""
    return option(default, f"base of the angles of rotary positions in {where}", minimum=1, maximum=1e9)


def window_option(default: int | None) -> Any:
    """The option of local attention."""
    return option(
        default,
        "window of local attention in tokens, half of it on each side; null: all blocks attend to the whole sequence",
        minimum=2,
        maximum=MOST_POSITIONS,
        source="ModernBERT",
    )


def every_option() -> Any:
    """The option of which blocks attend to the whole sequence."""
    return option(
        3,
        "with local_attention: blocks 0, n, 2n... attend to the whole sequence",
        minimum=1,
        maximum=1000,
        source="ModernBERT",
    )


def check_shape(config: Any) -> None:
    """Makes sure that an encoder's parts fit together.

    Raises:
        ConfigError: naming those that do not.
    """
    if config.hidden_size % config.num_attention_heads:
        raise ConfigError(
            "hidden_size must be a multiple of num_attention_heads",
            received=f"{config.hidden_size} and {config.num_attention_heads}",
        )
    if config.positions == "rotary" and config.hidden_size // config.num_attention_heads % 2:
        raise ConfigError(
            "Rotary positions need attention heads of an even width, hidden_size / num_attention_heads",
            received=f"{config.hidden_size} / {config.num_attention_heads}",
        )
    if config.local_attention is not None and config.local_attention % 2:
        raise ConfigError(
            "local_attention must be even: half of the window is on each side of a token",
            received=config.local_attention,
        )
    if config.mlp != "dense" and config.hidden_activation not in _GATED:
        raise ConfigError(
            f"mlp {config.mlp!r} has its own activation: hidden_activation must be one of {', '.join(_GATED)}",
            received=repr(config.hidden_activation),
        )
    if config.mlp == "geglu" and config.hidden_activation in ("silu", "swish"):
        raise ConfigError(
            "mlp 'geglu' needs a hidden_activation of gelu or gelu_exact", received=repr(config.hidden_activation)
        )


def block_activation(config: Any) -> str:
    """The name of the activation between a block's dense layers."""
    return "silu" if config.mlp == "swiglu" else str(config.hidden_activation)
