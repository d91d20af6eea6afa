"""The pace of a training, measured by making some of its steps in a run that is then forgotten."""

from __future__ import annotations

import dataclasses
import functools
import gc
import itertools
import signal
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from pipeline import files
from pipeline.training.budget import Pace
from pipeline.training.configs import DataConfig, ExperimentConfig, TrainerConfig
from pipeline.training.data.loader import training_batches
from pipeline.training.distribution import distribute
from pipeline.training.loop.progress import Progress
from pipeline.training.loop.stopping import StopRequest
from pipeline.training.loop.summaries import SummaryWriter
from pipeline.training.loop.train_loop import train
from pipeline.training.loop.train_step import TrainStep
from pipeline.training.loop.trainer import train_experiment
from pipeline.training.loop.training_state import TrainingState
from pipeline.training.loop.validation import Evaluation
from pipeline.training.run_folder import RunFolder

_STEPS = 10  # To measure at least, unless they take `_MOST` of the budget.
_LEAST, _MOST = 0.025, 0.1
_FEW = 2
_CHEAP = 0.01  # Share of the budget that a second evaluation may take.
_OUTLIER = 4.0  # Times the median: a step that was compiled for a length of its own.
_NEVER = 10**12


class Place(NamedTuple):
    """A part of a run that has a pace of its own.

    Attributes:
        step: one in its middle.
        tokens: of its steps, in the mean, without padding.
        share: of the run's steps.
    """

    step: int
    tokens: float
    share: float


class _Mark(NamedTuple):
    seconds: float
    step: int
    tokens: int


class _Stopwatch(Progress):
    """Notes when steps end, and shows nothing."""

    def __init__(self, folder: RunFolder, state: TrainingState) -> None:
        super().__init__(folder, 0, 0, shows=False, writes=False)
        self._state = state
        self.marks: list[_Mark] = []

    def advance(self, steps: int = 1) -> None:
        """Notes that steps were made."""
        self.marks.append(_Mark(time.monotonic(), int(self._state.step), int(self._state.tokens)))

    @property
    def steps(self) -> int:
        """Steps that were timed: the first one compiles, or fills the pipeline."""
        return self.marks[-1].step - self.marks[0].step if self.marks else 0

    @property
    def seconds(self) -> float:
        """What they took."""
        return self.marks[-1].seconds - self.marks[0].seconds if self.marks else 0.0

    def seconds_of_step(self, tokens: float) -> float:
        """The mean of steps of so many tokens: the time goes with them, whatever batches were met here."""
        parts = [
            ((after.seconds - before.seconds), (after.tokens - before.tokens) / tokens)
            for before, after in itertools.pairwise(self.marks)
        ]
        usual = _OUTLIER * statistics.median(seconds / max(steps, 1e-9) for seconds, steps in parts)
        kept = [(seconds, steps) for seconds, steps in parts if seconds <= usual * steps]
        return sum(seconds for seconds, _ in kept) / sum(steps for _, steps in kept)


class _Enough(StopRequest):
    """Asks to stop when a stopwatch has seen enough, or somebody else asks."""

    def __init__(self, watch: _Stopwatch, other: StopRequest, budget: float, places: int) -> None:
        super().__init__()
        self._watch, self._other = watch, other
        self._steps, self._least, self._most = _STEPS / places, _LEAST * budget / places, _MOST * budget / places

    def __bool__(self) -> bool:
        # The step that learns of it is the last.
        steps, seconds = self._watch.steps + 1, self._watch.seconds
        return bool(self._other) or (
            steps >= _FEW and (seconds >= self._most or (steps >= self._steps and seconds >= self._least))
        )


def _seconds(act: Callable[[], Any]) -> float:
    started = time.monotonic()
    act()
    return time.monotonic() - started


def measure_pace(
    config: ExperimentConfig,
    task: Any,
    folder: RunFolder,
    strategy: tf.distribute.Strategy,
    *,
    budget: float,
    places: Sequence[Place],
    validation: Mapping[str, DataConfig],
    mask_id: int,
) -> Pace:
    """Builds the model of an experiment, trains it for a moment, and forgets it.

    Nothing of it is left to the training that follows, which sets the seeds and builds all anew: a compiled step holds
    the schedule, which is not known yet.

    Args:
        config: the experiment, resolved, with any number of steps.
        task: its task.
        folder: of a run that is forgotten.
        strategy: what it runs on.
        budget: seconds of the whole run, which decide how long to measure.
        places: where to measure.
        validation: what to evaluate on, by the corpus's name.
        mask_id: id of `[MASK]`.

    Raises:
        KeyboardInterrupt: if SIGINT stopped it. SIGTERM ends the process: there is nothing to save.
        As `train_experiment`.
    """
    started = time.monotonic()
    models: list[Any] = []
    found: list[Pace] = []

    def measure(
        train_step: TrainStep,
        trainer: TrainerConfig,
        state: TrainingState,
        batches: Any,
        validate: Callable[[], Evaluation] | None,
        progress: Progress,
        stop: StopRequest,
        **describers: Any,
    ) -> bool:
        data = config.task.train_data
        endless = dataclasses.replace(
            trainer, train_steps=_NEVER, summary_interval=_NEVER, validation_interval=_NEVER, checkpoint_interval=_NEVER
        )
        start, step_seconds, steps = 0.0, 0.0, 0
        for place in places:
            first = training_batches(data).sizes.examples_before(place.step)
            batches = distribute(strategy, functools.partial(task.build_inputs, data, start_example=first))
            state.step.assign(place.step)
            watch = _Stopwatch(folder, state)
            with watch:
                train(train_step, endless, state, batches, None, watch, _Enough(watch, stop, budget, len(places)))
            if stop:
                return False
            start = start or watch.marks[0].seconds - started
            step_seconds += place.share * watch.seconds_of_step(place.tokens)
            steps += watch.steps

        def evaluate() -> None:
            assert validate is not None
            state.best_loss.assign(float("inf"))  # So that the weights are saved as the best.
            with state.averaged():
                state.note_validation(validate().means["loss"])

        def save() -> None:
            state.step.assign_add(1)  # What is saved already is not saved again.
            state.save()

        first_evaluation = evaluation = _seconds(evaluate) if validate is not None else 0.0
        if 0 < evaluation < _CHEAP * budget:
            evaluation = _seconds(evaluate)
        writer = SummaryWriter(folder.summaries)
        summary = min(_seconds(lambda: writer.write(dict.fromkeys("abcdefgh", 0.0), 0)) for _ in range(2))
        # The example is filled in by the model compiled once more, as the first evaluation compiled it.
        end = _seconds(lambda: models[0].save(files.join(folder.path, "model.keras")))
        end += 2 * max(0.0, first_evaluation - evaluation)
        checkpoint = _seconds(save)
        found.append(Pace(start, step_seconds, summary, evaluation, checkpoint, end, steps))
        return False

    stopped = train_experiment(
        config,
        task,
        folder,
        strategy,
        names=[],
        validation=validation,
        mask_id=mask_id,
        initialize=lambda model: (),
        before_first_step=lambda model, step: models.append(model),
        show_progress=False,
        writes=True,
        loop=measure,
    ).stopped
    if stopped:
        assert stopped.signal is not None
        signal.raise_signal(stopped.signal)
        raise KeyboardInterrupt  # A script starts what it runs in the background with SIGINT ignored.
    models.clear()
    gc.collect()  # Before the model is built again: what was compiled refers to it in circles.
    return found[0]
