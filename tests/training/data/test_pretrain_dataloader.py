"""Data loaders under tensorflow/models' names, on records such as its own tool writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError, CorpusError
from pipeline.training.data import pretrain_dataloader, pretrain_dynamic_dataloader


def write(path: Path, lengths: list[int], predictions: int, *, padded: int = 16, positions: bool = True) -> str:
    """Records of google-research/bert's names; ids are the numbers of their tokens in the file."""
    number = 1
    with tf.io.TFRecordWriter(str(path)) as writer:
        for length in lengths:

            def integers(values: Any) -> tf.train.Feature:
                return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

            padding = [0] * (padded - length)
            features = {
                "input_ids": integers([*range(number, number + length), *padding]),
                "input_mask": integers([1] * length + padding),
                "segment_ids": integers([0] * length + padding),
                "masked_lm_positions": integers(range(predictions)),
                "masked_lm_ids": integers(range(1, predictions + 1)),
                "masked_lm_weights": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0] * predictions)),
                "next_sentence_labels": integers([1]),
            }
            if positions:
                features["position_ids"] = integers([*range(length), *padding])
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
            number += length
    return str(path)


def test_position_ids_are_read_where_they_are_wanted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", [8, 5], 2)
    config = pretrain_dataloader.BertPretrainDataConfig(input_path=path, global_batch_size=2, use_position_id=True)
    batch = next(iter(pretrain_dataloader.BertPretrainDataLoader(config).load()))
    assert sorted(np.asarray(batch["position_ids"]).sum(axis=1)) == [10, 28]
    assert batch["position_ids"].shape == batch["input_word_ids"].shape == (2, 8)  # Trimmed alike.
    without = pretrain_dataloader.BertPretrainDataLoader(config.replace(use_position_id=False)).load()
    assert "position_ids" not in next(iter(without))
    other = write(tmp_path / "b.tfrecord", [8], 2, positions=False)
    with pytest.raises(CorpusError, match="must contain position_ids"):
        pretrain_dataloader.BertPretrainDataLoader(config.replace(input_path=other)).load()


def test_paths_are_separated_by_commas(tmp_path: Path) -> None:
    first, second = (write(tmp_path / f"{name}.tfrecord", [8] * 3, 2) for name in "ab")
    config = pretrain_dataloader.BertPretrainDataConfig(
        input_path=f"{first},{second}", global_batch_size=4, is_training=False
    )
    assert sum(len(batch["input_mask"]) for batch in pretrain_dataloader.BertPretrainDataLoader(config).load()) == 6
    comma = write(tmp_path / "a,b.tfrecord", [8], 2)
    loader = pretrain_dataloader.BertPretrainDataLoader(config.replace(input_path=comma))
    assert len(list(loader.load())) == 1


def dynamic(**options: Any) -> tf.data.Dataset:
    config = pretrain_dynamic_dataloader.BertPretrainDataConfig(**options)
    return pretrain_dynamic_dataloader.PretrainingDynamicDataLoader(config).load()


def test_batches_have_the_lengths_of_buckets(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", [3, 9, 5, 12, 8, 16], 2)
    more = write(tmp_path / "b.tfrecord", [4, 10], 5)  # Another number of predictions.
    options = {"input_path": f"{path},{more}", "seq_bucket_lengths": (8, 16), "global_batch_size": 3}
    batches = [{k: np.asarray(v) for k, v in batch.items()} for batch in dynamic(**options, is_training=False)]
    assert [batch["input_word_ids"].shape for batch in batches] == [(3, 8), (3, 16), (1, 8), (1, 16)]
    assert [batch["input_mask"].sum(axis=1).tolist() for batch in batches] == [[3, 5, 8], [9, 12, 16], [4], [10]]
    assert [batch["masked_lm_weights"].sum() for batch in batches] == [6, 6, 5, 5]
    first = batches[0]
    np.testing.assert_array_equal(first["input_word_ids"][1], [13, 14, 15, 16, 17, 0, 0, 0])
    assert first["next_sentence_labels"].shape == (3, 1)


def test_training_goes_on_and_repeats_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tfrecord", [3, 9, 5, 12, 8, 16, 2, 11], 2)
    options = {"input_path": path, "seq_bucket_lengths": (8, 16), "global_batch_size": 3, "seed": 5}
    first, again = ([np.asarray(b["input_word_ids"]) for b in dynamic(**options).take(12)] for _ in range(2))
    assert all(len(batch) == 3 for batch in first)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ConfigError, match="at least one length, in ascending order"):
        dynamic(**{**options, "seq_bucket_lengths": (16, 8)})
    with pytest.raises(tf.errors.InvalidArgumentError, match="longer than all seq_bucket_lengths"):
        list(dynamic(**{**options, "seq_bucket_lengths": (8,)}).take(3))
