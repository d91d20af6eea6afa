"""Compares our numbers with tensorflow/models' own: `make parity`.

Small models with the same random weights and batches must give the same logits, loss, metrics and gradients, and the
same losses in ten steps of AdamW. The weights and batches are written to a file, from which tensorflow/models computes
its results in its own environment (`make peers`). `--write` records these results as a fixture of the tests (`make
parity-fixture`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "out" / "peers" / "bin" / "python"
FIXTURE = ROOT / "tests" / "training" / "data" / "tensorflow_models.npz"
STEPS, BATCH, SEQ_LENGTH, PREDICTIONS, VOCAB = 10, 6, 16, 4, 40

_ENCODER = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "num_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": SEQ_LENGTH,
    "dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
}
_HEADS = [{"name": "next_sentence", "inner_dim": 16, "num_classes": 2}]
CASES: dict[str, dict[str, Any]] = {
    "bert": {"encoder": _ENCODER, "cls_heads": _HEADS},
    # Layer norm first, factorised embeddings, other activations, no next-sentence head.
    "variant": {
        "encoder": {
            **_ENCODER, "num_layers": 1, "norm_first": True, "embedding_size": 8, "hidden_activation": "relu",
        },
        "mlm_activation": "tanh",
    },
    "albert": {
        "encoder": {**_ENCODER, "type": "albert", "num_layers": 3, "embedding_size": 8},
        "cls_heads": _HEADS,
    },
}  # fmt: skip
# Rates are so high that ten steps move the weights; gradients have norms above 1, so they are clipped.
OPTIMIZER = {"learning_rate": 1e-2, "end_learning_rate": 1e-4, "warmup_steps": 4, "weight_decay_rate": 0.1}
# Largest allowed differences: absolute, divided by the largest value if that is above 1; relative for step losses.
TOLERANCES = {"output": 1e-5, "loss": 1e-5, "metric": 1e-5, "gradient": 1e-4, "losses": 1e-4}

Arrays = dict[str, np.ndarray]


def main() -> None:
    """Computes both results and compares them; with `--write`, also records the fixture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="write tensorflow/models' results to the fixture of the tests"
    )
    write = parser.parse_args().write
    with tempfile.TemporaryDirectory() as folder:
        question, answer = f"{folder}/question.npz", f"{folder}/answer.npz"
        asked = {f"{case}/{name}": value for case in CASES for name, value in draw(case).items()}
        np.savez(question, **asked)
        done = subprocess.run([str(PEERS), __file__, "answer", question, answer], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        recorded = {**asked, **np.load(answer)}
    if write:
        FIXTURE.parent.mkdir(exist_ok=True)
        np.savez_compressed(FIXTURE, **recorded)
        print(f"{FIXTURE.relative_to(ROOT)}: {FIXTURE.stat().st_size:,} bytes")
    failed = False
    for case in CASES:
        given = of_case(recorded, case)
        for kind, difference in differences(ours(given), given).items():
            failed |= not difference <= TOLERANCES[kind]
            print(f"{case:8} {kind:9} differs by {difference:.1e}, {TOLERANCES[kind]:.0e} allowed")
    raise SystemExit(failed)


def of_case(arrays: Mapping[str, np.ndarray], case: str) -> Arrays:
    """Returns the arrays of one case."""
    return {name.split("/", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{case}/")}


def differences(found: Arrays, expected: Arrays) -> dict[str, float]:
    """Returns the largest difference of each kind in `TOLERANCES`."""
    by_kind = dict.fromkeys(TOLERANCES, 0.0)
    names = [name for name in expected if name.split("/")[0] in by_kind]
    assert set(names) == set(found), f"{sorted(set(names) ^ set(found))} are in only one of them"
    for name in names:
        kind = name.split("/")[0]
        scale = np.abs(expected[name]) if kind == "losses" else max(1.0, np.abs(expected[name]).max())
        by_kind[kind] = max(by_kind[kind], float((np.abs(found[name] - expected[name]) / scale).max()))
    return by_kind


# === Inputs of both ===


def draw(case: str) -> Arrays:
    """Draws the weights and batches of a case from a seed; adds its configuration."""
    from pipeline.seeding import generator

    task = _our_task(CASES[case])
    rng = generator(0, "parity", list(CASES).index(case))
    arrays = {"config": np.array(json.dumps(_config(CASES[case])))}
    for name, variable in _by_name(task.build_model()).items():
        scale = 0.1 if name.endswith(("bias", "beta", "gamma")) else 0.4
        values = rng.normal(1.0 if name.endswith("gamma") else 0.0, scale, variable.shape)
        arrays[f"weight/{name}"] = values.astype(np.float32)
    lengths = rng.integers(6, SEQ_LENGTH + 1, (STEPS, BATCH, 1))
    place, prediction = np.arange(SEQ_LENGTH), np.arange(PREDICTIONS)
    real = prediction < rng.integers(1, PREDICTIONS + 1, (STEPS, BATCH, 1))
    positions = 1 + rng.permuted(np.broadcast_to(np.arange(4), (STEPS, BATCH, 4)), axis=-1)[..., :PREDICTIONS]
    batches = {
        "input_word_ids": rng.integers(5, VOCAB, (STEPS, BATCH, SEQ_LENGTH)) * (place < lengths),
        "input_mask": place < lengths,
        "input_type_ids": (place >= lengths // 2) & (place < lengths),
        "masked_lm_positions": np.sort(np.where(real, positions, 0)),
        "masked_lm_ids": rng.integers(5, VOCAB, (STEPS, BATCH, PREDICTIONS)) * real,
    }
    arrays |= {f"batch/{name}": values.astype(np.int32) for name, values in batches.items()}
    arrays["batch/masked_lm_weights"] = real.astype(np.float32)
    if CASES[case].get("cls_heads"):
        arrays["batch/next_sentence_labels"] = rng.integers(0, 2, (STEPS, BATCH, 1)).astype(np.int32)
    return arrays


def _batches(given: Mapping[str, np.ndarray]) -> list[Arrays]:
    stacked = {name[6:]: array for name, array in given.items() if name.startswith("batch/")}
    return [{name: array[step] for name, array in stacked.items()} for step in range(STEPS)]


def _config(model: Mapping[str, Any]) -> dict[str, Any]:
    from pipeline.config.tree import from_dict, to_dict
    from pipeline.training import PretrainerConfig
    from pipeline.training.configs import OptimizerConfig

    return {
        "model": to_dict(from_dict(PretrainerConfig, model)),
        "optimizer": to_dict(from_dict(OptimizerConfig, OPTIMIZER)),
    }


# === Ours ===


def ours(given: Arrays) -> Arrays:
    """Computes our outputs, loss, metrics and gradients on the first batch, and losses over all steps, `[2, steps]`."""
    import tensorflow as tf

    from pipeline.config.tree import from_dict
    from pipeline.training.configs import OptimizerConfig
    from pipeline.training.loop.train_step import TrainStep
    from pipeline.training.optimization.build import build_optimizer

    config = json.loads(str(given["config"]))
    task = _our_task(config["model"])
    model, metrics = task.build_model(), task.build_metrics()
    variables = _by_name(model)
    for name, variable in variables.items():
        variable.assign(given[f"weight/{name}"])
    batches = _batches(given)
    with tf.GradientTape() as tape:
        labels, outputs = task.forward(batches[0], model, training=True)
        loss = task.build_losses(labels, outputs, None)
    gradients = tape.gradient(loss, [variable.value for variable in variables.values()])
    answer = _answer(model(batches[0], training=False), task.validation_step(batches[0], model, metrics), metrics)
    for name, gradient in zip(variables, gradients, strict=True):
        if gradient is not None:
            answer[f"gradient/{name}"] = np.asarray(tf.convert_to_tensor(gradient))
    options = from_dict(OptimizerConfig, config["optimizer"])
    optimizer = build_optimizer(options, STEPS, model.trainable_variables)
    by_task = [float(task.train_step(batch, model, optimizer, metrics)["loss"]) for batch in batches]
    # Once more as `pretrain` does it: compiled, and with its own gradient clipping.
    for name, variable in variables.items():
        variable.assign(given[f"weight/{name}"])
    optimizer = build_optimizer(dataclasses.replace(options, gradient_clip_norm=0), STEPS, model.trainable_variables)
    spec = tf.data.Dataset.from_tensors(batches[0]).element_spec
    step = TrainStep(task, model, optimizer, spec, clip_norm=options.gradient_clip_norm)
    by_loop = [step(batch, number).loss for number, batch in enumerate(batches)]
    answer["losses"] = np.array([by_task, by_loop])
    return answer


def _our_task(model: Mapping[str, Any]) -> Any:
    from pipeline.config.tree import from_dict
    from pipeline.training import MaskedLMConfig, MaskedLMTask, PretrainerConfig

    return MaskedLMTask(MaskedLMConfig(model=from_dict(PretrainerConfig, model)))


def _by_name(model: Any) -> dict[str, Any]:
    """Returns our variables by their paths in the model."""
    prefixes = (f"{model.name}/", f"{model.encoder_network.name}/")
    named = {}
    for variable in model.trainable_variables:
        path = variable.path
        for prefix in prefixes:
            path = path.removeprefix(prefix)
        named[path] = variable
    return named


def _answer(outputs: Mapping[str, Any], logs: Mapping[str, Any], metrics: list[Any]) -> Arrays:
    answer = {f"metric/{metric.name}": np.asarray(metric.result()) for metric in metrics}
    for name in ("mlm_logits", "next_sentence", "sequence_output", "pooled_output"):
        if name in outputs:
            answer[f"output/{name}"] = np.asarray(outputs[name])
    return {**answer, "loss": np.asarray(logs["loss"])}


# === Theirs, in the peers' environment ===


def theirs(given: Arrays) -> Arrays:
    """Computes the same results with tensorflow/models."""
    import peer_task
    import tensorflow as tf

    config = json.loads(str(given["config"]))
    task = peer_task.build_task(config["model"], next_sentence="batch/next_sentence_labels" in given)
    model, metrics = peer_task.build_model(task), task.build_metrics()
    variables = {peer_task.our_name(variable.name): variable for variable in model.trainable_variables}
    for name, variable in variables.items():
        variable.assign(given[f"weight/{name}"].reshape(variable.shape))
    batches = [{name: tf.constant(array) for name, array in batch.items()} for batch in _batches(given)]
    with tf.GradientTape() as tape:
        loss = task.build_losses(batches[0], model(batches[0], training=True), metrics)
    for metric in metrics:
        metric.reset_state()
    gradients = tape.gradient(loss, list(variables.values()))
    answer = _answer(model(batches[0], training=False), task.validation_step(batches[0], model, metrics), metrics)
    for name, gradient in zip(variables, gradients, strict=True):
        if gradient is not None:
            shape = given[f"weight/{name}"].shape
            answer[f"gradient/{name}"] = tf.convert_to_tensor(gradient).numpy().reshape(shape)
    optimizer = peer_task.build_optimizer(config["optimizer"], STEPS)
    answer["losses"] = np.array([float(task.train_step(b, model, optimizer, metrics)["loss"]) for b in batches])
    return answer


def _peer_answer(question: str, answer: str) -> None:
    asked = np.load(question)
    given = {case: theirs(of_case(asked, case)) for case in CASES}
    np.savez(answer, **{f"{case}/{name}": value for case, found in given.items() for name, value in found.items()})


if __name__ == "__main__":
    if sys.argv[1:2] == ["answer"]:
        _peer_answer(*sys.argv[2:])
    else:
        main()
