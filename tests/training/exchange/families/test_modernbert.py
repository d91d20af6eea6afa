from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError, InputError
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.encoders import ModernBertEncoderConfig
from pipeline.training.exchange.families.modernbert import ModernBert

SPECIAL_IDS = {"pad": 50283, "unk": 50280, "cls": 50281, "sep": 50282, "mask": 50284}
FULL, SLIDING = "full_attention", "sliding_attention"
# As in the config.json of answerdotai/ModernBERT-base, which transformers 4.47 wrote.
PUBLISHED = {
    "architectures": ["ModernBertForMaskedLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 50281,
    "classifier_activation": "gelu",
    "classifier_bias": False,
    "classifier_dropout": 0.0,
    "classifier_pooling": "mean",
    "cls_token_id": 50281,
    "decoder_bias": True,
    "deterministic_flash_attn": False,
    "embedding_dropout": 0.0,
    "eos_token_id": 50282,
    "global_attn_every_n_layers": 3,
    "global_rope_theta": 160000.0,
    "gradient_checkpointing": False,
    "hidden_activation": "gelu",
    "hidden_size": 768,
    "initializer_cutoff_factor": 2.0,
    "initializer_range": 0.02,
    "intermediate_size": 1152,
    "layer_norm_eps": 1e-05,
    "local_attention": 128,
    "local_rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "mlp_dropout": 0.0,
    "model_type": "modernbert",
    "norm_bias": False,
    "norm_eps": 1e-05,
    "num_attention_heads": 12,
    "num_hidden_layers": 22,
    "pad_token_id": 50283,
    "position_embedding_type": "absolute",
    "sep_token_id": 50282,
    "tie_word_embeddings": True,
    "vocab_size": 50368,
}
# What transformers 5 writes instead of global_attn_every_n_layers and the two thetas.
ROPE = {"full_attention": {"rope_type": "default", "rope_theta": 500.0}, "sliding_attention": {"rope_type": "default"}}
SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}


def read(values: Any, **others: Any) -> PretrainerConfig:
    return ModernBert().from_config({**values, **others}, source="x", has_next_sentence=False)


def test_the_published_configuration_there_and_back() -> None:
    config = read(PUBLISHED)
    assert config.with_head() == PretrainerConfig(encoder=ModernBertEncoderConfig(vocab_size=50368)).with_head()
    written = ModernBert().to_config(config, SPECIAL_IDS)
    # These say nothing of a masked LM.
    free = {"classifier_dropout", "classifier_pooling", "deterministic_flash_attn", "gradient_checkpointing"}
    free |= {"initializer_cutoff_factor", "layer_norm_eps", "position_embedding_type"}
    assert {name: value for name, value in PUBLISHED.items() if name not in free}.items() <= written.items()
    assert written["layer_types"][:5] == [FULL, SLIDING, SLIDING, FULL, SLIDING]
    assert written["rope_parameters"][FULL] == {"rope_type": "default", "rope_theta": 160_000.0}
    assert read(written) == config


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"layer_types": [FULL, SLIDING, FULL, SLIDING]}, {"global_attention_every": 2}),
        ({"layer_types": [FULL, SLIDING, SLIDING, SLIDING]}, {"global_attention_every": 4}),
        ({"layer_types": [FULL, SLIDING, SLIDING, FULL]}, {}),
        ({"layer_types": [FULL] * 4, "global_attn_every_n_layers": 2}, {"local_attention": None}),
        ({"global_attn_every_n_layers": 2}, {"global_attention_every": 2}),
        ({"global_attn_every_n_layers": 1}, {"local_attention": None}),
        ({"rope_parameters": ROPE}, {"rotary_theta": 500.0}),
        (
            {"rope_parameters": ROPE, "global_rope_theta": 7.0, "local_rope_theta": 9.0},
            {"rotary_theta": 500.0, "local_rotary_theta": 9.0},
        ),
        ({"global_rope_theta": 100, "local_rope_theta": None}, {"rotary_theta": 100.0, "local_rotary_theta": 100.0}),
        ({"local_attention": 17}, {"local_attention": 16}),
        ({"hidden_activation": "silu"}, {"mlp": "swiglu", "hidden_activation": "silu"}),
        ({"hidden_activation": "gelu_new", "norm_eps": 0.1}, {"hidden_activation": "gelu", "layer_norm_epsilon": 0.1}),
        (dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias", "classifier_bias"), True), {"use_bias": True}),
    ],
)
def test_both_generations_of_config_json(values: dict[str, Any], expected: dict[str, Any]) -> None:
    shape = {"vocab_size": 50, "hidden_size": 16, "num_layers": 4, "num_attention_heads": 2}
    assert read(SMALL, **values).encoder == ModernBertEncoderConfig(**{**shape, **expected})
    written = ModernBert().to_config(read(SMALL, **values), SPECIAL_IDS)
    assert read(written).encoder == read(SMALL, **values).encoder


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decoder_bias": False}, "ModernBERT encoders with decoder_bias True are supported. Received: False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings True"),
        ({"mlp_bias": True}, "must be all true or all false.*mlp_bias True, norm_bias False"),
        ({"hidden_activation": "relu"}, "hidden_activation in x must be one of .*silu.* Received: 'relu'"),
        ({"hidden_activation": "mish"}, "hidden_activation in x must be one of"),
        ({"classifier_activation": "mish"}, "classifier_activation in x must be one of"),
        ({"layer_types": [SLIDING, FULL, FULL, FULL]}, "layer_types in x must repeat full_attention every n layers"),
        ({"layer_types": [FULL, "chunked_attention"] * 2}, "layer_types in x must list 4 times"),
        ({"layer_types": [FULL]}, "layer_types in x must list 4 times"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers in x must be positive integers"),
        ({"rope_parameters": {FULL: {"rope_type": "yarn", "factor": 2.0}}}, "must have the rope_type 'default'"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling in x must be null"),
        ({"global_rope_theta": "far"}, "rope_theta in x for full_attention must be a positive number"),
        ({"num_attention_heads": 3}, "multiple of num_attention_heads"),
        ({"local_attention": 1}, "cannot be built"),
        ({"local_attention": "wide"}, "local_attention in x must be an integer"),
    ],
)
def test_what_cannot_be_read_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(SMALL, **values)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ({"type": "bert"}, "supports only encoder.type 'modernbert'"),
        ({"norm": "rms_norm"}, "encoder.norm 'layer_norm'"),
        ({"mlp": "dense"}, "encoder.mlp 'geglu'"),
    ],
)
def test_what_cannot_be_written_is_refused(encoder: dict[str, Any], message: str) -> None:
    config = from_dict(PretrainerConfig, {"encoder": {"type": "modernbert", **encoder}}).with_head()
    with pytest.raises(ConfigError, match=message):
        ModernBert().to_config(config, SPECIAL_IDS)


def test_heads_that_cannot_be_written_are_refused() -> None:
    head = ClsHeadConfig(inner_dim=None, name="next_sentence")
    config = PretrainerConfig(encoder=ModernBertEncoderConfig(), cls_heads=(head,)).with_head()
    with pytest.raises(ConfigError, match="ModernBERT has no next_sentence head"):
        ModernBert().to_config(config, SPECIAL_IDS)
    config = PretrainerConfig(encoder=ModernBertEncoderConfig(), mlm_activation="tanh").with_head()
    with pytest.raises(ConfigError, match="supports only the activations gelu"):
        ModernBert().to_config(config, SPECIAL_IDS)
