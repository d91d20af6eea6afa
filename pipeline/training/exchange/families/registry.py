"""The families by name, and how one is chosen for a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import ConfigError, InputError
from pipeline.training.encoders import BaseEncoderConfig
from pipeline.training.exchange.families.albert import Albert
from pipeline.training.exchange.families.base import SAVED_MODEL_ADVICE, Family
from pipeline.training.exchange.families.bert import Bert
from pipeline.training.exchange.families.modernbert import ModernBert
from pipeline.training.exchange.families.roberta import Roberta, XlmRoberta

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (Bert(), Roberta(), XlmRoberta(), Albert(), ModernBert())
}
"""By the model_type in config.json, which is also the value of `export --architecture`."""


def family_of_config(values: Mapping[str, Any], *, source: str) -> Family:
    """Returns the family of a config.json; BERT if it has no model_type.

    Args:
        values: the contents of the file.
        source: its name, for messages.

    Raises:
        InputError: if the family is not supported.
    """
    model_type = values.get("model_type", "bert")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(f"model_type in {source} must be one of {', '.join(FAMILIES)}", received=repr(model_type))
    return FAMILIES[model_type]


def family_of_encoder(encoder: BaseEncoderConfig, architecture: str | None = None) -> Family:
    """Returns the family that a model is exported as.

    Args:
        encoder: the encoder's configuration.
        architecture: the name of the family, if known; by default that of the encoder's type.

    Raises:
        ConfigError: if there is none.
    """
    family = FAMILIES.get(architecture or encoder.type)
    if family is None:
        raise ConfigError(
            f"Hugging Face's format supports only encoder.type {', '.join(sorted(FAMILIES.keys() & encoder.kinds))}",
            received=repr(encoder.type),
            do=SAVED_MODEL_ADVICE,
        )
    return family
