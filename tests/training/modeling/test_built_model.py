"""What Keras users do with our models: checkpoints, files, exports, models over models, loaded in a new process."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.checkpoint.graph_view import ObjectGraphView

from pipeline.training.modeling.albert_encoder import AlbertEncoder
from pipeline.training.modeling.bert_encoder import BertEncoder
from pipeline.training.modeling.bert_pretrainer import BertPretrainerV2
from pipeline.training.modeling.classification_head import ClassificationHead
from pipeline.training.optimization.optimizers import LAMB, AdamW

ROOT = Path(__file__).parents[3]
SMALL = {"vocab_size": 50, "hidden_size": 8, "num_attention_heads": 2, "inner_dim": 16, "max_sequence_length": 24}


def make_encoder(kind: Any = BertEncoder, **options: Any) -> Any:
    return kind(**{**SMALL, "num_layers": 3, **options})


def make_pretrainer(encoder: Any, seed: int = 0) -> BertPretrainerV2:
    heads = [
        ClassificationHead(inner_dim=8, num_classes=2, name="next_sentence"),
        ClassificationHead(inner_dim=8, num_classes=3, name="topic"),
    ]
    model = BertPretrainerV2(encoder, classification_heads=heads)
    draw = np.random.default_rng(seed)  # Biases, too, must differ from model to model.
    model.set_weights([draw.normal(0, 0.02, weight.shape) for weight in model.weights])
    return model


def classify(encoder: Any, name: str = "classifier") -> keras.Model:
    """The recipe of docs/fine-tuning.md."""
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in encoder.inputs}
    sequence = encoder(inputs)["sequence_output"]
    mean = keras.layers.GlobalAveragePooling1D()(sequence, mask=inputs["input_mask"])
    return keras.Model(inputs, keras.layers.Dense(2)(mean), name=name)


def random_batch(model: Any, vocab_size: int = 50, length: int = 10) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    batch = {
        "input_word_ids": draw.integers(0, vocab_size, (4, length)),
        "input_mask": (np.arange(length) < draw.integers(4, length + 1, (4, 1))).astype(int),
        "input_type_ids": draw.integers(0, 2, (4, length)),
        "masked_lm_positions": draw.integers(0, length, (4, 3)),
    }
    return {name: batch[name].astype(np.int32) for name in model.inputs}


def reachable(model: Any) -> set[int]:
    """The variables in TensorFlow's object graph."""
    nodes = ObjectGraphView(model).breadth_first_traversal()[0]
    return {id(getattr(node, "value", node)) for node in nodes if isinstance(node, (tf.Variable, keras.Variable))}


@pytest.mark.parametrize("kind", [BertEncoder, AlbertEncoder])
def test_every_weight_is_in_tensorflows_object_graph(kind: Any) -> None:
    encoder = make_encoder(kind)
    model = make_pretrainer(encoder)
    for owner in (encoder, model, *encoder.transformer_layers, *model.classification_heads, model.masked_lm):
        assert {id(weight.value) for weight in owner.weights} <= reachable(owner), owner.name


@pytest.mark.parametrize("kind", [AdamW, LAMB, keras.optimizers.SGD, keras.optimizers.LossScaleOptimizer])
def test_every_variable_of_an_optimizer_is_in_tensorflows_object_graph(kind: Any) -> None:
    optimizer = kind(keras.optimizers.Adam(1e-3) if kind is keras.optimizers.LossScaleOptimizer else 1e-3)
    optimizer.build(make_pretrainer(make_encoder()).trainable_variables)
    assert {id(variable.value) for variable in optimizer.variables} <= reachable(optimizer)


@pytest.mark.parametrize("what", ["model", "items", "encoder"])
def test_a_checkpoint_restores_every_weight(tmp_path: Path, what: str) -> None:
    def checkpoint(model: BertPretrainerV2) -> tf.train.Checkpoint:
        items = {
            "items": model.checkpoint_items,
            "encoder": {"encoder": model.encoder_network},
            "model": {"model": model},
        }
        return tf.train.Checkpoint(**items[what])

    saved, other = (make_pretrainer(make_encoder(), seed) for seed in range(2))
    path = checkpoint(saved).save(str(tmp_path / "x"))
    checkpoint(other).restore(path).assert_consumed()
    owners = (saved.encoder_network, other.encoder_network) if what == "encoder" else (saved, other)
    weights, restored = (owner.get_weights() for owner in owners)
    if what == "items":  # They share the heads' inner parts alone, as in tensorflow/models.
        skipped = len(weights) - len({id(v) for item in saved.checkpoint_items.values() for v in item.weights})
        assert skipped == 4  # What the heads put out.
    else:
        assert all(np.array_equal(*pair) for pair in zip(weights, restored, strict=True))


def test_symbolic_outputs_make_a_model() -> None:
    model = make_pretrainer(make_encoder())
    logits = keras.Model(model.inputs, model.outputs["next_sentence"])
    batch = random_batch(model)
    np.testing.assert_array_equal(logits(batch), model(batch)["next_sentence"])


def test_two_encoders_in_one_model_are_loaded(tmp_path: Path) -> None:
    first, second = (make_encoder(dict_outputs=True, name=name) for name in ("first", "second"))
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in first.inputs}
    both = keras.layers.Concatenate()([first(inputs)["pooled_output"], second(inputs)["pooled_output"]])
    twice = keras.layers.Add()([keras.layers.Dense(3)(both), keras.layers.Dense(3)(first(inputs)["pooled_output"])])
    model = keras.Model(inputs, twice)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    batch = random_batch(first)
    np.testing.assert_array_equal(loaded(batch), model(batch))


def test_copies_compute_the_same() -> None:
    model = make_pretrainer(make_encoder())
    batch = random_batch(model)
    expected = model(batch)["mlm_logits"]
    np.testing.assert_array_equal(copy.deepcopy(model)(batch)["mlm_logits"], expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(batch)["mlm_logits"], expected)


IN_A_NEW_PROCESS = """
import sys
import keras, numpy as np, tensorflow as tf
from tests.training.modeling.test_built_model import SIZE, classify, make_encoder, make_pretrainer, random_batch
folder = sys.argv[1]
model = make_pretrainer(make_encoder(**SIZE), 1)
tf.train.Checkpoint(model=model).restore(folder + "/checkpoint-1").assert_consumed()
batch = random_batch(model, SIZE["vocab_size"])
outputs = {"checkpoint": model(batch)["mlm_logits"]}
again = make_pretrainer(make_encoder(**SIZE), 2)
again.load_weights(folder + "/model.weights.h5")
outputs["weights"] = again(batch)["mlm_logits"]
outputs["keras"] = keras.saving.load_model(folder + "/model.keras")(batch)["mlm_logits"]
features = {name: batch[name] for name in model.encoder_network.inputs}
outputs["classifier"] = keras.saving.load_model(folder + "/classifier.keras")(features)
np.savez(folder + "/outputs.npz", **{name: np.asarray(value) for name, value in outputs.items()})
"""
# As servers do: with TensorFlow alone, not this package.
SERVED = """
import sys
import numpy as np, tensorflow as tf
folder = sys.argv[1]
batch = {name: tf.constant(value) for name, value in np.load(folder + "/batch.npz").items()}
served = tf.saved_model.load(folder + "/served")
saved = tf.saved_model.load(folder + "/saved")
assert "pipeline" not in sys.modules
outputs = {"served": served.serve(batch), "saved": saved.signatures["serving_default"](**batch)}
assert {f"encoder_outputs_{index}" for index in range(4)} <= outputs["served"].keys() == outputs["saved"].keys()
outputs = {name: output["mlm_logits"] for name, output in outputs.items()}
np.savez(folder + "/served.npz", **{name: np.asarray(value) for name, value in outputs.items()})
"""
SIZE = {"vocab_size": 30522, "hidden_size": 256, "num_layers": 4, "num_attention_heads": 4, "inner_dim": 1024}
SIZE |= {"max_sequence_length": 128, "dict_outputs": True}


def test_saved_models_compute_the_same_in_a_new_process(tmp_path: Path) -> None:
    model = make_pretrainer(make_encoder(**SIZE))
    batch = random_batch(model, SIZE["vocab_size"])
    classifier = classify(model.encoder_network)
    expected = np.asarray(model(batch)["mlm_logits"])
    assert tf.train.Checkpoint(model=model).save(str(tmp_path / "checkpoint")) == str(tmp_path / "checkpoint-1")
    model.save_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.keras")
    classifier.save(tmp_path / "classifier.keras")
    model.export(str(tmp_path / "served"), verbose=False)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    np.savez(tmp_path / "batch.npz", **batch)
    for script in (IN_A_NEW_PROCESS, SERVED):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    outputs = np.load(tmp_path / "outputs.npz")
    for name in ("checkpoint", "weights", "keras"):
        np.testing.assert_array_equal(outputs[name], expected, err_msg=name)
    features = {name: batch[name] for name in model.encoder_network.inputs}
    np.testing.assert_array_equal(outputs["classifier"], classifier(features))
    served = np.load(tmp_path / "served.npz")
    for name in ("served", "saved"):  # Compiled as one graph: sums may be taken in another order.
        np.testing.assert_allclose(served[name], expected, rtol=0, atol=1e-5, err_msg=name)
