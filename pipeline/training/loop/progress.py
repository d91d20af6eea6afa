"""What a run shows and writes of itself on the way."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tqdm import tqdm

from pipeline.training.loop.summaries import SummaryWriter
from pipeline.training.loop.validation import Evaluation
from pipeline.training.run_folder import RunFolder


class Progress:
    """The progress bar, the run's log and TensorBoard's summaries; a context manager.

    Args:
        folder: where the log and the summaries go.
        steps: steps of the whole run.
        step: steps made before.
        shows: whether to draw a progress bar, with loss, accuracy, tokens a second and the time left.
        writes: whether this process writes anything; of a cluster, one does.
    """

    def __init__(self, folder: RunFolder, steps: int, step: int, *, shows: bool, writes: bool) -> None:
        self._folder = folder
        self._writes = writes
        self._writers: dict[str, SummaryWriter] = {}
        if writes:
            self._writers = {name: SummaryWriter(f"{folder.summaries}/{name}") for name in ("train", "validation")}
        self._bar: Any = tqdm(total=steps, initial=step, unit="step", desc="pretrain", disable=not (shows and writes))

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self) -> None:
        """Counts a step."""
        self._bar.update()

    def note_training(self, step: int, row: Mapping[str, float], *, tokens: int, tokens_per_second: float) -> None:
        """Shows and writes the means since the last summary."""
        self._bar.set_postfix_str(
            f"loss {row['loss']:.3f}, accuracy {row['masked_lm_accuracy']:.3f}, {tokens_per_second:,.0f} tokens/s"
        )
        self._note("train", step, {"tokens": tokens, **row}, {**row, "tokens_per_second": tokens_per_second})

    def note_validation(self, step: int, evaluation: Evaluation) -> None:
        """Shows and writes an evaluation."""
        results = evaluation.means
        if self._writes:
            for name, counts in evaluation.histograms.items():
                self._writers["validation"].write_histogram(name, counts, step)
            words = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in results.items())
            self._bar.write(f"step {step:,}: validation {words}")
        self._note("validation", step, results, results)

    def _note(self, split: str, step: int, row: Mapping[str, Any], scalars: Mapping[str, float]) -> None:
        if self._writes:
            self._folder.log({"step": step, "split": split, **row})
            self._writers[split].write(scalars, step)
