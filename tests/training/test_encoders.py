from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.training.encoders import ACTIVATIONS, AlbertEncoderConfig, EncoderConfig, build_encoder
from pipeline.training.modeling.activations import gelu, get_activation
from pipeline.training.modeling.albert_encoder import AlbertEncoder


def test_every_option_reaches_the_encoder() -> None:
    config = EncoderConfig(
        vocab_size=31,
        hidden_size=12,
        num_layers=2,
        num_attention_heads=3,
        intermediate_size=17,
        dropout_rate=0.21,
        attention_dropout_rate=0.22,
        max_position_embeddings=19,
        type_vocab_size=4,
        initializer_range=0.5,
        embedding_size=7,
        norm_first=True,
        layer_norm_epsilon=1e-5,
        final_norm=True,
        norm="rms_norm",
        use_bias=False,
        mlp="geglu",
        positions="rotary",
        rotary_theta=300.0,
        local_rotary_theta=200.0,
        local_attention=6,
        global_attention_every=2,
    )
    encoder = build_encoder(config)
    built = encoder.get_config()
    initializer = built.pop("initializer")
    assert initializer["config"]["stddev"] == 0.5
    assert encoder.inner_activation is gelu
    built.pop("inner_activation")
    assert not any(built.pop(f"return_{what}") for what in ("attention_scores", "word_embeddings"))
    assert (built.pop("output_range"), built.pop("embedding_layer")) == (None, None)
    assert built == {
        "name": "bert_encoder",
        "dtype": keras.dtype_policies.serialize(keras.DTypePolicy("float32")),
        "vocab_size": 31,
        "hidden_size": 12,
        "num_layers": 2,
        "num_attention_heads": 3,
        "max_sequence_length": 19,
        "type_vocab_size": 4,
        "inner_dim": 17,
        "output_dropout": 0.21,
        "attention_dropout": 0.22,
        "embedding_width": 7,
        "norm_first": True,
        "layer_norm_epsilon": 1e-5,
        "final_norm": True,
        "norm": "rms_norm",
        "use_bias": False,
        "gated_mlp": True,
        "positions": "rotary",
        "rotary_theta": 300.0,
        "local_rotary_theta": 200.0,
        "local_attention": 6,
        "global_attention_every": 2,
        "use_pooler": True,
        "output_initializer": None,
        "dict_outputs": True,
        "return_all_encoder_outputs": False,
    }


def test_other_activations_by_name() -> None:
    config = EncoderConfig(vocab_size=9, hidden_size=4, num_layers=1, num_attention_heads=1, hidden_activation="relu")
    activation = build_encoder(dataclasses.replace(config, intermediate_size=4)).inner_activation
    np.testing.assert_array_equal(activation(np.array([-1.0, 2.0])), [0.0, 2.0])


def test_albert() -> None:
    encoder = build_encoder(
        AlbertEncoderConfig(hidden_size=8, num_layers=3, num_attention_heads=2, intermediate_size=9)
    )
    assert isinstance(encoder, AlbertEncoder)
    config = encoder.get_config()
    assert (config["name"], config["embedding_width"], config["num_layers"]) == ("albert_encoder", 128, 3)
    assert tuple(encoder.get_embedding_table().shape) == (30000, 128)


def test_albert_without_factorisation() -> None:
    config = AlbertEncoderConfig(
        vocab_size=9, embedding_size=None, hidden_size=8, num_layers=1, num_attention_heads=2, intermediate_size=9
    )
    assert tuple(build_encoder(config).get_embedding_table().shape) == (9, 8)


def test_every_activation_is_known() -> None:
    x = np.array([-1.0, 0.5], np.float32)
    found = {name: tuple(np.asarray(get_activation(name)(x)).round(4)) for name in ACTIVATIONS}
    assert found["gelu"] == (pytest.approx(-0.1588), pytest.approx(0.3457))
    assert found["gelu_exact"] == (pytest.approx(-0.1587), pytest.approx(0.3457))
    assert found["swish"] == found["silu"]
    assert len(set(found.values())) == len(ACTIVATIONS) - 2  # Both are ReLU where it is under 6, and the pair above.


SWITCHES: tuple[dict[str, Any], ...] = (
    {"norm_first": True},
    {"norm_first": True, "final_norm": True},
    {"norm": "rms_norm"},
    {"use_bias": False},
    {"positions": "rotary"},
    {"mlp": "geglu"},
    {"mlp": "swiglu"},
    {"local_attention": 2},
    {"local_attention": 2, "global_attention_every": 1},
)


@pytest.mark.parametrize(
    ("kind", "switch"), [*(("bert", switch) for switch in SWITCHES), ("albert", SWITCHES[1])], ids=str
)
def test_each_part_alone(kind: str, switch: dict[str, Any]) -> None:
    """It changes what is computed, and packed rows are as single ones."""
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
    config = EncoderConfig(type=kind, **sizes, embedding_size=8, max_position_embeddings=20)
    plain, encoder = build_encoder(config), build_encoder(dataclasses.replace(config, **switch))
    draw = np.random.default_rng(0)
    drawn = {weight.path: draw.normal(0.0, 0.5, weight.shape) for weight in plain.weights}
    for model in (plain, encoder):
        for weight in model.weights:
            held = drawn.get(weight.path, np.empty(0))
            weight.assign(held if held.shape == weight.shape else np.resize(drawn[_KERNEL[kind]], weight.shape))
    ids = draw.integers(0, 20, (1, 15)).astype(np.int32)
    batch = {"input_word_ids": ids, "input_mask": np.ones_like(ids), "input_type_ids": np.zeros_like(ids)}
    found = np.asarray(encoder(batch)["sequence_output"])
    same = switch == {"local_attention": 2, "global_attention_every": 1}
    assert np.allclose(found, plain(batch)["sequence_output"], atol=1e-5) == same
    sequences = {**batch, "input_sequence_ids": np.array([[1] * 4 + [2] * 11], np.int32)}
    alone = encoder({name: value[:, 4:] for name, value in batch.items()})["sequence_output"]
    np.testing.assert_allclose(encoder(sequences)["sequence_output"][:, 4:], alone, atol=1e-4)


_KERNEL = {
    "bert": "bert_encoder/transformer_layer_0/intermediate/kernel",
    "albert": "albert_encoder/transformer/intermediate/kernel",
}
