from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.training.modeling.albert_encoder import AlbertEncoder
from pipeline.training.modeling.bert_encoder import BertEncoder

SIZES = {
    "vocab_size": 13,
    "embedding_width": 6,
    "hidden_size": 8,
    "num_layers": 3,
    "num_attention_heads": 2,
    "inner_dim": 12,
    "max_sequence_length": 10,
    "dict_outputs": True,
}
INPUTS = {
    "input_word_ids": np.array([[2, 9, 4, 11, 3], [2, 7, 3, 0, 0]], np.int32),
    "input_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32),
    "input_type_ids": np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], np.int32),
}


def test_is_bert_with_the_same_weights_in_every_block() -> None:
    albert, bert = AlbertEncoder(**SIZES), BertEncoder(**SIZES)
    shared = {weight.path.split("/", 1)[1]: weight for weight in albert.weights}
    for weight in bert.weights:
        _, _, name = weight.path.partition("/")
        block, _, rest = name.partition("/")
        weight.assign(shared[f"transformer/{rest}" if block.startswith("transformer_layer_") else name])
    expected, found = bert(INPUTS), albert(INPUTS)
    assert len(found["encoder_outputs"]) == 3
    for name in ("sequence_output", "pooled_output", "encoder_outputs"):
        for one, other in zip(keras.tree.flatten(found[name]), keras.tree.flatten(expected[name]), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert albert.count_params() == bert.count_params() - 2 * bert.transformer_layers[0].count_params()


def test_keras_file_round_trip(tmp_path: Path) -> None:
    encoder = AlbertEncoder(**SIZES)
    encoder.save(tmp_path / "encoder.keras")
    loaded = keras.saving.load_model(tmp_path / "encoder.keras")
    assert isinstance(loaded, AlbertEncoder)
    np.testing.assert_array_equal(encoder(INPUTS)["sequence_output"], loaded(INPUTS)["sequence_output"])


def test_from_config() -> None:
    arguments = {"type": "albert", **SIZES, "embedding_size": 5}
    arguments.pop("embedding_width")
    encoder = AlbertEncoder.from_config(arguments)
    assert encoder.get_config()["embedding_width"] == 5
    with pytest.raises(ValueError, match='must be "albert"'):
        AlbertEncoder.from_config({**arguments, "type": "bert"})
