from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.training.exchange.families.base import describing, our_activation
from pipeline.training.exchange.families.bert import Bert


def test_messages_name_option_and_value() -> None:
    with pytest.raises(InputError, match=r"hidden_act in x must be one of gelu_new, .* Received: \['gelu'\]"):
        our_activation({"hidden_act": ["gelu"]}, "hidden_act", default="gelu", source="x")
    with (
        pytest.raises(InputError, match=r"The model that x describes cannot be built\. Received: wide"),
        describing("x"),
    ):
        raise TypeError("wide")


def test_which_weights_are_the_encoders() -> None:
    names = ["bert.embeddings.LayerNorm.bias", "bert.pooler.dense.bias", "cls.predictions.bias"]
    assert [Bert().is_encoders(name) for name in names] == [True, False, False]
