"""Scalars, histograms and text for TensorBoard, without having it installed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.errors import OutputError
from pipeline.training.objectives.registry import MASKED_LM, OBJECTIVES


class SummaryWriter:
    """Writes what `tf.summary.scalar`, `histogram` and `text` do, which themselves need the tensorboard package.

    Args:
        directory: where the event files go.

    Raises:
        OutputError: from every method, if they cannot be written.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        with self._telling_errors():
            self._writer = tf.summary.create_file_writer(directory)

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """Writes one value each at `step`, and makes sure that they are on disk."""
        with self._telling_errors(), self._writer.as_default(step=step):
            for name, value in scalars.items():
                # 1 is DATA_CLASS_SCALAR.
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=_metadata("scalars", 1))
            self._writer.flush()

    def write_histogram(self, name: str, counts: np.ndarray, step: int) -> None:
        """Writes counts of values in bins of equal width over [0, 1]."""
        edges = np.linspace(0.0, 1.0, len(counts) + 1)
        bins = np.stack([edges[:-1], edges[1:], counts], axis=1)  # [bins, 3]: from, to, count.
        with self._telling_errors(), self._writer.as_default(step=step):
            # 2 is DATA_CLASS_TENSOR.
            tf.summary.write(name, tf.constant(bins, tf.float64), metadata=_metadata("histograms", 2))
            self._writer.flush()

    def write_text(self, name: str, text: str, step: int) -> None:
        """Writes text, which TensorBoard shows as Markdown."""
        with self._telling_errors(), self._writer.as_default(step=step):
            # 2 is DATA_CLASS_TENSOR.
            tf.summary.write(name, tf.constant(text), metadata=_metadata("text", 2))
            self._writer.flush()

    @contextlib.contextmanager
    def _telling_errors(self) -> Iterator[None]:
        try:
            yield
        except tf.errors.OpError as error:
            raise OutputError(
                f"Cannot write the summaries in {self._directory}",
                received=" ".join(str(error.message).split())[:300],
                do="Check the free space and the permissions; the same command then continues from the last checkpoint",
            ) from error


# What is not of an objective, by its name in the log.
_GROUPS = {
    "learning_rate": "optimizer",
    "gradient_norm": "optimizer",
    "loss_scale": "optimizer",
    "tokens_per_second": "throughput",
    "stage": "data",
    "batch_size": "data",
}


def grouped(row: Mapping[str, float]) -> dict[str, float]:
    """The numbers of a row of the log under TensorBoard's tags, `group/name`, and the perplexities beside them."""
    tags = {}
    for objective in OBJECTIVES:
        tags[objective.loss_name] = f"loss/{objective.name}"
        tags[objective.accuracy_name] = f"accuracy/{objective.name}"
    tags |= {"loss": "loss/total"} | {name: f"{group}/{name}" for name, group in _GROUPS.items()}
    scalars = {tags.get(name, name): value for name, value in row.items()}
    if MASKED_LM.loss_name in row:
        # Of a loss that a run stops at it would be no number.
        scalars[f"perplexity/{MASKED_LM.name}"] = math.exp(min(row[MASKED_LM.loss_name], 80.0))
    return scalars


def _metadata(plugin: str, data_class: int) -> Any:
    return tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin), data_class=data_class
    )
