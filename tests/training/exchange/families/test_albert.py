from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families.albert import Albert

SPECIAL_IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
# As in the config.json of albert/albert-base-v2.
PUBLISHED = {
    "architectures": ["AlbertForMaskedLM"],
    "attention_probs_dropout_prob": 0,
    "bos_token_id": 2,
    "classifier_dropout_prob": 0.1,
    "down_scale_factor": 1,
    "embedding_size": 128,
    "eos_token_id": 3,
    "gap_size": 0,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "inner_group_num": 1,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "albert",
    "num_attention_heads": 12,
    "num_hidden_groups": 1,
    "num_hidden_layers": 12,
    "num_memory_blocks": 0,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30000,
}
UNKNOWN = {"classifier_dropout_prob", "down_scale_factor", "gap_size", "num_memory_blocks"}  # For other heads, or none.


def test_the_published_configuration_there_and_back() -> None:
    config = Albert().from_config(PUBLISHED, source="x", has_next_sentence=False)
    assert config.with_head() == from_dict(PretrainerConfig, {"encoder": {"type": "albert"}}).with_head()
    written = Albert().to_config(config, SPECIAL_IDS)
    assert {name: value for name, value in PUBLISHED.items() if name not in UNKNOWN}.items() <= written.items()
    with_head = Albert().from_config(PUBLISHED, source="x", has_next_sentence=True)
    assert Albert().to_config(with_head, SPECIAL_IDS)["architectures"] == ["AlbertForPreTraining"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_hidden_groups": 2}, "ALBERT encoders with num_hidden_groups 1 are supported. Received: 2"),
        ({"inner_group_num": 2}, "inner_group_num 1"),
        ({"embedding_size": 768}, "embedding_size in x must differ from hidden_size"),
    ],
)
def test_what_cannot_be_read_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Albert().from_config({**PUBLISHED, **values}, source="x", has_next_sentence=False)
    with pytest.raises(InputError, match="x has no num_attention_heads, intermediate_size"):
        Albert().from_config(
            {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1}, source="x", has_next_sentence=False
        )


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"type": "bert"}, "ALBERT supports only encoder.type 'albert'"),
        ({"embedding_size": 768}, "embedding_size other than hidden_size"),
        ({"embedding_size": None}, "embedding_size other than hidden_size"),
        ({"hidden_activation": "relu"}, "mlm_activation 'relu'"),
    ],
)
def test_what_cannot_be_written_is_refused(encoder: dict[str, Any], message: str) -> None:
    config = from_dict(PretrainerConfig, {"encoder": {"type": "albert", **encoder}}).with_head()
    with pytest.raises(ConfigError, match=message):
        Albert().to_config(config, SPECIAL_IDS)
