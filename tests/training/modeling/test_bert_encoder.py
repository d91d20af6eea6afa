from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.training.modeling.bert_encoder import BertEncoder

SMALL = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_layers": 2,
    "num_attention_heads": 2,
    "inner_dim": 12,
    "max_sequence_length": 10,
    "type_vocab_size": 2,
}


def make_inputs(batch: int = 3, length: int = 7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    lengths = rng.integers(2, length + 1, size=batch)
    return {
        "input_word_ids": rng.integers(0, 20, size=(batch, length)).astype(np.int32),
        "input_mask": (np.arange(length) < lengths[:, None]).astype(np.int32),
        "input_type_ids": rng.integers(0, 2, size=(batch, length)).astype(np.int32),
    }


def randomize(model: keras.Model) -> None:
    """Weights far from their initial values, so that no term hides behind a zero or a one."""
    rng = np.random.default_rng(11)
    for weight in model.weights:
        weight.assign(rng.normal(0.0, 0.5, weight.shape).astype(np.float32))


def reference(
    encoder: BertEncoder, inputs: dict[str, np.ndarray], norm_first: bool, epsilon: float = 1e-12
) -> np.ndarray:
    """The paper's formulas in numpy, float64, one example and one head at a time."""
    weights = {w.path.partition("/")[2]: np.asarray(w.value, np.float64) for w in encoder.weights}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
        return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    def attend(x: np.ndarray, mask: np.ndarray, name: str) -> np.ndarray:
        query, key, value = (dense(x, f"{name}/{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            scores = query[:, part] @ key[:, part].T / math.sqrt(4)
            scores = np.where(mask[None, :] == 1, scores, -np.inf)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(shares / shares.sum(-1, keepdims=True) @ value[:, part])
        return dense(np.concatenate(heads, -1), f"{name}/attention_output")

    outputs = []
    for ids, mask, types in zip(*(inputs[name] for name in inputs), strict=True):
        x = weights["word_embeddings/embeddings"][ids]
        x = x + weights["position_embedding/embeddings"][: len(ids)]
        x = norm(x + weights["type_embeddings/embeddings"][types], "embeddings_layer_norm")
        for index in range(2):
            block = f"transformer_layer_{index}"
            first, second = f"{block}/self_attention_layer_norm", f"{block}/output_layer_norm"

            def feed_forward(x: np.ndarray, block: str = block) -> np.ndarray:
                return dense(gelu(dense(x, f"{block}/intermediate")), f"{block}/output")

            if norm_first:
                x = x + attend(norm(x, first), mask, f"{block}/self_attention")
                x = x + feed_forward(norm(x, second))
            else:
                x = norm(x + attend(x, mask, f"{block}/self_attention"), first)
                x = norm(x + feed_forward(x), second)
        outputs.append(x)
    return np.stack(outputs)


@pytest.mark.parametrize(("norm_first", "epsilon"), [(False, 1e-12), (True, 1e-12), (False, 0.1)])
def test_outputs_follow_the_formulas(norm_first: bool, epsilon: float) -> None:
    encoder = BertEncoder(**SMALL, norm_first=norm_first, layer_norm_epsilon=epsilon, dict_outputs=True)
    randomize(encoder)
    inputs = make_inputs()
    outputs = encoder(inputs)
    expected = reference(encoder, inputs, norm_first, epsilon)
    np.testing.assert_allclose(outputs["sequence_output"], expected, rtol=1e-4, atol=1e-4)
    kernel, bias = (np.asarray(w.value, np.float64) for w in encoder.pooler_layer.weights)
    pooled = np.tanh(expected[:, 0] @ kernel + bias)
    np.testing.assert_allclose(outputs["pooled_output"], pooled, rtol=1e-4, atol=1e-4)


def test_padding_does_not_matter() -> None:
    encoder = BertEncoder(**SMALL, dict_outputs=True)
    randomize(encoder)
    inputs = make_inputs()
    short = {name: value[:1, :4].copy() for name, value in inputs.items()}
    short["input_mask"][:] = 1
    padded = {name: np.pad(value, ((0, 0), (0, 5))) for name, value in short.items()}
    padded["input_word_ids"][0, 4:] = [3, 9, 1, 4, 8]
    alone, beside = encoder(short)["sequence_output"], encoder(padded)["sequence_output"]
    np.testing.assert_allclose(alone, beside[:, :4], rtol=1e-5, atol=1e-5)


def test_dropout_in_training_alone() -> None:
    encoder = BertEncoder(**SMALL, dict_outputs=True)
    inputs = make_inputs()
    first, second = (np.asarray(encoder(inputs)["sequence_output"]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    first, second = (np.asarray(encoder(inputs, training=True)["sequence_output"]) for _ in range(2))
    assert np.abs(first - second).max() > 0.1


def test_initial_weights() -> None:
    encoder = BertEncoder(**{**SMALL, "vocab_size": 5000})
    table = np.asarray(encoder.get_embedding_table())
    # Truncated at two standard deviations; Keras scales nothing after truncation.
    assert table.std() == pytest.approx(0.02 * 0.88, rel=0.02)
    assert np.abs(table).max() <= 0.04
    first, second = (block.intermediate_dense.kernel for block in encoder.transformer_layers)
    assert np.abs(np.asarray(first) - np.asarray(second)).max() > 0.01


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ({}, ["tensor", "tensor"]),
        ({"return_all_encoder_outputs": True}, ["list of 2", "tensor"]),
    ],
)
def test_list_outputs(arguments: dict[str, Any], kinds: list[str]) -> None:
    outputs = BertEncoder(**SMALL, **arguments)(list(make_inputs().values()))
    found = [f"list of {len(o)}" if isinstance(o, list) else "tensor" for o in outputs]
    assert found == kinds


def test_factorised_embeddings() -> None:
    encoder = BertEncoder(**SMALL, embedding_width=6)
    assert tuple(encoder.get_embedding_table().shape) == (20, 6)
    assert encoder(make_inputs())[0].shape == (3, 7, 8)


def test_synonyms_and_from_config() -> None:
    encoder = BertEncoder.from_config(
        {
            "type": "bert",
            "vocab_size": 20,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 12,
            "dropout_rate": 0.2,
            "attention_dropout_rate": 0.3,
            "max_position_embeddings": 10,
            "sequence_length": 10,
            "activation": "relu",
        }
    )
    config = encoder.get_config()
    assert config["num_layers"] == 2
    assert config["inner_dim"] == 12
    assert config["output_dropout"] == 0.2
    assert config["attention_dropout"] == 0.3
    assert config["max_sequence_length"] == 10
    assert config["inner_activation"] == "relu"
    assert BertEncoder.from_config(config).get_config() == config


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match='must be "bert"'):
        BertEncoder.from_config({"type": "xlnet"})
