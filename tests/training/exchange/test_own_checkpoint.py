"""`task.initialize` takes whatever Keras and TensorFlow save of our models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import InputError
from pipeline.training.bert import ClsHeadConfig, PretrainerConfig
from pipeline.training.configs import MaskedLMConfig, RuntimeConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.loop.training_state import TrainingState
from pipeline.training.masked_lm import MaskedLMTask
from pipeline.training.objectives.registry import OBJECTIVES
from pipeline.training.optimization.averaging import WeightAverage
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.loss_scaling import LossScale

pytestmark = pytest.mark.slow  # Dozens of models are built.


def make_task(path: str = "", **encoder: Any) -> MaskedLMTask:
    sizes = {"vocab_size": 50, "hidden_size": 8, "num_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = EncoderConfig(**{**sizes, "max_position_embeddings": 24, **encoder})
    heads = (ClsHeadConfig(inner_dim=8, name="next_sentence"),)
    return MaskedLMTask(MaskedLMConfig(init_checkpoint=path, model=PretrainerConfig(encoder=config, cls_heads=heads)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, str]]:
    """A model, and paths of what was saved of it, by what it is."""
    folder = tmp_path_factory.mktemp("saved")
    model = make_task().build_model()
    draw = np.random.default_rng(0)  # Biases, too, must differ from those of a new model.
    model.set_weights([draw.normal(size=weight.shape) for weight in model.weights])
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.build(model.trainable_variables)
    model.save(folder / "model.keras")
    model.save_weights(folder / "model.weights.h5")
    state = TrainingState(
        str(folder / "run"), model, optimizer, LossScale(RuntimeConfig()), OBJECTIVES, Clock.create(), max_to_keep=1
    )
    state.save()
    checkpoints = {
        "model": tf.train.Checkpoint(model=model),
        "model and optimizer": tf.train.Checkpoint(optimizer=optimizer, model=model),
        "items": tf.train.Checkpoint(**model.checkpoint_items),
        "encoder": tf.train.Checkpoint(encoder=model.encoder_network),
        "model by itself": tf.train.Checkpoint(model),
        "model by another name": tf.train.Checkpoint(net=model, step=tf.Variable(3)),
        "encoder by itself": tf.train.Checkpoint(model.encoder_network),
        "encoder by another name": tf.train.Checkpoint(model=model.encoder_network),
    }
    paths = {name: checkpoint.save(str(folder / name / "x")) for name, checkpoint in checkpoints.items()}
    files = {"keras": folder / "model.keras", "weights": folder / "model.weights.h5", "run": folder / "run"}
    files |= {"encoder's keras": folder / "encoder.keras", "encoder's weights": folder / "encoder.weights.h5"}
    files |= {"saved model": folder / "saved"}
    model.encoder_network.save(files["encoder's keras"])
    model.encoder_network.save_weights(files["encoder's weights"])
    tf.saved_model.save(model, str(files["saved model"]))
    return model, paths | {name: str(path) for name, path in files.items()}


MODELS = ["keras", "weights", "model", "model by itself", "model by another name", "model and optimizer", "saved model"]
ENCODERS = ["encoder", "encoder by itself", "encoder by another name", "encoder's keras", "encoder's weights"]


@pytest.mark.parametrize("what", [*MODELS, "run"])
def test_every_weight_is_restored(saved: tuple[Any, dict[str, str]], what: str, capsys: Any) -> None:
    model, paths = saved
    task = make_task(paths[what])
    other = task.build_model()
    task.initialize(other)
    for weight, restored in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, restored, err_msg=weight.path)
    assert capsys.readouterr().out == f"starting from {paths[what]}: model\n"


def test_of_a_run_that_keeps_averages_these_are_restored(
    saved: tuple[Any, dict[str, str]], tmp_path: Path, capsys: Any
) -> None:
    model, _ = saved
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    average = WeightAverage(model.trainable_variables, 0.9)
    for variable in average.variables.values():
        variable.assign(variable + 1.0)
    state = TrainingState(
        str(tmp_path), model, optimizer, LossScale(RuntimeConfig()), OBJECTIVES, Clock.create(),
        average=average, max_to_keep=1,
    )  # fmt: skip
    state.save()
    task = make_task(str(tmp_path))
    other = task.build_model()
    task.initialize(other)
    for weight, restored in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight + 1.0, restored, err_msg=weight.path)
    assert capsys.readouterr().out == f"starting from {tmp_path}: averages\n"


@pytest.mark.parametrize("what", ["items", *ENCODERS])
def test_items_of_a_model_are_restored(saved: tuple[Any, dict[str, str]], what: str, capsys: Any) -> None:
    model, paths = saved
    task = make_task(paths[what])
    other = task.build_model()
    task.initialize(other)
    for weight, restored in zip(model.encoder_network.weights, other.encoder_network.weights, strict=True):
        np.testing.assert_array_equal(weight, restored, err_msg=weight.path)
    same = np.array_equal(model.masked_lm.dense.kernel, other.masked_lm.dense.kernel)
    assert same == (what == "items")
    shown = "encoder, masked_lm, next_sentence.pooler_dense" if what == "items" else "encoder"
    assert capsys.readouterr().out == f"starting from {paths[what]}: {shown}\n"


@pytest.mark.parametrize("what", [*MODELS, *ENCODERS, "run"])
@pytest.mark.parametrize("other", [{"hidden_size": 12}, {"num_layers": 1}, {"num_layers": 3}])
def test_a_model_of_another_shape_is_refused(saved: tuple[Any, dict[str, str]], what: str, other: Any) -> None:
    task = make_task(saved[1][what], **other)
    with pytest.raises(InputError, match=r"cannot be loaded|is not a checkpoint"):
        task.initialize(task.build_model())


@pytest.mark.parametrize("what", ["keras", "weights", "model"])
def test_a_damaged_file_is_refused(saved: tuple[Any, dict[str, str]], what: str, tmp_path: Path) -> None:
    path = Path(saved[1][what])
    for part in path.parent.glob(f"{path.name}*"):
        data = part.read_bytes()
        (tmp_path / part.name).write_bytes(data if part.suffix == ".index" else data[: len(data) // 2])
    task = make_task(str(tmp_path / path.name))
    with pytest.raises(InputError, match=r"cannot be loaded into a model|The TensorFlow checkpoint .* is damaged"):
        task.initialize(task.build_model())


@pytest.mark.parametrize("what", ["keras", "weights", "model"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, what: str) -> None:
    model = make_task().build_model()
    model.masked_lm.bias.assign(np.full(50, np.inf))
    path = str(tmp_path / {"keras": "a.keras", "weights": "a.weights.h5", "model": "a"}[what])
    save = {"keras": model.save, "weights": model.save_weights, "model": tf.train.Checkpoint(model=model).write}[what]
    save(path)
    task = make_task(path)
    with pytest.raises(InputError, match=r"must be finite numbers.* NaN or infinite ones in .*output_bias"):
        task.initialize(task.build_model())
