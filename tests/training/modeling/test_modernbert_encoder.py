from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.bert import ClsHeadConfig, PretrainerConfig, build_pretrainer
from pipeline.training.encoders import ModernBertEncoderConfig
from pipeline.training.modeling.bert_pretrainer import BertPretrainer, BertPretrainerV2
from pipeline.training.modeling.local_attention import window_mask
from pipeline.training.modeling.modernbert_encoder import ModernBertEncoder
from pipeline.training.optimization.optimizers import AdamW

SMALL: dict[str, Any] = {
    "vocab_size": 30, "hidden_size": 16, "num_layers": 3, "num_attention_heads": 2, "inner_dim": 24,
    "local_attention": 4, "global_attention_every": 2,
}  # fmt: skip


def make_encoder(**options: Any) -> ModernBertEncoder:
    keras.utils.set_random_seed(1)
    encoder = ModernBertEncoder(**{**SMALL, **options})
    draw = np.random.default_rng(2)
    for weight in encoder.weights:
        weight.assign(np.asarray(weight) + draw.normal(0.0, 0.3, weight.shape))
    return encoder


def make_batch(length: int = 29) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(3)
    mask = (np.arange(length) < np.array([[length], [length - 9]])).astype(np.int32)
    return {"input_word_ids": draw.integers(0, 30, (2, length)).astype(np.int32), "input_mask": mask}


def test_shapes_inputs_and_outputs() -> None:
    encoder, batch = make_encoder(), make_batch()
    outputs = encoder(batch)
    assert set(outputs) == {"sequence_output", "encoder_outputs"}
    assert outputs["sequence_output"].shape == (2, 29, 16)
    assert [each.shape for each in outputs["encoder_outputs"]] == [(2, 29, 16)] * 3
    assert list(encoder.inputs) == list(batch)
    assert encoder.get_embedding_table().shape == (30, 16)
    assert (encoder.pooler_layer, encoder.type_vocab_size, encoder.max_sequence_length) == (None, None, 8192)
    # Corpora have segments.
    beside = encoder({**batch, "input_type_ids": np.ones((2, 29), np.int32)})
    np.testing.assert_array_equal(beside["sequence_output"], outputs["sequence_output"])
    listed = make_encoder(dict_outputs=False)
    (sequence,) = listed(list(batch.values()))
    np.testing.assert_array_equal(sequence, outputs["sequence_output"])
    scored = BertPretrainerV2(listed)(batch)
    np.testing.assert_array_equal(scored["sequence_output"], sequence)
    with pytest.raises(ValueError, match=r"ModernBertEncoder, which has no pooler; `BertPretrainerV2` needs none"):
        BertPretrainer(encoder, 2, 3)


def test_defaults_are_those_of_the_base_model() -> None:
    config = ModernBertEncoderConfig()
    assert (config.hidden_size, config.num_layers, config.num_attention_heads) == (768, 22, 12)
    assert (config.intermediate_size, config.max_position_embeddings, config.local_attention) == (1152, 8192, 128)
    small = ModernBertEncoder(20, 16, 2, num_attention_heads=2, inner_dim=8)
    assert (small.local_attention, small.global_attention_every) == (128, 3)
    assert (small.rotary_theta, small.local_rotary_theta) == (160_000, 10_000)
    assert float(small.inner_activation(np.float32(1))) == pytest.approx(0.5 * (1 + math.erf(math.sqrt(0.5))), abs=1e-6)
    names = {weight.path.rpartition("/")[2] for weight in small.weights}
    assert names == {"embeddings", "gamma", "kernel"}
    assert small.transformer_layers[0].attention_layer_norm is None
    assert small.transformer_layers[1].attention_layer_norm is not None


def test_rows_alone_padded_and_packed() -> None:
    """Of rows longer than the window, alone and packed: each sequence's outputs are its own."""
    encoder, batch = make_encoder(), make_batch()
    padded = encoder(batch)["sequence_output"]
    alone = encoder({name: value[1:, :20] for name, value in batch.items()})["sequence_output"]
    np.testing.assert_allclose(padded[1, :20], alone[0], atol=1e-5)
    sequence_ids = np.array([[1] * 3 + [2] * 15 + [3] * 11, [1] * 12 + [2] * 8 + [0] * 9], np.int32)
    packed = encoder({**batch, "input_sequence_ids": sequence_ids})["sequence_output"]
    for row, start, stop in ((0, 0, 3), (0, 3, 18), (0, 18, 29), (1, 0, 12), (1, 12, 20)):
        single = {"input_word_ids": batch["input_word_ids"][row : row + 1, start:stop]}
        single["input_mask"] = np.ones_like(single["input_word_ids"])
        np.testing.assert_allclose(packed[row, start:stop], encoder(single)["sequence_output"][0], atol=1e-5)


def test_windows_and_global_layers() -> None:
    """Behind the first block, which sees the whole row, a local one passes a change on by half of its window."""
    batch = make_batch()
    changed = {**batch, "input_word_ids": batch["input_word_ids"].copy()}
    changed["input_word_ids"][0, 0] = (batch["input_word_ids"][0, 0] + 1) % 30
    encoder = make_encoder(num_layers=2)
    before, after = (np.array(encoder(each)["encoder_outputs"][0]) for each in (batch, changed))
    assert np.abs(before - after)[0].max(-1).min() > 0
    block, mask = encoder.transformer_layers[1], window_mask(tf.constant(batch["input_mask"]), 4)
    after[:, 1:] = before[:, 1:]
    moved = np.abs(np.asarray(block([before, mask])) - np.asarray(block([after, mask])))[0]
    assert np.flatnonzero(moved.max(-1)).tolist() == [0, 1, 2]


def test_attention_scores_are_of_the_whole_row() -> None:
    encoder, batch = make_encoder(), make_batch()
    with_scores = make_encoder(return_attention_scores=True)
    outputs = with_scores(batch)
    np.testing.assert_allclose(
        np.asarray(outputs["sequence_output"])[0], np.asarray(encoder(batch)["sequence_output"])[0], atol=1e-5
    )
    far = np.abs(np.arange(29)[:, None] - np.arange(29)[None, :]) > 2
    for index, scores in enumerate(outputs["attention_scores"]):
        assert scores.shape == (2, 2, 29, 29)
        assert (np.asarray(scores)[0][:, far].max() == 0) == (index == 1)
    short = make_encoder(output_range=1)(batch)["sequence_output"]
    np.testing.assert_allclose(short[:, 0], encoder(batch)["sequence_output"][:, 0], atol=1e-5)


def test_the_pretrainer_is_saved_with_its_head(tmp_path: Path) -> None:
    config = ModernBertEncoderConfig(
        vocab_size=30, hidden_size=16, num_layers=2, num_attention_heads=2, intermediate_size=24, local_attention=4
    )
    head = ClsHeadConfig(inner_dim=None, name="next_sentence")
    model = build_pretrainer(PretrainerConfig(encoder=config, cls_heads=(head,)))
    batch = {**make_batch(), "masked_lm_positions": np.array([[1, 20], [3, 4]], np.int32)}
    outputs = model(batch)
    assert outputs["next_sentence"].shape == (2, 2)
    dense, norm = model.masked_lm.dense, model.masked_lm.layer_norm
    assert [weight.path.rpartition("/")[2] for weight in (*dense.weights, *norm.weights)] == ["kernel", "gamma"]
    vector = np.random.default_rng(0).normal(size=(1, 16)).astype(np.float32)
    hidden = vector @ np.asarray(dense.kernel)
    hidden = 0.5 * hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    centred = hidden - hidden.mean()
    table = np.asarray(model.encoder_network.get_embedding_table())
    expected = centred / np.sqrt((centred**2).mean() + 1e-5) @ table.T
    np.testing.assert_allclose(model.masked_lm.score(vector), expected, rtol=1e-4, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.mlm_options == {"norm_epsilon": 1e-5, "norm": "layer_norm", "use_bias": False}
    np.testing.assert_array_equal(again(batch)["mlm_logits"], outputs["mlm_logits"])


def test_weights_at_first() -> None:
    """Truncated at two deviations, which leaves 0.8796 of the normal's: PyTorch's `trunc_normal_` and Keras's alike."""
    config = ModernBertEncoderConfig(
        vocab_size=3000, hidden_size=96, num_layers=2, num_attention_heads=2, intermediate_size=128
    )
    model = build_pretrainer(PretrainerConfig(encoder=config))
    block = model.encoder_network.transformer_layers[1]
    attention = block.self_attention
    scaled = 0.02 / math.sqrt(4)
    for weight, stddev in (
        (model.encoder_network.get_embedding_table(), 0.02),
        (attention.query_dense.kernel, 0.02),
        (attention.attention_output_dense.kernel, scaled),
        (block.intermediate_dense.kernel, 0.02),
        (block.output_dense.kernel, scaled),
        (model.masked_lm.dense.kernel, scaled),
    ):
        values = np.asarray(weight)
        assert values.std() == pytest.approx(0.8796 * stddev, rel=0.03)
        assert np.abs(values).max() <= 2 * stddev * 1.001


def test_what_does_not_decay() -> None:
    for options in ({}, {"norm": "rms_norm"}, {"use_bias": True}):
        model = BertPretrainerV2(make_encoder(**options), mlm_options={"use_bias": False})
        optimizer = AdamW(exclude_from_weight_decay=["layer_norm", "bias"])
        kept = {weight.path for weight in model.trainable_variables if not optimizer.decays(weight.path)}
        assert kept == {weight.path for weight in model.trainable_variables if len(weight.shape) == 1}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy: str) -> None:
    encoder, batch = make_encoder(), make_batch()
    half = make_encoder(dtype=policy)
    half.set_weights(encoder.get_weights())
    expected, found = (np.asarray(each(batch)["sequence_output"], np.float32) for each in (encoder, half))
    real = batch["input_mask"] == 1
    assert np.abs(found - expected)[real].mean() < (0.03 if "bfloat" in policy else 0.005)
    assert np.abs(expected)[real].mean() > 0.5


def test_xla_and_lengths_known_late() -> None:
    encoder, batch = make_encoder(), {name: tf.constant(value) for name, value in make_batch().items()}
    expected = encoder(batch)["sequence_output"]
    specs = [{name: tf.TensorSpec([None, None], tf.int32) for name in batch}]
    call = lambda inputs: encoder(inputs)["sequence_output"]  # noqa: E731
    for way in (tf.function(call, jit_compile=True), tf.function(call, input_signature=specs)):
        np.testing.assert_allclose(way(batch), expected, atol=1e-5)
