"""Rows of several sequences: what a model computes for each is what it computes for the sequence alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.training.modeling.albert_encoder import AlbertEncoder
from pipeline.training.modeling.bert_encoder import BertEncoder, BertEncoderV2
from pipeline.training.modeling.bert_pretrainer import BertPretrainer, BertPretrainerV2
from pipeline.training.modeling.classification_head import ClassificationHead, MultiClsHeads

Batch = dict[str, np.ndarray]
# One sequence that fills the row, many with padding behind them, many without, and one with padding.
ROWS = ((24,), (5, 9, 4), (6, 4, 4, 5, 5), (7,))
SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_layers": 3,
    "num_attention_heads": 4,
    "inner_dim": 24,
    "max_sequence_length": 24,
    "type_vocab_size": 2,
    "dict_outputs": True,
}


def make_encoder(kind: Any = BertEncoder, **options: Any) -> Any:
    options = {**SMALL, **options}
    if kind is AlbertEncoder:
        options.setdefault("embedding_width", 8)
    return randomised(kind(**options))


def randomised(model: Any, seed: int = 0) -> Any:
    """The model with weights of which each matters; those of layer norms remain near one."""
    draw = np.random.default_rng(seed)
    model.set_weights([weight + 0.3 * draw.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def features(batch: Batch) -> Batch:
    """What encoders take."""
    return {name: value for name, value in batch.items() if name.startswith("input_") or name.endswith("positions")}


def unpack(packed: Batch, values: Any) -> np.ndarray:
    """What was computed for packed rows, `[rows, seq_length, ...]`: a sequence a row, padded by zeros."""
    values, ids = np.asarray(values, np.float32), packed["input_sequence_ids"]
    length, found = ids.shape[1], []
    for row in range(len(ids)):
        for number in range(1, ids[row].max() + 1):
            tokens = values[row, ids[row] == number]
            found.append(np.concatenate([tokens, np.zeros((length - len(tokens), *tokens.shape[1:]), np.float32)]))
    return np.stack(found)


def assert_same_tokens(single: Batch, packed: Batch, expected: Any, found: Any, tolerance: float = 1e-5) -> None:
    expected = np.asarray(expected, np.float32) * single["input_mask"][..., None]
    np.testing.assert_allclose(unpack(packed, found), expected, atol=tolerance)


def real(packed: Batch, values: Any) -> np.ndarray:
    """Of values `[rows, sequences, ...]` those of sequences that are there."""
    return np.asarray(values, np.float32)[packed["next_sentence_weights"] > 0]


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("kind", [BertEncoder, BertEncoderV2, AlbertEncoder])
def test_an_encoder_gives_what_it_gives_for_each_sequence(make_packed: Any, kind: Any, pairs: bool) -> None:
    single, packed = make_packed(ROWS, pairs=pairs)
    encoder = make_encoder(kind)
    expected, found = encoder(features(single)), encoder(features(packed))
    assert len(found["encoder_outputs"]) == 3
    for one, other in zip(expected["encoder_outputs"], found["encoder_outputs"], strict=True):
        assert_same_tokens(single, packed, one, other)
    assert_same_tokens(single, packed, expected["sequence_output"], found["sequence_output"])
    assert np.isfinite(found["sequence_output"]).all()  # At padding, too.
    if pairs:
        assert found["pooled_output"].shape == (4, 5, 16)
        np.testing.assert_allclose(real(packed, found["pooled_output"]), expected["pooled_output"], atol=1e-5)
    else:
        assert found["pooled_output"].shape == (4, 16)


@pytest.mark.parametrize(
    "options",
    [
        {"norm_first": True},
        {"return_attention_scores": True},
        {"dict_outputs": False},
        {"output_range": 19},
        {"embedding_width": 6},
    ],
    ids=lambda options: next(iter(options)),
)
def test_with_an_encoders_options(make_packed: Any, options: dict[str, Any]) -> None:
    """The tokens of the last sequence are left out where `output_range` leaves them out."""
    rows = ((5, 6, 8), (19,))
    single, packed = make_packed(rows, length=19)
    encoder = make_encoder(**options)
    longer = {name: np.pad(value, ((0, 0), (0, 5))) for name, value in packed.items()}
    expected, found = encoder(features(single)), encoder(features(longer))
    sequences = [value[0] if isinstance(value, list) else value["sequence_output"] for value in (expected, found)]
    assert_same_tokens(single, packed, sequences[0], sequences[1][:, :19])
    if "output_range" in options:
        assert sequences[1].shape[1] == 19
    if "return_attention_scores" in options:
        other = packed["input_sequence_ids"][:, :, None] != packed["input_sequence_ids"][:, None]
        for scores in found["attention_scores"]:
            assert np.asarray(scores)[:, :, :19, :19].transpose(0, 2, 3, 1)[other].max() == 0.0


def test_a_sequence_knows_nothing_of_its_neighbours(make_packed: Any) -> None:
    """To the last bit: the other sequence, its segments, and what stands at padding are of no effect."""
    _, packed = make_packed(((5, 9, 4),))
    encoder = make_encoder()
    expected = np.asarray(encoder(features(packed))["sequence_output"])
    first = packed["input_sequence_ids"] == 1
    changed = {name: value.copy() for name, value in packed.items()}
    changed["input_word_ids"][~first] = 49 - changed["input_word_ids"][~first]
    changed["input_type_ids"][~first] = 1 - changed["input_type_ids"][~first]
    found = np.asarray(encoder(features(changed))["sequence_output"])
    np.testing.assert_array_equal(found[first], expected[first])
    assert np.abs(found - expected)[~first].min(axis=-1).max() > 0


def test_the_mask_holds_within_a_sequence(make_packed: Any) -> None:
    single, packed = make_packed(((9, 6),))
    single["input_mask"][:, 3] = packed["input_mask"][0, [3, 12]] = 0
    encoder = make_encoder()
    expected = np.asarray(encoder(features(single))["sequence_output"])
    found = unpack(packed, encoder(features(packed))["sequence_output"])
    for row, tokens in enumerate((9, 6)):
        np.testing.assert_allclose(found[row, :tokens], expected[row, :tokens], atol=1e-5)


def test_word_embeddings_may_stand_for_ids(make_packed: Any) -> None:
    _, packed = make_packed(ROWS)
    encoder = make_encoder()
    expected = encoder(features(packed))["sequence_output"]
    inputs = features(packed)
    inputs["input_word_embeddings"] = np.asarray(encoder.get_embedding_table())[inputs.pop("input_word_ids")]
    np.testing.assert_allclose(encoder(inputs)["sequence_output"], expected, atol=1e-6)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_bfloat16", 2.0**-5), ("mixed_float16", 2.0**-8)])
def test_mixed_precision(make_packed: Any, policy: str, tolerance: float) -> None:
    """Packed and single rows differ by roundings, and both from float32 by more than nothing."""
    single, packed = make_packed(ROWS)
    exact = make_encoder()
    encoder = BertEncoder(**SMALL, dtype=policy)
    encoder.set_weights(exact.get_weights())
    found = encoder(features(packed))["sequence_output"]
    assert_same_tokens(single, packed, encoder(features(single))["sequence_output"], found, tolerance)
    reference = unpack(packed, exact(features(packed))["sequence_output"])
    assert 0 < np.abs(unpack(packed, found) - reference).max() < 4 * tolerance


@pytest.mark.parametrize("kind", [BertEncoder, AlbertEncoder])
def test_compiled_by_xla(make_packed: Any, kind: Any) -> None:
    single, packed = make_packed(ROWS)
    encoder = make_encoder(kind)
    compiled = tf.function(lambda inputs: encoder(inputs), jit_compile=True)
    found = compiled({name: tf.constant(value) for name, value in features(packed).items()})
    assert_same_tokens(single, packed, encoder(features(single))["sequence_output"], found["sequence_output"])


def test_the_first_pretrainer(make_packed: Any) -> None:
    single, packed = make_packed(ROWS)
    model = randomised(BertPretrainer(make_encoder(), num_classes=2, num_token_predictions=10))
    expected, found = model(features(single)), model(features(packed))
    assert found["classification"].shape == (4, 5, 2)
    np.testing.assert_allclose(real(packed, found["classification"]), expected["classification"], atol=1e-5)
    logits = [
        np.asarray(outputs["masked_lm"])[batch["masked_lm_weights"] > 0]
        for outputs, batch in ((expected, single), (found, packed))
    ]
    np.testing.assert_allclose(logits[1], logits[0], atol=2e-5)


def make_pretrainer(seed: int = 0, **options: Any) -> BertPretrainerV2:
    heads = [
        ClassificationHead(inner_dim=12, num_classes=2, name="next_sentence"),
        ClassificationHead(inner_dim=12, num_classes=3, cls_token_idx=2, name="third"),
        MultiClsHeads(inner_dim=12, cls_list=[("topic", 4), ("tone", 2)], name="several"),
    ]
    return randomised(BertPretrainerV2(make_encoder(**options), "gelu", classification_heads=heads), seed)


@pytest.mark.parametrize("dict_outputs", [True, False])
def test_the_pretrainers_heads(make_packed: Any, dict_outputs: bool) -> None:
    single, packed = make_packed(ROWS)
    model = make_pretrainer(dict_outputs=dict_outputs)
    expected, found = model(features(single)), model(features(packed))
    for name, classes in {"next_sentence": 2, "third": 3, "topic": 4, "tone": 2}.items():
        assert found[name].shape == (4, 5, classes)
        np.testing.assert_allclose(real(packed, found[name]), expected[name], atol=1e-5)
    logits = [
        np.asarray(outputs["mlm_logits"])[batch["masked_lm_weights"] > 0]
        for outputs, batch in ((expected, single), (found, packed))
    ]
    np.testing.assert_allclose(logits[1], logits[0], atol=2e-5)


class TokenHead(keras.layers.Layer):
    """Classes of every token."""

    def build(self, input_shape: Any) -> None:
        self.dense = keras.layers.Dense(3)
        self.dense.build(input_shape)

    def call(self, features: Any) -> Any:
        return self.dense(features)


def test_a_head_upon_every_token_gets_the_rows(make_packed: Any) -> None:
    single, packed = make_packed(ROWS)
    model = randomised(BertPretrainerV2(make_encoder(), classification_heads=[TokenHead(name="tags")]))
    assert_same_tokens(single, packed, model(features(single))["tags"], model(features(packed))["tags"])


def test_an_encoder_that_does_not_keep_sequences_apart_is_refused(make_packed: Any) -> None:
    encoder = make_encoder()
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in encoder.inputs}
    other = keras.Model(inputs, encoder(inputs))
    other.get_embedding_table = encoder.get_embedding_table
    model = BertPretrainerV2(other)
    single, packed = make_packed(ROWS)
    np.testing.assert_array_equal(
        model(features(single))["sequence_output"], encoder(features(single))["sequence_output"]
    )
    with pytest.raises(ConfigError, match="an encoder that keeps their sequences apart, by `input_sequence_ids`"):
        model(features(packed))


# === The ways of Keras ===


def classify(encoder: Any) -> keras.Model:
    """A functional model of packed rows: two classes of each sequence."""
    names = [*encoder.inputs, *encoder.optional_inputs]
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    return keras.Model(inputs, keras.layers.Dense(2, name="classes")(encoder(inputs)["pooled_output"]))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_of_a_functional_model(make_packed: Any, jit_compile: bool) -> None:
    """The same losses as from single rows."""
    single, packed = make_packed(ROWS)
    losses = []
    encoder = make_encoder(output_dropout=0.0, attention_dropout=0.0)
    weights_before = encoder.get_weights()
    for batch in (packed, single):
        encoder.set_weights(weights_before)
        model = classify(encoder)
        if batch is single:
            batch = {
                **batch,
                "input_sequence_ids": batch["input_mask"],
                "next_sentence_positions": np.zeros((10, 1), np.int32),
                "next_sentence_weights": np.ones((10, 1), np.float32),
            }
        draw = np.random.default_rng(1)
        model.get_layer("classes").set_weights([draw.normal(size=(16, 2)), draw.normal(size=2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
        model.compile(keras.optimizers.SGD(0.01), loss=loss, jit_compile=jit_compile)
        inputs = {name: batch[name] for name in model.input}
        weights = batch["next_sentence_weights"]
        history = model.fit(
            inputs,
            batch["next_sentence_labels"],
            sample_weight=weights,
            batch_size=len(weights),
            epochs=3,
            shuffle=False,
            verbose=0,
        )
        losses.append(history.history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][2] < losses[0][0]


def test_from_config(make_packed: Any) -> None:
    _, packed = make_packed(ROWS)
    encoder = make_encoder(AlbertEncoder)
    again = AlbertEncoder.from_config(encoder.get_config())
    again.set_weights(encoder.get_weights())
    expected, found = encoder(features(packed)), again(features(packed))
    np.testing.assert_array_equal(found["sequence_output"], expected["sequence_output"])


IN_A_NEW_PROCESS = """
import sys
import keras, numpy as np, tensorflow as tf
import pipeline.training.modeling
folder = sys.argv[1]
single, packed = (dict(np.load(f"{folder}/{name}.npz")) for name in ("single", "packed"))
found = {}
for name in ("pretrainer", "classifier"):
    outputs = keras.saving.load_model(f"{folder}/{name}.keras", compile=False)(packed)
    found[name] = outputs["next_sentence"] if name == "pretrainer" else outputs
for name in ("exported", "saved"):
    signature = tf.saved_model.load(f"{folder}/{name}").signatures["serving_default"]
    names = signature.structured_input_signature[1]
    assert not any("sequence_ids" in name or "sentence" in name for name in names), names
    found[name] = signature(**{name: single[name] for name in names})["next_sentence"]
np.savez(f"{folder}/found.npz", **found)
"""


def test_saved_and_loaded_in_a_new_process(make_packed: Any, tmp_path: Path) -> None:
    """A model trained on packed rows: its .keras file takes packed rows, its SavedModel ordinary ones."""
    single, packed = make_packed(ROWS)
    model = make_pretrainer()
    model.compile(
        keras.optimizers.SGD(0.01),
        loss={"next_sentence": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
    )
    targets, weights = ({"next_sentence": packed[f"next_sentence_{name}"]} for name in ("labels", "weights"))
    before = model.get_weights()
    model.fit(features(packed), targets, sample_weight=weights, batch_size=4, verbose=0)
    assert any(np.abs(one - other).max() > 0 for one, other in zip(before, model.get_weights(), strict=True))
    classifier = classify(model.encoder_network)
    expected = {
        "pretrainer": model(features(packed))["next_sentence"],
        "classifier": classifier(features(packed)),
        "exported": model(features(single))["next_sentence"],
    }
    expected["saved"] = expected["exported"]
    model.save(tmp_path / "pretrainer.keras")
    classifier.save(tmp_path / "classifier.keras")
    model.export(tmp_path / "exported", verbose=False)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    for name, batch in (("single", single), ("packed", packed)):
        np.savez(tmp_path / f"{name}.npz", **features(batch))
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(tmp_path / "found.npz") as found:
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)


# === Gradients ===


def _loss(model: BertPretrainerV2, batch: Batch) -> Any:
    """The sum of all cross-entropies, of tokens and of next sentences, by TensorFlow's own function."""
    outputs = model(features(batch), training=False)
    entropy: Callable[..., Any] = tf.nn.sparse_softmax_cross_entropy_with_logits
    tokens = entropy(labels=batch["masked_lm_ids"], logits=outputs["mlm_logits"]) * batch["masked_lm_weights"]
    labels = batch["next_sentence_labels"]
    weights = batch.get("next_sentence_weights", np.ones_like(labels, np.float32))
    logits = tf.reshape(outputs["next_sentence"], [*labels.shape, 2])
    return tf.reduce_sum(tokens) + tf.reduce_sum(entropy(labels=labels, logits=logits) * weights)


@pytest.mark.parametrize("kind", [BertEncoder, AlbertEncoder])
def test_gradients_are_those_of_the_sequences(make_packed: Any, kind: Any) -> None:
    single, packed = make_packed(ROWS)
    model = make_pretrainer(kind=kind)
    found = []
    for batch in (single, packed):
        with tf.GradientTape() as tape:
            loss = _loss(model, batch)
        gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        found.append((float(loss), gradients))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-5)
    compared = 0
    for variable, one, other in zip(model.trainable_variables, found[0][1], found[1][1], strict=True):
        assert (one is None) == (other is None), variable.path
        if one is not None:
            one, other = np.asarray(tf.convert_to_tensor(one)), np.asarray(tf.convert_to_tensor(other))
            # The bias of the keys has no effect: its gradient is a rounding.
            scale = np.abs(one).max() if "key" not in variable.path or one.ndim > 1 else np.inf
            assert np.abs(one - other).max() <= 1e-5 * scale, variable.path
            compared += 1
    assert compared > 20 if kind is AlbertEncoder else compared > 50
