from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.reader.batches import OrderedBatches
from pipeline.records.spec import RecordSpec
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset, extents, readable, trim
from pipeline.training.dataset_errors import naming_records


def config(path: Path, **options: Any) -> DataConfig:
    defaults = {"global_batch_size": 16, "is_training": True, "shuffle_buffer_size": 30}
    return DataConfig(input_path=str(path), **{**defaults, **options})


def rows(batches: Any) -> list[bytes]:
    """Every example as bytes, by its predictions and its first eight tokens (none is shorter)."""
    return [
        b"".join(np.asarray(part).tobytes() for part in parts)
        for batch in batches
        for parts in zip(
            batch["masked_lm_positions"],
            batch["masked_lm_ids"],
            batch["input_word_ids"][:, :8],
            strict=True,
        )
    ]


def test_evaluation_gives_every_example_once_and_in_order(tiny_corpus: Any) -> None:
    batches = list(build_dataset(config(tiny_corpus.directory, is_training=False)))
    assert [len(batch["input_mask"]) for batch in batches] == [16, 16, 1]
    expected = tiny_corpus.split("validation")
    for name, column in expected.items():
        start = 0
        for batch in batches:
            found = batch[name].numpy()
            wanted = column[start : start + len(found)]
            # Trimmed: nothing but padding is cut away.
            np.testing.assert_array_equal(found, wanted[:, : found.shape[1]])
            assert not wanted[:, found.shape[1] :].any()
            start += len(found)
        assert start == len(column)
    assert {batch["input_word_ids"].dtype for batch in batches} == {tf.int32}
    assert {batch["masked_lm_weights"].dtype for batch in batches} == {tf.float32}


@pytest.mark.parametrize("pad_id", [None, 0])
@pytest.mark.parametrize(
    ("mask", "width"),
    [
        ([[1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]], 8),
        ([[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1]], 20),  # Padding first.
        ([[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]], 16),
        ([[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]], 16),  # A hole.
        ([[0] * 20], 8),
        ([[1] * 9 + [0] * 11, [0] * 17 + [1] * 3], 20),
    ],
)
def test_only_padding_behind_the_last_token_is_trimmed(mask: list[list[int]], width: int, pad_id: int | None) -> None:
    real = np.array(mask, np.int32)
    batch = {
        "input_word_ids": 7 * real,
        "input_mask": real,
        "input_type_ids": real,
        "next_sentence_labels": real[:, :1],
    }
    if pad_id is not None:
        del batch["input_mask"]
    trimmed = trim({name: tf.constant(value) for name, value in batch.items()}, pad_id)
    for name, value in batch.items():
        np.testing.assert_array_equal(trimmed[name], value[:, :width])
    assert extents(real).numpy().tolist() == [
        max((i + 1 for i, one in enumerate(row) if one), default=0) for row in mask
    ]


def test_a_prediction_at_padding_is_not_trimmed_away() -> None:
    ids = np.array([[5, 6, 7] + [0] * 21], np.int32)
    batch = {"input_word_ids": ids, "input_mask": np.minimum(ids, 1), "masked_lm_weights": np.array([[1.0, 0.0]])}
    trimmed = trim({**batch, "masked_lm_positions": np.array([[9, 23]], np.int32)})
    assert trimmed["input_word_ids"].shape == (1, 16)


def test_trimming(tiny_corpus: Any) -> None:
    trimmed = list(build_dataset(config(tiny_corpus.directory, is_training=False, global_batch_size=1)))
    for batch in trimmed:
        longest = int(tf.reduce_max(tf.reduce_sum(batch["input_mask"], axis=1)))
        assert longest <= batch["input_mask"].shape[1] < longest + 8
    assert {batch["input_mask"].shape[1] for batch in trimmed} == {8, 16, 24}
    whole = build_dataset(config(tiny_corpus.directory, is_training=False, trim=False))
    assert {batch["input_mask"].shape[1] for batch in whole} == {24}


def test_an_epoch_gives_every_example_once(tiny_corpus: Any) -> None:
    dataset = build_dataset(config(tiny_corpus.directory))  # 160 examples in 10 batches.
    two_epochs = rows(dataset.take(20))
    columns = tiny_corpus.split("train")
    expected = Counter(
        rows(
            [
                columns
                | {
                    "input_word_ids": columns["input_word_ids"].astype(np.int32),
                    "masked_lm_positions": columns["masked_lm_positions"].astype(np.int32),
                    "masked_lm_ids": columns["masked_lm_ids"].astype(np.int32),
                }
            ]
        )
    )
    first, second = two_epochs[:160], two_epochs[160:]
    assert Counter(first) == Counter(second) == expected
    assert first != second


def test_the_seed_alone_decides_the_order(tiny_corpus: Any) -> None:
    first = rows(build_dataset(config(tiny_corpus.directory, seed=3)).take(12))
    tf.random.set_seed(99)
    assert rows(build_dataset(config(tiny_corpus.directory, seed=3)).take(12)) == first
    assert rows(build_dataset(config(tiny_corpus.directory, seed=4)).take(12)) != first


def test_examples_are_shuffled(tiny_corpus: Any) -> None:
    """Across files, and within the buffer."""
    columns = tiny_corpus.split("train")
    place = {
        row: index
        for index, row in enumerate(rows([{name: column.astype(np.int32) for name, column in columns.items()}]))
    }
    order = [place[row] for row in rows(build_dataset(config(tiny_corpus.directory)).take(10))]
    steps = np.diff(order)
    assert (steps == 1).mean() < 0.1
    # Of three files of 50, 70 and 40 examples.
    assert {int(np.searchsorted([50, 120], index, side="right")) for index in order[:30]} == {0, 1, 2}


@pytest.mark.parametrize("batches", [1, 7, 10, 13, 25])
def test_resuming_gives_what_would_have_come(tiny_corpus: Any, batches: int) -> None:
    whole = rows(build_dataset(config(tiny_corpus.directory)).take(batches + 4))
    resumed = build_dataset(config(tiny_corpus.directory), start_example=16 * batches)
    assert rows(resumed.take(4)) == whole[16 * batches :]


def test_resuming_on_plain_files(tiny_corpus: Any) -> None:
    files = config(Path(f"{tiny_corpus.directory}/train-*.tfrecord"))
    whole = rows(build_dataset(files).take(16))
    assert rows(build_dataset(files, start_example=16 * 12).take(4)) == whole[16 * 12 :]


def test_old_feature_names_and_gzip(write_corpus: Any, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "v1", spec=RecordSpec(24, 4, feature_names="v1"))
    name = "validation-00000-of-00002.tfrecord"
    serialized = [r.numpy() for r in tf.data.TFRecordDataset(str(corpus.directory / name))]
    packed = str(tmp_path / "one.tfrecord.gz")
    with tf.io.TFRecordWriter(packed, "GZIP") as writer:
        for record in serialized:
            writer.write(record)
    options = {"is_training": False, "use_v2_feature_names": False}
    batch = next(iter(build_dataset(config(Path(packed), **options))))
    expected = corpus.columns[name]["input_word_ids"][:16]
    np.testing.assert_array_equal(batch["input_word_ids"], expected[:, : batch["input_mask"].shape[1]])


def test_labels_can_be_left_out(tiny_corpus: Any) -> None:
    batch = next(iter(build_dataset(config(tiny_corpus.directory, use_next_sentence_label=False))))
    assert "next_sentence_labels" not in batch


def test_input_pipelines_share_the_examples(tiny_corpus: Any) -> None:
    contexts = [tf.distribute.InputContext(2, index, 2) for index in range(2)]
    options = {"is_training": False, "global_batch_size": 8, "drop_remainder": False}
    parts = [[rows([batch]) for batch in build_dataset(config(tiny_corpus.directory, **options), c)] for c in contexts]
    whole = [rows([batch]) for batch in build_dataset(config(tiny_corpus.directory, **options))]
    assert [first + second for first, second in zip(*parts, strict=True)] == whole
    assert list(map(len, parts[0])) == [4, 4, 4, 4, 0]  # 33 examples: one is left for the last batch.
    first = next(iter(build_dataset(config(tiny_corpus.directory, **options), contexts[0])))
    assert len(first["input_mask"]) == 4


def test_dummy_needs_lengths() -> None:
    with pytest.raises(ConfigError, match="seq_length"):
        build_dataset(DataConfig(input_path="dummy"))
    dummy = dataclasses.replace(DataConfig(input_path="dummy"), seq_length=12, max_predictions_per_seq=3)
    batch = next(iter(build_dataset(dummy)))
    assert batch["input_word_ids"].shape == (1, 12)
    assert batch["masked_lm_ids"].shape == (1, 3)


def test_a_damaged_record_is_named(write_corpus: Any, tmp_path: Path) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    shard = directory / "validation-00001-of-00002.tfrecord"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorpusError, match=r"A record cannot be read.*SHA-256"):
        list(readable(build_dataset(config(directory, is_training=False))))


def test_only_damage_is_called_damage(write_corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    mapped, unreadable, faulty = (build_dataset(config(directory, is_training=False)) for _ in range(3))
    mapped = mapped.map(lambda batch: tf.reshape(batch["input_mask"], [7]))
    with pytest.raises(tf.errors.InvalidArgumentError, match="reshape"):
        list(readable(mapped))
    for path in directory.glob("validation-*"):
        path.unlink()
    with pytest.raises(InputError, match=r"^Cannot read .*validation-0000\d-of-00002\.tfrecord\. .*[Nn]o such file"):
        list(readable(unreadable))

    def read(*_: Any) -> Any:
        raise TypeError("a bug")

    monkeypatch.setattr(OrderedBatches, "read", read)
    with pytest.raises(TypeError, match=r"^a bug$"):
        list(readable(faulty))
    with pytest.raises(TypeError, match=r"^a bug$"), naming_records(faulty):  # As `fit` and the training loop read.
        list(faulty)
