"""The configuration of ModernBERT's encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.config.tree import check_ranges, option
from pipeline.training.encoder_base import (
    ACTIVATIONS,
    MOST_POSITIONS,
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

if TYPE_CHECKING:
    from pipeline.training.modeling.modernbert_encoder import ModernBertEncoder


@dataclass(frozen=True)
class ModernBertEncoderConfig(BaseEncoderConfig):
    """The shape of a ModernBERT encoder (https://arxiv.org/abs/2412.13663); the defaults are ModernBERT-base's.

    They are those of transformers' `ModernBertConfig`, but for the vocabulary, which is the corpus's. The masked-LM
    head that belongs to it is a dense layer, exact gelu and a norm, without biases.

    Raises:
        ConfigError: for a value out of range, or parts that do not fit together.
    """

    type: str = option("modernbert", "ModernBERT's encoder", choices=("modernbert",), source="Warner et al., 2024")
    vocab_size: int | None = option(
        None, "number of entries in the vocabulary; null: as in the corpus", minimum=6, maximum=2**24
    )
    hidden_size: int = option(768, "width of the hidden states", minimum=1, maximum=WIDEST)
    num_layers: int = option(22, "number of transformer blocks", minimum=1, maximum=1000)
    num_attention_heads: int = option(12, "number of attention heads per block", minimum=1, maximum=WIDEST)
    hidden_activation: str = option(
        "gelu_exact", "activation between a block's two dense layers, and of the masked-LM head", choices=ACTIVATIONS
    )
    intermediate_size: int = option(1152, "width between a block's two dense layers", minimum=1, maximum=4 * WIDEST)
    dropout_rate: float = option(0.0, "dropout rate of hidden states", minimum=0, maximum=0.99)
    attention_dropout_rate: float = option(0.0, "dropout rate of attention probabilities", minimum=0, maximum=0.99)
    max_position_embeddings: int = option(
        8192, "maximum sequence length in tokens; no weight depends on it", minimum=1, maximum=MOST_POSITIONS
    )
    initializer_range: float = option(
        0.02,
        "standard deviation of the truncated normal initialiser; that of layers whose output is added to the residual"
        " is divided by the square root of 2 * num_layers",
        minimum=0,
        maximum=10,
    )
    layer_norm_epsilon: float = option(
        1e-5, "epsilon of every norm, including the masked-LM head's", minimum=0, maximum=1
    )
    norm: str = norm_option("layer_norm")
    use_bias: bool = bias_option(False)
    mlp: str = mlp_option("geglu")
    rotary_theta: float = theta_option(160_000.0, "blocks that attend to the whole sequence")
    local_rotary_theta: float = theta_option(10_000.0, "blocks with local attention")
    local_attention: int | None = window_option(128)
    global_attention_every: int = every_option()

    type_vocab_size = None
    positions: ClassVar[str] = "rotary"

    def __post_init__(self) -> None:
        check_ranges(self)
        check_shape(self)

    @property
    def default_mlm_activation(self) -> str:
        return self.hidden_activation

    @property
    def default_mlm_initializer_range(self) -> float:
        from pipeline.training.modeling.modernbert_encoder import scaled_range

        return scaled_range(self.initializer_range, self.num_layers)

    @property
    def masked_lm_options(self) -> dict[str, Any]:
        return {"norm_epsilon": self.layer_norm_epsilon, "norm": self.norm, "use_bias": self.use_bias}

    def build(self, vocab_size: int) -> ModernBertEncoder:
        """Builds a `ModernBertEncoder`."""
        from pipeline.training.modeling.activations import get_activation
        from pipeline.training.modeling.modernbert_encoder import ModernBertEncoder

        return ModernBertEncoder(
            vocab_size=vocab_size,
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            initializer_range=self.initializer_range,
            num_attention_heads=self.num_attention_heads,
            max_sequence_length=self.max_position_embeddings,
            inner_dim=self.intermediate_size,
            inner_activation=get_activation(block_activation(self)),
            output_dropout=self.dropout_rate,
            attention_dropout=self.attention_dropout_rate,
            layer_norm_epsilon=self.layer_norm_epsilon,
            norm=self.norm,
            use_bias=self.use_bias,
            gated_mlp=self.mlp != "dense",
            rotary_theta=self.rotary_theta,
            local_rotary_theta=self.local_rotary_theta,
            local_attention=self.local_attention,
            global_attention_every=self.global_attention_every,
            name="modernbert_encoder",
        )
