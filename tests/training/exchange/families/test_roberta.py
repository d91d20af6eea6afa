from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families.base import Family
from pipeline.training.exchange.families.roberta import Roberta, XlmRoberta
from pipeline.training.exchange.weights import assign_weights, read_weights

SPECIAL_IDS = {"cls": 0, "pad": 1, "sep": 2, "unk": 3, "mask": 4}
# As in the config.json of FacebookAI/roberta-base, with fewer layers.
PUBLISHED = {
    "architectures": ["RobertaForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 514,
    "model_type": "roberta",
    "num_attention_heads": 12,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "vocab_size": 50265,
}
POSITIONS = "roberta.embeddings.position_embeddings.weight"


def make(**encoder: Any) -> PretrainerConfig:
    shape = {"vocab_size": 50265, "num_layers": 2, "type_vocab_size": 1, "layer_norm_epsilon": 1e-5}
    return from_dict(
        PretrainerConfig,
        {"encoder": {**shape, "hidden_activation": "gelu_exact", **encoder}, "mlm_activation": "gelu_exact"},
    ).with_head()


@pytest.mark.parametrize("family", [Roberta(), XlmRoberta()])
def test_the_published_configuration_there_and_back(family: Family) -> None:
    config = family.from_config(PUBLISHED, source="x", has_next_sentence=False)
    assert config.with_head() == make()
    assert config.encoder.max_position_embeddings == 512
    written = family.to_config(config, SPECIAL_IDS)
    same = {name: value for name, value in PUBLISHED.items() if name not in ("model_type", "architectures")}
    assert same.items() <= written.items()
    expected = {"roberta": ["RobertaForMaskedLM"], "xlm-roberta": ["XLMRobertaForMaskedLM"]}
    assert written["architectures"] == expected[written["model_type"]]


def test_positions_begin_behind_padding_whatever_its_id() -> None:
    config = Roberta().from_config({**PUBLISHED, "pad_token_id": 7}, source="x", has_next_sentence=False)
    assert config.encoder.max_position_embeddings == 506
    written = Roberta().to_config(config, {**SPECIAL_IDS, "pad": 9})
    assert (written["max_position_embeddings"], written["pad_token_id"]) == (516, 9)


def test_the_head_knows_one_activation() -> None:
    """Whatever the blocks' is."""
    config = Roberta().from_config({**PUBLISHED, "hidden_act": "relu"}, source="x", has_next_sentence=False)
    assert (config.encoder, config.mlm_activation) == (make(hidden_activation="relu").encoder, "gelu_exact")
    with pytest.raises(ConfigError, match="RoBERTa supports only mlm_activation 'gelu_exact'"):
        Roberta().to_config(PretrainerConfig().with_head(), SPECIAL_IDS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "RoBERTa encoders with position_embedding_type 'absolute'"),
        ({"is_decoder": True}, "is_decoder False"),
        ({"pad_token_id": None}, "pad_token_id in x must be a token's id. Received: None"),
        ({"max_position_embeddings": 2}, r"max_position_embeddings in x must be greater than pad_token_id \+ 1, 2"),
        ({"hidden_act": "gelu_python"}, "hidden_act in x must be one of"),
    ],
)
def test_what_cannot_be_read_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Roberta().from_config({**PUBLISHED, **values}, source="x", has_next_sentence=False)


def test_a_next_sentence_head_is_refused(make_trained: Any) -> None:
    config = make_trained(mlm_activation="gelu_exact").config
    with pytest.raises(ConfigError, match=r"has no next_sentence head.* --architecture bert"):
        Roberta().to_config(config, SPECIAL_IDS)


def test_rows_of_zeros_before_the_positions(make_trained: Any) -> None:
    """They come and go, and no token has them; the padding's row must be zero."""
    model, values = make_trained(next_sentence=False).model, {"pad_token_id": 2}
    weights = read_weights(Roberta(), model)
    files = Roberta().to_files(weights, values)
    assert files[POSITIONS].shape == (24 + 3, 16)
    assert not files[POSITIONS][:3].any()
    again = Roberta().from_files(files, values)
    assert again.keys() == weights.keys()
    np.testing.assert_array_equal(again[POSITIONS], weights[POSITIONS])
    assert Roberta().from_files({}, values) == {}


def test_shapes_are_compared_as_ours(make_trained: Any) -> None:
    model = make_trained(next_sentence=False).model
    weights = read_weights(Roberta(), model)
    name = "roberta.encoder.layer.0.intermediate.dense.weight"
    with pytest.raises(
        InputError, match=rf"{name} of x must have the shape \(16, 24\), as in the model. Received: \(16, 23\)"
    ):
        assign_weights(Roberta(), model, {name: weights[name][:-1]}, source="x")
