from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families.bert import Bert, from_google_config

# As in the archive of google-research/bert's uncased_L-2_H-128_A-2; Hugging Face adds some to it.
GOOGLE = {
    "hidden_size": 128,
    "hidden_act": "gelu",
    "initializer_range": 0.02,
    "vocab_size": 30522,
    "hidden_dropout_prob": 0.1,
    "num_attention_heads": 2,
    "type_vocab_size": 2,
    "max_position_embeddings": 512,
    "num_hidden_layers": 2,
    "intermediate_size": 512,
    "attention_probs_dropout_prob": 0.1,
}
SPECIAL_IDS = {"pad": 3, "unk": 1, "cls": 2, "sep": 0, "mask": 4}
HEAD = {"name": "next_sentence", "inner_dim": 128, "dropout_rate": 0.1}


def make(encoder: dict[str, Any], head: dict[str, Any] | None = None, **options: Any) -> PretrainerConfig:
    encoder = {"hidden_size": 128, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 512, **encoder}
    heads = [] if head is None else [{**HEAD, **head}]
    return from_dict(PretrainerConfig, {"encoder": encoder, "cls_heads": heads, **options}).with_head()


def test_published_configurations() -> None:
    assert from_google_config(GOOGLE, source="x", has_next_sentence=True).with_head() == make({}, {})
    ours = Bert().from_config({**GOOGLE, "model_type": "bert"}, source="x", has_next_sentence=False)
    # Hugging Face's "gelu" is the exact one.
    assert ours.with_head() == make({"hidden_activation": "gelu_exact"}, mlm_activation="gelu_exact")


@pytest.mark.parametrize("head", [None, {"dropout_rate": 0.2}])
@pytest.mark.parametrize("activation", ["gelu", "gelu_exact", "relu", "silu"])
def test_there_and_back(head: Any, activation: str) -> None:
    config = make(
        {"hidden_activation": activation, "dropout_rate": 0.2, "layer_norm_epsilon": 1e-6, "type_vocab_size": 1},
        head,
        mlm_activation=activation,
    )
    values = Bert().to_config(config, SPECIAL_IDS)
    assert values["pad_token_id"] == 3
    assert Bert().from_config(values, source="x", has_next_sentence=bool(config.cls_heads)).with_head() == config


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (make({"type": "albert", "vocab_size": 50}), "encoder.type 'bert'"),
        (make({"norm_first": True}), "encoder.norm_first False"),
        (make({"embedding_size": 8}), "encoder.embedding_size 128"),
        (make({"mlp": "geglu"}), "encoder.mlp 'dense'"),
        (make({"use_bias": False}), "encoder.use_bias True"),
        (make({"positions": "rotary"}), "encoder.positions 'learned'"),
        (make({"local_attention": 8}), "encoder.local_attention None"),
        (make({"norm": "rms_norm"}), "encoder.norm 'layer_norm'"),
        (make({"type": "modernbert", "vocab_size": 50}), "encoder.type 'bert'"),
        (make({}, mlm_activation="relu"), "mlm_activation 'gelu'"),
        (
            make({"hidden_activation": "elu"}, mlm_activation="elu"),
            "supports only the activations gelu, gelu_exact, relu, silu",
        ),
        (make({}, {"inner_dim": 8}), "inner_dim 128"),
        (make({}, {"activation": "relu"}), "activation 'tanh'"),
        (make({}, {"num_classes": 3}), "num_classes 2"),
        (make({}, {"cls_token_idx": 1}), "cls_token_idx 0"),
    ],
)
def test_what_their_bert_cannot_be_is_refused(config: PretrainerConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Bert().to_config(config, SPECIAL_IDS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"position_embedding_type": "relative_key"}, "position_embedding_type 'absolute'"),
        ({"is_decoder": True}, "is_decoder False are supported. Received: True"),
        ({"add_cross_attention": True}, "add_cross_attention False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings True"),
        ({"hidden_act": "mish"}, "hidden_act in x must be one of"),
        ({"num_attention_heads": 3}, "multiple of num_attention_heads"),
        ({"hidden_size": "wide"}, "cannot be built"),
    ],
)
def test_what_our_bert_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Bert().from_config({**GOOGLE, **values}, source="x", has_next_sentence=False)
    with pytest.raises(InputError, match="x has no hidden_size"):
        Bert().from_config({"vocab_size": 7, "num_hidden_layers": 1}, source="x", has_next_sentence=False)
