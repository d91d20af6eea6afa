"""The pre-trainer's configuration, an encoder and its heads, and the pre-trainer that it describes."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.config.base import Config
from pipeline.config.tree import check_ranges, option
from pipeline.errors import ConfigError
from pipeline.training.encoders import ACTIVATIONS, BaseEncoderConfig, EncoderConfig, build_encoder

if TYPE_CHECKING:
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2

__all__ = ["ClsHeadConfig", "EncoderConfig", "PretrainerConfig"]

_OUTPUTS = ("sequence_output", "pooled_output", "encoder_outputs", "mlm_logits")


@dataclass(frozen=True)
class ClsHeadConfig(Config):
    """A classification head on one token of the sequence, such as BERT's next-sentence prediction.

    Raises:
        ConfigError: if a value is out of range, or the name is not allowed.
    """

    inner_dim: int | None = option(
        0,
        "width of the pooling layer; null: the encoder's hidden_size; 0: no pooling layer",
        minimum=0,
        maximum=2**16,
    )
    num_classes: int = option(2, "classes", minimum=1, maximum=2**16)
    activation: str | None = option("tanh", "activation of the pooling layer", choices=ACTIVATIONS)
    dropout_rate: float = option(0.0, "dropout rate before the output layer", minimum=0, maximum=0.99)
    cls_token_idx: int = option(
        0,
        "position of the pooled token; at most 2, because the shortest text is [CLS] [MASK] [SEP]",
        minimum=0,
        maximum=2,
    )
    name: str | None = option(
        None, "name of the head and of its output; a head named next_sentence learns from the next-sentence labels"
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ConfigError(
                "A classification head's name must start with a letter or a digit, and contain only letters, digits,"
                " '.', '_' and '-'",
                received=repr(self.name),
            )
        if self.name == "next_sentence" and self.num_classes < 2:
            raise ConfigError("The next_sentence head needs num_classes of at least 2", received=self.num_classes)
        if self.name == "next_sentence" and self.inner_dim == 0:
            raise ConfigError(
                "The next_sentence head needs a pooling layer", received="inner_dim 0", do="Set inner_dim to null"
            )
        if self.name in _OUTPUTS:
            raise ConfigError(
                f"A classification head's name must not be one of the model's own outputs: {', '.join(_OUTPUTS)}",
                received=repr(self.name),
            )


@dataclass(frozen=True)
class PretrainerConfig(Config):
    """A pre-trainer: an encoder with a masked-LM head and classification heads.

    Raises:
        ConfigError: if two heads have the same name.
    """

    encoder: BaseEncoderConfig = option(EncoderConfig(), "the encoder")
    cls_heads: tuple[ClsHeadConfig, ...] = option((), "classification heads")
    mlm_activation: str | None = option(
        None,
        "activation of the masked-LM head's dense layer; null: the encoder's default: gelu, or hidden_activation for"
        " modernbert",
        choices=ACTIVATIONS,
    )
    mlm_initializer_range: float | None = option(
        None,
        "standard deviation of the masked-LM head's initialiser; null: the encoder's default: 0.02, or for modernbert"
        " that of layers whose output is added to the residual",
        minimum=0,
        maximum=10,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        names = [head.name for head in self.cls_heads]
        if len(set(names)) != len(names):
            raise ConfigError("Classification heads must have different names", received=names)

    def with_head(self) -> PretrainerConfig:
        """Returns a copy in which the masked-LM options that were left open are filled in from the encoder."""
        encoder, activation, stddev = self.encoder, self.mlm_activation, self.mlm_initializer_range
        return dataclasses.replace(
            self,
            mlm_activation=encoder.default_mlm_activation if activation is None else activation,
            mlm_initializer_range=encoder.default_mlm_initializer_range if stddev is None else stddev,
        )

    def pooler_width(self, head: ClsHeadConfig) -> int:
        """Returns the width of a head's pooling layer."""
        return self.encoder.hidden_size if head.inner_dim is None else head.inner_dim

    def has_head(self, name: str) -> bool:
        """Returns whether there is a classification head called `name`."""
        return any(head.name == name for head in self.cls_heads)


def build_pretrainer(config: PretrainerConfig) -> BertPretrainerV2:
    """Builds the pre-trainer that a configuration describes, with random weights.

    `MaskedLMTask.build_model` also adds the loss and the metrics.

    Raises:
        ConfigError: if the configuration has no `vocab_size`.
    """
    import keras

    from pipeline.training.modeling.activations import get_activation
    from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2
    from pipeline.training.modeling.classification_head import ClassificationHead

    config = config.with_head()
    heads = [
        ClassificationHead(
            inner_dim=config.pooler_width(head),
            num_classes=head.num_classes,
            cls_token_idx=head.cls_token_idx,
            activation=head.activation,
            dropout_rate=head.dropout_rate,
            name=head.name,
        )
        for head in config.cls_heads
    ]
    return BertPretrainerV2(
        encoder_network=build_encoder(config.encoder),
        mlm_activation=get_activation(config.mlm_activation),
        mlm_initializer=keras.initializers.TruncatedNormal(stddev=config.mlm_initializer_range),
        mlm_options=config.encoder.masked_lm_options,
        classification_heads=heads,
    )
