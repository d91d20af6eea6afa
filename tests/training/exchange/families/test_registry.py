from __future__ import annotations

import pytest

from pipeline.errors import ConfigError, InputError
from pipeline.training.encoders import BaseEncoderConfig, EncoderConfig
from pipeline.training.exchange.families.registry import FAMILIES, family_of_config, family_of_encoder


def test_every_encoder_of_ours_has_a_family() -> None:
    for kind in BaseEncoderConfig.kinds:
        assert family_of_encoder(BaseEncoderConfig.kinds[kind](type=kind)).model_type == kind


def test_a_family_is_chosen_by_name() -> None:
    for name, family in FAMILIES.items():
        assert family.model_type == name
        assert family_of_config({"model_type": name}, source="x") is family
    assert family_of_config({}, source="x").model_type == "bert"
    assert family_of_encoder(EncoderConfig(), "xlm-roberta").model_type == "xlm-roberta"


@pytest.mark.parametrize("model_type", ["gpt2", None, ["bert"]])
def test_another_family_is_refused(model_type: object) -> None:
    with pytest.raises(InputError, match="model_type in x must be one of bert, roberta, xlm-roberta, albert"):
        family_of_config({"model_type": model_type}, source="x")


def test_an_encoder_of_no_family_is_refused() -> None:
    encoder = EncoderConfig()
    object.__setattr__(encoder, "type", "other")
    with pytest.raises(ConfigError, match=r"supports only encoder.type albert, bert.* Received: 'other'"):
        family_of_encoder(encoder)
