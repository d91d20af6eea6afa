"""Records the results of tensorflow/models' optimisers and schedules: `make optimizer-numbers`.

Runs in the peers' environment and writes tests/training/optimization/tensorflow_models_optimizers.json, with which the
tests compare this project's results.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from official.modeling import optimization

OUTPUT = Path(__file__).parents[1] / "tests" / "training" / "optimization" / "tensorflow_models_optimizers.json"
STEPS = (0, 1, 3, 9, 10, 25, 50, 99, 100, 130)
WEIGHTS = {"dense/kernel": (3, 2), "dense/bias": (2,), "layer_norm/gamma": (2,)}


def schedule(decay: dict[str, Any]) -> list[float]:
    """Returns the learning rates at `STEPS`, with a warm-up of 10 steps."""
    config = {
        "optimizer": {"type": "adamw"},
        "learning_rate": decay,
        "warmup": {"type": "polynomial", "polynomial": {"warmup_steps": 10, "power": 1}},
    }
    factory = optimization.OptimizerFactory(optimization.OptimizationConfig(config))
    rate = factory.build_learning_rate()
    return [float(rate(step)) for step in STEPS]


def updates(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Applies three steps of random gradients to random weights."""
    rng = np.random.default_rng(5)
    values = {name: rng.normal(size=shape).astype(np.float32) for name, shape in WEIGHTS.items()}
    gradients = [{n: rng.normal(size=s).astype(np.float32) for n, s in WEIGHTS.items()} for _ in range(3)]
    config = {"optimizer": {"type": kind, kind: options}, "learning_rate": {"type": "constant"}}
    factory = optimization.OptimizerFactory(optimization.OptimizationConfig(config))
    optimizer = factory.build_optimizer(0.1)
    variables = [tf.Variable(value, name=name) for name, value in values.items()]
    for step in gradients:
        optimizer.apply_gradients(zip(map(tf.constant, step.values()), variables, strict=True))
    return {
        "options": options,
        "before": {name: value.tolist() for name, value in values.items()},
        "gradients": [{name: g.tolist() for name, g in step.items()} for step in gradients],
        "after": {name: v.numpy().tolist() for name, v in zip(values, variables, strict=True)},
    }


def main() -> None:
    """Writes the file."""
    common = {"initial_learning_rate": 1e-3, "decay_steps": 100}
    decay = {"weight_decay_rate": 0.3, "exclude_from_weight_decay": ["layer_norm", "bias"], "epsilon": 1e-6}
    numbers = {
        "steps": STEPS,
        "schedules": {
            "linear": schedule({"type": "polynomial", "polynomial": {**common, "end_learning_rate": 1e-5}}),
            "polynomial": schedule(
                {"type": "polynomial", "polynomial": {**common, "end_learning_rate": 1e-5, "power": 2.0}}
            ),
            "cosine": schedule({"type": "cosine", "cosine": {**common, "alpha": 0.01}}),
        },
        "adamw": updates("adamw", {**decay, "gradient_clip_norm": 1.0}),
        "lamb": updates("lamb", decay),
    }
    OUTPUT.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
