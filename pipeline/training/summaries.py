"""Scalars for TensorBoard, without having it installed."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf


class ScalarWriter:
    """Writes scalars as `tf.summary.scalar` does, which itself needs the tensorboard package.

    Args:
        directory: where the event files go.
    """

    def __init__(self, directory: str) -> None:
        self._writer = tf.summary.create_file_writer(directory)
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
            data_class=1,  # DATA_CLASS_SCALAR
        )

    def write(self, scalars: Mapping[str, float], step: int) -> None:
        """Writes one value each at `step`, and makes sure that they are on disk."""
        with self._writer.as_default(step=step):
            for name, value in scalars.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=self._metadata)
        self._writer.flush()
