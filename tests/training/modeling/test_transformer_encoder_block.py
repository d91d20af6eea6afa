"""The block's arguments, compared with Keras's own attention and with the formulas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from pipeline.training.modeling.transformer_encoder_block import TransformerEncoderBlock

RNG = np.random.default_rng(1)
QUERY = RNG.normal(size=(2, 5, 12)).astype(np.float32)
MASK = (RNG.random((2, 5, 7)) < 0.7).astype(np.int32)
MASK[:, :, 0] = 1


def key_value(width: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=(2, 7, width)).astype(np.float32)


def randomize(block: TransformerEncoderBlock) -> None:
    rng = np.random.default_rng(3)
    block.set_weights([rng.normal(0, 0.3, weight.shape) for weight in block.weights])


def kerass_attention(block: TransformerEncoderBlock, query: Any, keys: Any, mask: Any) -> tuple[Any, Any]:
    """What `keras.layers.MultiHeadAttention` computes with the block's weights."""
    ours = block.self_attention
    theirs = keras.layers.MultiHeadAttention(
        ours.num_heads, ours.key_dim, ours.value_dim, use_bias=ours.use_bias, output_shape=ours.output_dim
    )
    theirs(query, keys)
    weights = []
    for name in ("query", "key", "value", "attention_output"):
        weights += getattr(ours, f"{name}_dense").get_weights()
    theirs.set_weights([weight.reshape(slot.shape) for weight, slot in zip(weights, theirs.get_weights(), strict=True)])
    return theirs(query, keys, attention_mask=mask.astype(bool), return_attention_scores=True)


def norm(layer: Any, x: Any) -> Any:
    return np.asarray(layer(x))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 12),
        ({"use_bias": False, "key_dim": 5, "value_dim": 7}, 12),
        ({"use_query_residual": False}, 12),
        ({"use_query_residual": False, "output_last_dim": 9}, 12),
        ({"num_attention_heads": 5}, 12),
        ({"output_range": 2}, 12),
        ({"diff_q_kv_att_layer_norm": True}, 10),
    ],
)
def test_outputs_follow_the_formulas(norm_first: bool, options: dict[str, Any], width: int) -> None:
    if "diff_q_kv_att_layer_norm" in options and not norm_first:
        with pytest.raises(ValueError, match="needs `norm_first`"):
            TransformerEncoderBlock(2, 16, "relu", **options)
        return
    arguments = {"num_attention_heads": 2, **options}
    block = TransformerEncoderBlock(
        inner_dim=16, inner_activation="relu", norm_first=norm_first, return_attention_scores=True, **arguments
    )
    other = key_value(width)
    block([QUERY, other, MASK])
    randomize(block)
    output, scores = block([QUERY, other, MASK])

    rows = slice(options.get("output_range"))
    query, keys = QUERY, other
    if norm_first:
        query = norm(block.attention_layer_norm, QUERY)
        keys = norm(block.attention_layer_norm_kv or block.attention_layer_norm, other)
    attended, expected_scores = kerass_attention(block, query[:, rows], keys, MASK[:, rows])
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-4, atol=1e-6)
    x = np.asarray(attended) + (QUERY[:, rows] if block.use_query_residual else 0)

    def feed_forward(x: Any) -> Any:
        return np.asarray(block.output_dense(keras.ops.relu(block.intermediate_dense(x))))

    if norm_first:
        expected = x + feed_forward(norm(block.output_layer_norm, x))
    else:
        x = norm(block.attention_layer_norm, x)
        expected = norm(block.output_layer_norm, x + feed_forward(x))
    np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)
    assert block.from_config(block.get_config()).get_config() == block.get_config()


def test_the_range_can_be_given_to_the_call() -> None:
    block = TransformerEncoderBlock(2, 16, "relu")
    whole = block(QUERY)
    np.testing.assert_allclose(block(QUERY, output_range=2), whole[:, :2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(block([QUERY, np.ones((2, 5, 5), np.int32)]), whole, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="two or three items"):
        block([QUERY])


def test_inner_dropout_drops_between_the_dense_layers() -> None:
    block = TransformerEncoderBlock(2, 16, "relu", inner_dropout=0.5, bias_initializer="ones")
    same = block(QUERY, training=False)
    assert not np.allclose(block(QUERY, training=True), same)
    np.testing.assert_array_equal(block.output_dense.bias, np.ones(12))


def test_gated_layers_follow_the_formula() -> None:
    """Half of what the first layer gives, activated, times the other half: SwiGLU, with pre-norm and RMS norms."""
    block = TransformerEncoderBlock(
        2, 6, "silu", norm_first=True, norm="rms_norm", norm_epsilon=0.1, gated=True, use_bias=False,
        dense_bias=False, attention_norm=False,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)
    block.build(x.shape)
    assert block.attention_layer_norm is None
    assert {weight.path.rpartition("/")[2] for weight in block.weights} == {"kernel", "scale"}
    attended = x + np.asarray(block.self_attention(x)[0])
    normed = attended / np.sqrt((attended**2).mean(-1, keepdims=True) + 0.1)
    first, gate = np.split(normed @ np.asarray(block.intermediate_dense.kernel), 2, axis=-1)
    expected = attended + (first / (1 + np.exp(-first)) * gate) @ np.asarray(block.output_dense.kernel)
    np.testing.assert_allclose(block(x), expected, atol=1e-5)
    config = block.get_config()
    assert TransformerEncoderBlock.from_config(config).get_config() == config
    with pytest.raises(ValueError, match=r"`attention_norm=False` needs `norm_first`"):
        TransformerEncoderBlock(2, 6, "silu", attention_norm=False)
