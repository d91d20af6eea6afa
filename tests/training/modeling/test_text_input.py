from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError, InputError
from pipeline.tokenizers import WordPieceTokenizer
from pipeline.training import TextInput
from pipeline.training.exchange.tf_export import export_encoder

NAMES = ["input_word_ids", "input_mask", "input_type_ids"]
TEXTS = ["The river [MASK] it.", "", "a " * 30]


def test_texts_are_framed_cut_and_padded(vocabulary: bytes) -> None:
    tokenizer = WordPieceTokenizer(vocabulary)
    special = tokenizer.special_ids
    inputs = TextInput(vocabulary, max_length=8)(TEXTS)
    assert list(inputs) == NAMES
    (a,) = tokenizer.encode(["a"]).ids
    rows = [tokenizer.encode(TEXTS[:1]).ids[:6].tolist(), [], [a] * 6]
    framed = [[special["cls"], *row, special["sep"]] for row in rows]
    assert inputs["input_word_ids"].numpy().tolist() == [row + [special["pad"]] * (8 - len(row)) for row in framed]
    assert inputs["input_mask"].numpy().tolist() == [[1] * 8, [1] * 2 + [0] * 6, [1] * 8]
    assert not inputs["input_type_ids"].numpy().any()
    assert {value.dtype for value in inputs.values()} == {tf.int32}
    assert TextInput(vocabulary, max_length=80)(TEXTS)["input_mask"].shape == (3, 32)  # As the longest text.
    assert TextInput(vocabulary, max_length=80, pad_to_max=True)(TEXTS)["input_mask"].shape == (3, 80)
    masked = TextInput(vocabulary, with_masks=True)(np.array([TEXTS[:1]], object))["input_word_ids"][0]
    assert masked.numpy()[1:-1].tolist() == tokenizer.encode_with_masks(TEXTS[0])


def test_a_model_on_strings_is_trained_saved_and_exported(make_trained: Any, tmp_path: Path) -> None:
    """As docs/fine-tuning.md does it."""
    trained = make_trained()
    export_encoder(trained, str(tmp_path / "encoder"))
    text_input = TextInput.from_folder(str(tmp_path / "encoder"), max_length=16)
    encoder: Any = keras.saving.load_model(tmp_path / "encoder/encoder.keras", compile=False)
    text = keras.Input((), dtype="string")
    inputs = text_input(text)
    sequence = encoder({name: inputs[name] for name in encoder.inputs})["sequence_output"]
    mean = keras.layers.GlobalAveragePooling1D()(sequence, mask=inputs["input_mask"])
    model = keras.Model(text, keras.layers.Dense(2)(mean))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    texts, labels = tf.constant(["w00 w01", "w02 w03 w04 unknown", ""] * 4), tf.constant([0, 1, 0] * 4)
    model.fit(tf.data.Dataset.from_tensor_slices((texts, labels)).batch(4), epochs=1, verbose=0)
    expected = model.predict(texts, verbose=0)
    assert expected.shape == (12, 2)
    model.save(tmp_path / "model.keras")
    loaded: Any = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(texts, verbose=0), expected, atol=1e-6)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"](texts)
    np.testing.assert_allclose(next(iter(served.values())), expected, atol=1e-5)


def test_a_dataset_is_mapped_and_a_config_is_enough(vocabulary: bytes) -> None:
    layer = TextInput(vocabulary, lower_case=True, max_length=9, pad_to_max=True, name="text")
    again = TextInput.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(2).map(again)
    assert dataset.element_spec["input_word_ids"].shape[1] == 9
    found = np.concatenate([batch["input_word_ids"] for batch in dataset])
    np.testing.assert_array_equal(found, layer(TEXTS)["input_word_ids"])


def test_wrong_options_are_named(vocabulary: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_length must be at least 3"):
        TextInput(vocabulary, max_length=2)
    with pytest.raises(ConfigError, match="pad_to_max needs a max_length"):
        TextInput(vocabulary, pad_to_max=True)
    with pytest.raises(InputError, match="must be an exported encoder"):
        TextInput.from_folder(str(tmp_path))
