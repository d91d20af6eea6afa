"""Several steps in one call: the numbers of single ones, and nothing after one that must not count."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.tree import apply_overrides
from pipeline.training.configs import OptimizerConfig, RuntimeConfig, TrainerConfig
from pipeline.training.loop.step_loop import LoopLength, StepLoop
from pipeline.training.loop.training_state import TrainingState
from pipeline.training.objectives.registry import OBJECTIVES
from pipeline.training.optimization.clock import Clock
from pipeline.training.optimization.loss_scaling import LossScale
from pipeline.training.run import pretrain
from tests.training.loop.test_train_step import make_batch, make_parts


def test_loops_change_nothing_of_a_run(
    tiny_corpus: Any, tiny_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in single steps; one in loops of five, stopped by a signal, and continued in loops by time."""
    corpus, single, looped = str(tiny_corpus.directory), tmp_path / "single", tmp_path / "looped"
    optimizer = {"learning_rate": 5e-3, "warmup_steps": 2, "ema_decay": 0.9}
    config = tiny_config(
        train_steps=16, summary_interval=6, validation_interval=9, checkpoint_interval=7, accumulation_steps=2,
        optimizer=optimizer,
    )  # fmt: skip
    pretrain(apply_overrides(config, ["trainer.steps_per_loop=1"]), corpus, str(single), show_progress=False)

    lengths: list[int] = []
    make_steps = StepLoop.__call__

    def note_and_make_steps(self: StepLoop, count: int, **options: Any) -> Any:
        lengths.append(count)
        if len(lengths) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return make_steps(self, count, **options)

    monkeypatch.setattr(StepLoop, "__call__", note_and_make_steps)
    assert (
        pretrain(apply_overrides(config, ["trainer.steps_per_loop=5"]), corpus, str(looped), show_progress=False) == {}
    )
    assert lengths == [5, 1, 1, 2]
    assert (looped / "checkpoints" / "step-9.index").exists()
    pretrain(config, corpus, str(looped), show_progress=False)
    assert sum(lengths) == 16
    assert len(lengths) < 4 + 7  # Some loops were longer than a step.

    assert (looped / "log.jsonl").read_bytes() == (single / "log.jsonl").read_bytes()
    rows = [json.loads(line) for line in (single / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["split"] == "train"] == [6, 12, 16]
    states = [_checkpoint(run / "checkpoints" / "step-16") for run in (single, looped)]
    assert len(states[0]) > 60
    timed = {name for name in states[0] if "timed" in name}
    for name in states[0].keys() - timed:
        np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


def _checkpoint(path: Path) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(str(path))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH"
    }


def _make_loop(
    directory: Path, batches: Sequence[dict[str, Any]], runtime: RuntimeConfig | None = None, **options: Any
) -> tuple[StepLoop, TrainingState, Any]:
    """A loop over batches, its state, and its step."""
    step, model = make_parts(dropout=0.1, **options)
    runtime = runtime or RuntimeConfig()
    state = TrainingState(
        str(directory), model, step._optimizer, LossScale(runtime), OBJECTIVES, Clock.create(), max_to_keep=1
    )
    spec = {name: tf.TensorSpec([None, None], array.dtype) for name, array in make_batch().items()}
    dataset = tf.data.Dataset.from_generator(
        lambda: itertools.chain(batches, itertools.repeat(make_batch())), output_signature=spec
    )
    return StepLoop(step, state, dataset), state, step


def _numbers(state: TrainingState) -> list[np.ndarray]:
    counters = [state.step, state.tokens, *state._sums.values(), *state.loss_scale.variables.values()]
    return [variable.numpy() for variable in [*state._numbers, *counters]]


def _assert_equal(found: TrainingState, expected: TrainingState) -> None:
    for one, other in zip(_numbers(found), _numbers(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("options", [{}, pytest.param({"enable_xla": True}, marks=pytest.mark.slow)])
def test_a_loop_keeps_the_state_before_a_bad_step(tmp_path: Path, options: dict[str, Any]) -> None:
    bad = make_batch()
    bad["masked_lm_weights"] *= np.float32(np.nan)
    loop, state, _ = _make_loop(tmp_path / "a", [make_batch(), make_batch(), bad], **options)
    result = loop(6)
    assert (result.made, result.tokens) == (2, 2 * make_batch()["input_mask"].sum())
    assert np.isnan(result.last.loss)
    assert not result.last.applied
    by_single, expected, _ = _make_loop(tmp_path / "b", [], **options)
    singles = [by_single(1) for _ in range(2)]
    assert [single.made for single in singles] == [1, 1]
    assert singles[0].last.loss != singles[1].last.loss
    _assert_equal(state, expected)


@pytest.mark.parametrize("options", [{}, pytest.param({"enable_xla": True}, marks=pytest.mark.slow)])
def test_a_loop_ends_with_an_update_that_ruins_weights(tmp_path: Path, options: dict[str, Any]) -> None:
    """What the update made stays, so that an error can name it."""
    loop, state, step = _make_loop(tmp_path, [], **options)
    assert loop(2).made == 2
    moment = step._optimizer._velocities[0]
    moment.assign(moment + np.inf)
    result = loop(4)
    assert (result.made, result.last.applied, result.last.finite) == (0, True, False)
    assert any("velocity" in name for name in state.not_finite())
    assert int(state.step) == 2
    assert int(step._optimizer.iterations) == 3


def test_a_loop_adapts_the_losses_scale(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        runtime = RuntimeConfig(mixed_precision_dtype="float16")
        made = [_make_loop(tmp_path / str(number), [], runtime) for number in range(2)]
    finally:
        keras.config.set_dtype_policy("float32")
    for _, state, _ in made:
        state.loss_scale.variables["loss_scale"].assign(2.0**20)  # Too large for a few steps.
        state.loss_scale.variables["good_steps"].assign(7)
    (one, state, _), (other, expected, step) = made
    assert one(10).made == 10
    assert [other(1).made for _ in range(10)] == [1] * 10
    _assert_equal(state, expected)
    assert 1 < state.loss_scale.value < 2.0**20
    assert 0 < int(step._optimizer.iterations) < 10
    assert int(state.step) == 10


def test_a_loop_ends_where_something_is_due() -> None:
    config = TrainerConfig(
        optimizer=OptimizerConfig(warmup_steps=0),
        train_steps=20,
        steps_per_loop=4,
        summary_interval=6,
        validation_interval=9,
        checkpoint_interval=100,
    )
    length, step, ends = LoopLength(config, alone=False), 0, []
    while step < 20:
        step += length.after(step)
        ends.append(step)
    assert ends == [4, 6, 9, 12, 16, 18, 20]


@pytest.mark.parametrize(
    ("steps", "seconds", "alone", "expected"),
    [(1, 0.25, True, 4), (4, 9.0, True, 1), (1, 1e-6, True, 100), (1, 0.25, False, 1)],
)
def test_by_default_a_loop_takes_about_a_second(steps: int, seconds: float, alone: bool, expected: int) -> None:
    length = LoopLength(TrainerConfig(summary_interval=1000), alone=alone)
    assert length.after(0) == 1
    length.note(steps, seconds)
    assert length.after(0) == expected
