"""ModernBERT computes and learns what transformers' does, from the same weights."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.bert import PretrainerConfig, build_pretrainer
from pipeline.training.encoders import ModernBertEncoderConfig
from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2
from pipeline.training.optimization.optimizers import AdamW

pytestmark = pytest.mark.slow

# The last is long enough for several blocks of queries: rows, and what is padding, are many windows long.
SHAPES: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 24},
    "every-second": {
        "hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 3, "intermediate_size": 20,
        "global_attn_every_n_layers": 2,
    },
    "wide-window": {
        "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48,
        "local_attention": 64,
    },
}  # fmt: skip
ROWS = {"short": (3, 7), "padded": (3, 150), "packed": (3, 150), "long": (2, 333)}
VOCAB = 60


def make_case(shape: str, rows: str) -> dict[str, Any]:
    draw = np.random.default_rng(4)
    batch, length = ROWS[rows]
    ids = draw.integers(1, VOCAB, (batch, length))
    lengths = np.array([length, length * 3 // 4, length // 2])[:batch]
    mask = (np.arange(length) < lengths[:, None]).astype(int)
    targets = np.where((draw.random(ids.shape) < 0.3) & (mask == 1), draw.integers(VOCAB, size=ids.shape), -100)
    config = {"local_attention": 8, **SHAPES[shape], "vocab_size": VOCAB, "max_position_embeddings": 512}
    case = {"config": config, "ids": ids.tolist(), "mask": mask.tolist(), "targets": targets.tolist()}
    if rows == "packed":
        starts = np.sort(draw.integers(1, length, (batch, 5)), axis=1)
        sequences = 1 + (np.arange(length)[None, :, None] >= starts[:, None, :]).sum(-1)
        case["sequence_ids"] = (sequences * mask).tolist()
    return case


CASES = {f"{shape}-{rows}": (shape, rows) for shape in SHAPES for rows in ROWS}


@pytest.fixture(scope="module")
def computed(peer_environment: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modernbert")
    (folder / "cases.json").write_text(json.dumps({name: make_case(*case) for name, case in CASES.items()}))
    python = peer_environment("huggingface") / "bin" / "python"
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    script = str(Path(__file__).with_name("modernbert_script.py"))
    done = subprocess.run(
        [str(python), script, str(folder / "cases.json")], env=variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def make_model(theirs: dict[str, Any]) -> BertPretrainerV2:
    config = ModernBertEncoderConfig(
        vocab_size=VOCAB,
        hidden_size=theirs["hidden_size"],
        num_layers=theirs["num_hidden_layers"],
        num_attention_heads=theirs["num_attention_heads"],
        intermediate_size=theirs["intermediate_size"],
        local_attention=theirs["local_attention"],
        global_attention_every=theirs.get("global_attn_every_n_layers", 3),
    )
    return build_pretrainer(PretrainerConfig(encoder=config))


def places(model: BertPretrainerV2) -> dict[str, list[keras.Variable]]:
    """Our variables by the names that they have there; queries, keys and values are one matrix there."""
    encoder, head = model.encoder_network, model.masked_lm
    found: dict[str, Any] = {
        "model.embeddings.tok_embeddings.weight": [encoder.word_embeddings.embeddings],
        "model.embeddings.norm.weight": [encoder.embeddings_layer_norm.gamma],
        "model.final_norm.weight": [encoder.final_layer_norm.gamma],
        "head.dense.weight": [head.dense.kernel],
        "head.norm.weight": [head.layer_norm.gamma],
        "decoder.bias": [head.bias],
    }
    for index, block in enumerate(encoder.transformer_layers):
        attention, prefix = block.self_attention, f"model.layers.{index}"
        projections = (attention.query_dense, attention.key_dense, attention.value_dense)
        if block.attention_layer_norm is not None:
            found[f"{prefix}.attn_norm.weight"] = [block.attention_layer_norm.gamma]
        found |= {
            f"{prefix}.attn.Wqkv.weight": [dense.kernel for dense in projections],
            f"{prefix}.attn.Wo.weight": [attention.attention_output_dense.kernel],
            f"{prefix}.mlp_norm.weight": [block.output_layer_norm.gamma],
            f"{prefix}.mlp.Wi.weight": [block.intermediate_dense.kernel],
            f"{prefix}.mlp.Wo.weight": [block.output_dense.kernel],
        }
    assert sum(map(len, found.values())) == len(model.weights)
    return found


def theirs_of(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """Our arrays as they lie there: kernels transposed."""
    turned = [each.T if each.ndim == 2 and "embeddings" not in name else each for each in arrays]
    return np.concatenate(turned)


def assign(model: BertPretrainerV2, weights: dict[str, np.ndarray]) -> None:
    ours = places(model)
    assert ours.keys() == weights.keys()
    for name, variables in ours.items():
        for variable, part in zip(variables, np.split(weights[name], len(variables)), strict=True):
            variable.assign(part.T if part.ndim == 2 and "embeddings" not in name else part)


def part_of(found: Any, group: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{group}/"): found[key] for key in found.files if key.startswith(f"{group}/")}


def inputs_of(case: dict[str, Any]) -> dict[str, tf.Tensor]:
    batch, length = np.shape(case["ids"])
    every = np.broadcast_to(np.arange(length), (batch, length))
    inputs = {"input_word_ids": case["ids"], "input_mask": case["mask"], "masked_lm_positions": every}
    if "sequence_ids" in case:
        inputs["input_sequence_ids"] = case["sequence_ids"]
    return {name: tf.constant(np.asarray(value, np.int32)) for name, value in inputs.items()}


@pytest.mark.parametrize("name", CASES)
def test_logits_gradients_and_ten_steps(computed: Path, name: str) -> None:
    case, found = make_case(*CASES[name]), np.load(computed / f"{name}.npz")
    model = make_model(case["config"])
    assign(model, part_of(found, "weights"))
    inputs, targets = inputs_of(case), np.asarray(case["targets"])
    real = np.asarray(case["mask"]) == 1
    logits = np.asarray(model(inputs)["mlm_logits"])
    assert np.abs(found["eager"][real]).max() > 1
    for kind in ("eager", "sdpa"):
        np.testing.assert_allclose(logits[real], found[kind][real], atol=1e-4)

    rows = tf.constant(np.argwhere(targets >= 0))
    labels = tf.constant(targets[targets >= 0])

    @tf.function
    def gradients() -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            scores = tf.gather_nd(model(inputs, training=True)["mlm_logits"], rows)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores))
        found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        return loss, [tf.convert_to_tensor(each) for each in found]

    by_variable = dict(zip(map(id, model.trainable_variables), gradients()[1], strict=True))
    for key, expected in part_of(found, "gradients").items():
        ours = theirs_of(key, [np.asarray(by_variable[id(variable)]) for variable in places(model)[key]])
        assert np.abs(ours - expected).max() <= 1e-4 * np.abs(expected).max(), key

    exclude = ["layer_norm", "bias"]
    optimizer = AdamW(1e-3, weight_decay_rate=0.1, beta_2=0.98, epsilon=1e-4, exclude_from_weight_decay=exclude)
    optimizer.build(model.trainable_variables)
    losses = []
    for _ in range(10):
        loss, steps = gradients()
        optimizer.apply_gradients(zip(steps, model.trainable_variables, strict=True))
        losses.append(float(loss))
    np.testing.assert_allclose(losses, found["losses"], rtol=1e-4)
    assert losses[-1] < losses[0] - 0.05
    for key, expected in part_of(found, "stepped").items():
        ours = theirs_of(key, [np.asarray(variable) for variable in places(model)[key]])
        # Ten steps move a weight by about 0.01.
        np.testing.assert_allclose(ours, expected, atol=1e-5, rtol=1e-5, err_msg=key)
