from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.loop.summaries import SummaryWriter


def test_event_files_hold_scalars_as_tensorboard_reads_them(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path))
    writer.write({"loss": 2.5, "accuracy": 0.25}, step=7)
    writer.write({"loss": 1.5}, step=8)
    (path,) = tmp_path.iterdir()
    found = []
    for record in tf.data.TFRecordDataset(str(path)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found.append((event.step, value.tag, float(tf.make_ndarray(value.tensor))))
    assert found == [(7, "loss", 2.5), (7, "accuracy", 0.25), (8, "loss", pytest.approx(1.5))]


def test_histograms(tmp_path: Path) -> None:
    """As the plugin has them: the bins' ends, and what is in them."""
    SummaryWriter(str(tmp_path)).write_histogram("probability/masked", np.array([3.0, 0.0, 1.0, 7.0]), step=5)
    (path,) = tmp_path.iterdir()
    events = [tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    (value,) = [value for event in events for value in event.summary.value]
    assert (events[-1].step, value.tag) == (5, "probability/masked")
    assert value.metadata.plugin_data.plugin_name == "histograms"
    expected = [[0.0, 0.25, 3], [0.25, 0.5, 0], [0.5, 0.75, 1], [0.75, 1.0, 7]]
    np.testing.assert_array_equal(tf.make_ndarray(value.tensor), expected)
