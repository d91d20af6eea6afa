from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from pipeline.training.summaries import ScalarWriter


def test_event_files_hold_scalars_as_tensorboard_reads_them(tmp_path: Path) -> None:
    writer = ScalarWriter(str(tmp_path))
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
