"""What a run shows and writes of itself on the way."""

from __future__ import annotations

import logging
import sys
import textwrap
import time
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any

from tqdm import tqdm

from pipeline import files
from pipeline.training.durations import format_duration
from pipeline.training.loop.plateau import Plateau
from pipeline.training.loop.summaries import SummaryWriter, grouped
from pipeline.training.loop.validation import Evaluation
from pipeline.training.objectives.registry import MASKED_LM, OBJECTIVES
from pipeline.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

_BAR = "{percentage:3.0f}%|{bar}|{n_fmt}/{total_fmt} {remaining} left{postfix}"  # Within 80 columns.
_PACE_STEPS, _PACE_SECONDS = 10, 30.0  # After either, it is said how long the run will take.


class Progress:
    """The progress bar, the run's log and TensorBoard's summaries; a context manager.

    Without a bar, or where standard error is no terminal, each summary is a line of plain text. Such lines are log
    messages, as are evaluations.

    Args:
        folder: where the log and the summaries go.
        steps: steps of the whole run.
        step: steps made before.
        shows: whether to draw a progress bar, with loss, accuracy, tokens a second and the time left.
        writes: whether this process writes anything; of a cluster, one does.
        plateau: the baseline that evaluations are compared with; by default none.
    """

    def __init__(
        self, folder: RunFolder, steps: int, step: int, *, shows: bool, writes: bool, plateau: Plateau | None = None
    ) -> None:
        self._folder = folder
        self._writes = writes
        self._steps, self._step = steps, step
        self._plateau = plateau or Plateau(None, warmup_steps=0, train_steps=steps)
        self._begin: tuple[int, float] | None = None  # The first step's end, when everything is compiled.
        self._pace: float | None = None  # Seconds of a step since then, with evaluations and checkpoints.
        self._last = 0.0
        self._said_pace = self._evaluated = False
        self._writers: dict[str, SummaryWriter] = {}
        if writes:
            self._writers = {name: SummaryWriter(f"{folder.summaries}/{name}") for name in ("train", "validation")}
            if files.exists(folder.config):
                configuration = files.read(folder.config).decode()
                self._writers["train"].write_text("configuration", textwrap.indent(configuration, "    "), step)
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._draws = shows and writes and terminal
        self._bar: Any = tqdm(
            total=steps, initial=step, dynamic_ncols=True, bar_format=_BAR, disable=not self._draws, leave=True
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, steps: int = 1) -> None:
        """Counts steps."""
        self._step += steps
        self._bar.update(steps)
        self._last = time.perf_counter()
        if self._begin is None:
            self._begin = self._step, self._last
            return
        made, seconds = self._step - self._begin[0], self._last - self._begin[1]
        self._pace = seconds / made
        if not self._said_pace and self._step < self._steps and (made >= _PACE_STEPS or seconds >= _PACE_SECONDS):
            self._said_pace = True
            self._say(f"step {self._step:,}: {self._pace:.3g} seconds per step, {self._time_left()}")

    def begin_anew(self, text: str) -> None:
        """Says why steps take another time from here on, and measures their pace anew."""
        self._say(text)
        self._begin = self._pace = None
        self._said_pace = False

    def note_training(
        self,
        step: int,
        row: Mapping[str, float],
        *,
        tokens: int,
        tokens_per_second: float,
        sources: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    ) -> None:
        """Shows and writes the means since the last summary, and what each source of a mixture gave so far."""
        loss, accuracy = row["loss"], row[MASKED_LM.accuracy_name]
        self._bar.set_postfix_str(f"loss {loss:.3f}, acc {accuracy:.3f}, {_short(tokens_per_second)} tok/s")
        if not self._draws:
            left = f", {self._time_left()}" if self._pace is not None and step < self._steps else ""
            self._say(
                f"step {step:,} of {self._steps:,}: loss {loss:.3f}, accuracy {accuracy:.3f},"
                f" {tokens_per_second:,.0f} tokens/s{left}"
            )
        scalars = {**row, "tokens_per_second": tokens_per_second}
        self._note("train", step, {"tokens": tokens, **row}, scalars, sources)

    def note_validation(self, step: int, evaluation: Evaluation) -> None:
        """Shows and writes an evaluation, and how it stands against the baseline."""
        results = evaluation.means
        if self._writes:
            for name, counts in evaluation.histograms.items():
                self._writers["validation"].write_histogram(name, counts, step)
            if evaluation.example:
                self._writers["validation"].write_text("example", evaluation.example, step)
            self._say(f"step {step:,}: {self._describe(evaluation)}")
            if advice := self._plateau.note(step, results[MASKED_LM.loss_name]):
                self._say(f"note: {advice}")
        self._note("validation", step, results, results, evaluation.by_source)
        if not self._evaluated and self._begin is not None:
            # The first one compiles, and says nothing about the others.
            self._begin = self._begin[0], self._begin[1] + time.perf_counter() - self._last
        self._evaluated = True

    def _describe(self, evaluation: Evaluation) -> str:
        results = evaluation.means
        found = [objective for objective in OBJECTIVES if objective.loss_name in results]
        parts = [] if len(found) == 1 else [f"loss {results['loss']:.3f}"]
        for objective in found:
            loss, accuracy = results[objective.loss_name], results[objective.accuracy_name]
            against = self._plateau.compare(loss) if objective is MASKED_LM else ""
            title = "loss" if len(found) == 1 else objective.title
            parts.append(f"{title} {loss:.3f}{against}, accuracy {accuracy:.3f}")
        parts += [f"{source} {means['loss']:.3f}" for source, means in evaluation.by_source.items()]
        return f"validation {'; '.join(parts)}"

    def _say(self, text: str) -> None:
        if self._writes:
            with tqdm.external_write_mode():
                logger.info(text)

    def _time_left(self) -> str:
        return f"about {format_duration((self._steps - self._step) * (self._pace or 0.0))} left"

    def _note(
        self,
        split: str,
        step: int,
        row: Mapping[str, Any],
        scalars: Mapping[str, float],
        sources: Mapping[str, Mapping[str, float]],
    ) -> None:
        if self._writes:
            of_sources = {
                f"source/{source}/{name}": value for source, of in sources.items() for name, value in of.items()
            }
            self._folder.log({"step": step, "split": split, **row, **({"sources": sources} if sources else {})})
            self._writers[split].write({**grouped(scalars), **of_sources}, step)


def _short(number: float) -> str:
    scaled = (f"{number / size:.1f}{name}" for size, name in ((1e6, "M"), (1e3, "k")) if number >= size)
    return next(scaled, f"{number:.0f}")
