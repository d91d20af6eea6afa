"""Encoders and pre-trainers as parts of a `keras.Model`: saved, cloned, exported, trained with and without XLA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.modeling import (
    AlbertEncoder,
    BertEncoder,
    BertEncoderV2,
    BertPretrainer,
    BertPretrainerV2,
    ClassificationHead,
    MultiClsHeads,
    OnDeviceEmbedding,
)

SMALL = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_layers": 2,
    "num_attention_heads": 2,
    "inner_dim": 64,
    "max_sequence_length": 16,
}
POSITIONS = {"masked_lm_positions": np.ones((4, 3), np.int32)}


def make_batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    mask = (np.arange(16) < rng.integers(4, 17, (4, 1))).astype(np.int32)
    types = rng.integers(0, 2, (4, 16), dtype=np.int32)
    return {"input_word_ids": rng.integers(0, 100, (4, 16), np.int32), "input_mask": mask, "input_type_ids": types}


def wrap(model: Any, names: dict[str, Any], choose: Callable[[Any], Any]) -> keras.Model:
    """A functional model over another, with inputs of its own."""
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    return keras.Model(inputs, choose(model(inputs)))


def pretrainer_v2() -> BertPretrainerV2:
    heads = [ClassificationHead(32, 2, name="next_sentence"), MultiClsHeads(8, [("a", 2), ("b", 3)], name="multi")]
    return BertPretrainerV2(BertEncoderV2(**SMALL), classification_heads=heads)


# What each builds, and what of its outputs is compared.
BATCH = make_batch()
MODELS: dict[str, tuple[Callable[[], keras.Model], Callable[[Any], Any]]] = {
    "bert": (lambda: BertEncoder(**SMALL, dict_outputs=True), lambda outputs: outputs["pooled_output"]),
    "bert list": (lambda: BertEncoder(**SMALL), lambda outputs: outputs[1]),
    "bert v2": (lambda: BertEncoderV2(**SMALL), lambda outputs: outputs["pooled_output"]),
    "albert": (lambda: AlbertEncoder(**SMALL, dict_outputs=True), lambda outputs: outputs["pooled_output"]),
    "own embeddings": (
        lambda: BertEncoderV2(
            **SMALL,
            embedding_layer=OnDeviceEmbedding(100, 32),
            return_attention_scores=True,
            return_word_embeddings=True,
            output_range=1,
        ),
        lambda outputs: outputs["pooled_output"],
    ),
    "pretrainer": (pretrainer_v2, lambda outputs: outputs["mlm_logits"]),
    "pretrainer v1": (lambda: BertPretrainer(BertEncoder(**SMALL), 3, 3), lambda outputs: outputs["masked_lm"]),
}
ALL = [(name, within) for name in MODELS for within in (False, True)]


def build(name: str, within: bool) -> tuple[keras.Model, dict[str, np.ndarray], Callable[[Any], Any]]:
    make, choose = MODELS[name]
    batch = {**BATCH, **POSITIONS} if "pretrainer" in name else BATCH
    return (wrap(make(), batch, choose), batch, lambda outputs: outputs) if within else (make(), batch, choose)


@pytest.mark.parametrize(("name", "within"), ALL)
def test_saved_cloned_and_exported_models_compute_the_same(name: str, within: bool, tmp_path: Path) -> None:
    model, batch, choose = build(name, within)
    expected = choose(model(batch, training=False))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(choose(loaded(batch, training=False)), expected, rtol=1e-5, atol=1e-6)
    model.save_weights(tmp_path / "model.weights.h5")
    other = build(name, within)[0]
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(choose(other(batch, training=False)), expected, rtol=1e-5, atol=1e-6)
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    np.testing.assert_allclose(choose(cloned(batch, training=False)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["bert", "albert", "pretrainer", "pretrainer v1"])
@pytest.mark.parametrize("within", [False, True])
def test_exported_models_compute_the_same(name: str, within: bool, tmp_path: Path) -> None:
    model, batch, choose = build(name, within)
    model.export(str(tmp_path / "exported"), verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    expected = choose(model(batch, training=False))
    np.testing.assert_allclose(choose(exported.serve(batch)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    [
        ("bert v2", True),
        ("pretrainer", False),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("bert v2", False),
                ("albert", False),
                ("albert", True),
                ("pretrainer", True),
                ("pretrainer v1", False),
                ("pretrainer v1", True),
            )
        ),
    ],
)
def test_fit_lowers_the_loss(name: str, jit_compile: bool) -> None:
    keras.utils.set_random_seed(1)
    model, batch, _ = build(name, within=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=jit_compile)
    labels = np.array([0, 1, 2, 3])[:, None] if "pretrainer" in name else np.array([0, 1, 2, 3])
    labels = np.repeat(labels, 3, axis=1) if "pretrainer" in name else labels
    losses = model.fit(batch, labels, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.3


def test_embeddings_may_stand_for_ids() -> None:
    encoder = BertEncoderV2(**SMALL, return_attention_scores=True, return_word_embeddings=True, output_range=2)
    expected = encoder(BATCH, training=False)
    embedded = encoder.get_embedding_layer()(BATCH["input_word_ids"])
    inputs = {name: value for name, value in BATCH.items() if name != "input_word_ids"}
    outputs = encoder({**inputs, "input_word_embeddings": embedded}, training=False)
    np.testing.assert_allclose(outputs["sequence_output"], expected["sequence_output"], rtol=1e-5, atol=1e-6)
    assert expected["sequence_output"].shape == (4, 2, 32)
    assert expected["word_embeddings"].shape == (4, 16, 32)
    first, last = expected["attention_scores"]
    assert (first.shape, last.shape) == ((4, 2, 16, 16), (4, 2, 2, 16))
    np.testing.assert_allclose(tf.reduce_sum(first, -1), np.ones((4, 2, 16)), rtol=1e-5)
    assert not np.any(np.asarray(first)[np.repeat(BATCH["input_mask"][:, None, None] == 0, 2, 1).repeat(16, 2)])


def test_the_range_of_outputs_leaves_their_numbers() -> None:
    whole, part = (BertEncoderV2(**SMALL, output_range=limit) for limit in (None, 3))
    part.set_weights(whole.get_weights())
    expected = whole(BATCH, training=False)
    outputs = part(BATCH, training=False)
    np.testing.assert_allclose(outputs["sequence_output"], expected["sequence_output"][:, :3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["pooled_output"], expected["pooled_output"], rtol=1e-5, atol=1e-6)
