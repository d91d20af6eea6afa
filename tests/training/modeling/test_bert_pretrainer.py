from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.training.bert import PretrainerConfig, build_pretrainer
from pipeline.training.encoders import EncoderConfig
from pipeline.training.modeling.bert_encoder import BertEncoder
from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2
from pipeline.training.modeling.classification_head import ClassificationHead
from pipeline.training.modeling.masked_lm import MaskedLM

INPUTS = {
    "input_word_ids": np.array([[2, 9, 4, 11, 3], [2, 7, 3, 0, 0]], np.int32),
    "input_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], np.int32),
    "input_type_ids": np.zeros((2, 5), np.int32),
    "masked_lm_positions": np.array([[1, 2, 0], [1, 0, 0]], np.int32),
}


def make_model(*, dict_outputs: bool = True) -> BertPretrainerV2:
    encoder = BertEncoder(
        vocab_size=13,
        hidden_size=8,
        num_layers=2,
        num_attention_heads=2,
        inner_dim=12,
        max_sequence_length=10,
        type_vocab_size=2,
        dict_outputs=dict_outputs,
    )
    head = ClassificationHead(inner_dim=8, num_classes=2, dropout_rate=0.1, name="next_sentence")
    return BertPretrainerV2(encoder, mlm_activation="gelu", classification_heads=[head])


def test_outputs() -> None:
    model = make_model()
    outputs = model(INPUTS)
    shapes = {
        name: [tuple(part.shape) for part in value] if isinstance(value, list) else tuple(value.shape)
        for name, value in outputs.items()
    }
    assert shapes == {
        "sequence_output": (2, 5, 8),
        "pooled_output": (2, 8),
        "encoder_outputs": [(2, 5, 8), (2, 5, 8)],
        "next_sentence": (2, 2),
        "mlm_logits": (2, 3, 13),
    }
    assert set(model.outputs) == set(outputs)
    assert list(model.inputs) == list(INPUTS)


def test_encoders_with_list_outputs_give_the_same() -> None:
    of_dict, of_list = make_model(), make_model(dict_outputs=False)
    of_list.set_weights(of_dict.get_weights())
    expected, found = of_dict(INPUTS), of_list(list(INPUTS.values()))
    for name in ("sequence_output", "pooled_output", "next_sentence", "mlm_logits"):
        np.testing.assert_array_equal(expected[name], found[name])


def test_without_positions_no_logits() -> None:
    inputs = {name: value for name, value in INPUTS.items() if name != "masked_lm_positions"}
    outputs = make_model()(inputs)
    assert "mlm_logits" not in outputs
    assert "next_sentence" in outputs


def test_score_positions_equals_the_full_logits() -> None:
    model = make_model()
    places = np.array([[0, 0], [0, 1], [1, 0]])  # Example and prediction.
    positions = INPUTS["masked_lm_positions"][tuple(places.T)]
    full = np.asarray(model(INPUTS)["mlm_logits"])[tuple(places.T)]
    encoded = model.encode(INPUTS)["sequence_output"]
    single = model.score_positions(encoded, np.stack([places[:, 0], positions], axis=1))
    np.testing.assert_allclose(single, full, rtol=1e-5, atol=1e-6)


def test_keras_file_round_trip(tmp_path: Path) -> None:
    model = make_model()
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    expected, found = model(INPUTS), loaded(INPUTS)
    for name in ("sequence_output", "pooled_output", "next_sentence", "mlm_logits"):
        np.testing.assert_array_equal(expected[name], found[name])
    # The table is still one variable, shared with the encoder.
    assert loaded.masked_lm.embedding_table is loaded.encoder_network.get_embedding_table()
    assert loaded.count_params() == model.count_params()


@keras.saving.register_keras_serializable(package="test")
class Doubled(MaskedLM):
    """A head that differs in its call alone."""

    def call(self, sequence_data: object, masked_positions: object) -> object:
        return 2 * super().call(sequence_data, masked_positions)


@keras.saving.register_keras_serializable(package="test")
class Untied(keras.layers.Layer):
    """A head with a table of its own."""

    def __init__(self, vocab_size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.vocab_size = vocab_size
        self.scores = keras.layers.Dense(vocab_size)

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.scores.build(input_shape)

    def call(self, sequence_data: object, masked_positions: object) -> object:
        return self.scores(keras.ops.take_along_axis(sequence_data, masked_positions[:, :, None], axis=1))

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "vocab_size": self.vocab_size}


@pytest.mark.parametrize("kind", ["MaskedLM", "Doubled", "Untied"])
def test_customized_masked_lm(kind: str, tmp_path: Path) -> None:
    encoder = make_model().encoder_network
    if kind == "Untied":
        head: keras.layers.Layer = Untied(13, name="mine")
    else:
        head = {"MaskedLM": MaskedLM, "Doubled": Doubled}[kind](
            encoder.get_embedding_table(), "relu", output="predictions", name="mine"
        )
    model = BertPretrainerV2(encoder, mlm_activation="gelu", customized_masked_lm=head)
    assert model.masked_lm is head
    assert model.can_score_positions == (kind == "MaskedLM")
    logits = model(INPUTS)["mlm_logits"]
    np.testing.assert_array_equal(
        logits, head(model(INPUTS)["sequence_output"], masked_positions=INPUTS["masked_lm_positions"])
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.masked_lm) is type(head)
    assert loaded.masked_lm.name == "mine"
    np.testing.assert_array_equal(loaded(INPUTS)["mlm_logits"], logits)
    if kind != "Untied":
        assert loaded.masked_lm.embedding_table is loaded.encoder_network.get_embedding_table()


def test_checkpoint_items() -> None:
    model = make_model()
    head = model.classification_heads[0]
    assert model.checkpoint_items == {
        "encoder": model.encoder_network,
        "masked_lm": model.masked_lm,
        "next_sentence.pooler_dense": head.dense,
    }


def test_heads_of_one_name_are_refused() -> None:
    encoder = make_model().encoder_network
    heads = [ClassificationHead(0, 2, name="topic") for _ in range(2)]
    with pytest.raises(ValueError, match="different names"):
        BertPretrainerV2(encoder, classification_heads=heads)


def test_the_heads_norm_has_the_encoders_epsilon(tmp_path: Path) -> None:
    sizes = {"vocab_size": 13, "hidden_size": 8, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = build_pretrainer(PretrainerConfig(encoder=EncoderConfig(**sizes, layer_norm_epsilon=0.25)))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for pretrainer in (model, again):
        vectors = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
        hidden = np.asarray(pretrainer.masked_lm.dense(vectors))
        centred = hidden - hidden.mean(-1, keepdims=True)
        normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 0.25)
        expected = normed @ np.asarray(pretrainer.encoder_network.get_embedding_table()).T
        np.testing.assert_allclose(pretrainer.masked_lm.score(vectors), expected, rtol=1e-4, atol=1e-6)
    assert again.get_config() == model.get_config()
