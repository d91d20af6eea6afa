"""Corpora without a mask, read as if they had one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError, CorpusError
from pipeline.records.spec import RecordSpec
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset
from pipeline.training.data.masking_at_reading import masking_rate

CLS, SEP, MASK, FIRST = 2, 3, 4, 5


@pytest.fixture(scope="module")
def unmasked(write_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return write_corpus(
        tmp_path_factory.mktemp("unmasked"), spec=RecordSpec(24, 4, masked=False), bins=(16, 24), train=(60, 40)
    )


def read(corpus: Any, batches: int = 10, *, start_example: int = 0, **options: Any) -> list[dict[str, np.ndarray]]:
    config = DataConfig(
        **{"input_path": str(corpus.directory), "is_training": True, "global_batch_size": 20, "trim": False, **options}
    )
    dataset = build_dataset(config, start_example=start_example)
    return [{name: tensor.numpy() for name, tensor in batch.items()} for batch in dataset.take(batches)]


def undone(batch: dict[str, np.ndarray]) -> np.ndarray:
    """The text of a batch."""
    ids = batch["input_word_ids"].copy()
    rows, predictions = np.nonzero(batch["masked_lm_weights"])
    ids[rows, batch["masked_lm_positions"][rows, predictions]] = batch["masked_lm_ids"][rows, predictions]
    return ids


def by_text(batches: list[dict[str, np.ndarray]]) -> dict[bytes, bytes]:
    """The mask of each example, by its text."""
    return {
        text.tobytes(): positions.tobytes()
        for batch in batches
        for text, positions in zip(undone(batch), batch["masked_lm_positions"], strict=True)
    }


def test_batches_have_what_masked_records_have(unmasked: Any) -> None:
    batches = read(unmasked, 10)  # One epoch.
    texts = set()
    for batch in batches:
        assert {name: tensor.dtype for name, tensor in batch.items()} == {
            "input_word_ids": np.int32,
            "input_mask": np.int32,
            "input_type_ids": np.int32,
            "masked_lm_positions": np.int32,
            "masked_lm_ids": np.int32,
            "masked_lm_weights": np.float32,
            "next_sentence_labels": np.int32,
        }
        assert batch["input_word_ids"].shape[1] in (16, 24)
        lengths = batch["input_mask"].sum(axis=1)
        np.testing.assert_array_equal(batch["masked_lm_weights"].sum(axis=1), np.clip(np.rint(lengths * 0.15), 1, 4))
        assert (batch["masked_lm_ids"][batch["masked_lm_weights"] > 0] >= FIRST).all()
        texts |= {(row.tobytes()) for row in undone(batch)}
    held = {
        row.astype(np.int32).tobytes()
        for name, columns in unmasked.columns.items()
        for row in columns["input_word_ids"]
        if name.startswith("train")
    }
    assert texts == held


def test_every_epoch_has_masks_of_its_own_and_evaluation_always_the_same(unmasked: Any) -> None:
    found = read(unmasked, 20)
    first, second = by_text(found[:10]), by_text(found[10:])
    assert first.keys() == second.keys()
    assert sum(first[text] != second[text] for text in first) > 0.7 * len(first)
    for options in ({}, {"seed": 0}):
        assert by_text(read(unmasked, 9, is_training=False)) == by_text(read(unmasked, 9, is_training=False, **options))
    assert by_text(read(unmasked, 9, is_training=False)) != by_text(read(unmasked, 9, is_training=False, seed=1))


def test_masks_do_not_depend_on_batches_or_trimming(unmasked: Any) -> None:
    whole = by_text(read(unmasked, 9, is_training=False))
    trimmed = read(unmasked, 99, is_training=False, global_batch_size=3, trim=True)
    for batch in trimmed:
        batch["input_word_ids"] = np.pad(batch["input_word_ids"], [(0, 0), (0, 24 - batch["input_word_ids"].shape[1])])
    found = {text.rstrip(b"\0"): mask for text, mask in by_text(trimmed).items()}
    assert found == {text.rstrip(b"\0"): mask for text, mask in whole.items()}


def test_going_on_gives_the_same_masks(unmasked: Any) -> None:
    options = {"masked_lm_prob": 0.15, "final_masked_lm_prob": 0.4, "masking_schedule_steps": 20}
    whole = read(unmasked, 17, **options)
    for expected, found in zip(whole[12:], read(unmasked, 5, start_example=12 * 20, **options), strict=True):
        for name, column in expected.items():
            np.testing.assert_array_equal(found[name], column)


def test_the_share_of_predictions_changes_in_the_course_of_training(unmasked: Any) -> None:
    options = {"masked_lm_prob": 0.1, "final_masked_lm_prob": 0.5, "masking_schedule_steps": 10}
    for step, batch in enumerate(read(unmasked, 15, **options)):
        share = 0.1 + 0.4 * min(step / 10, 1.0)
        lengths = batch["input_mask"].sum(axis=1)
        np.testing.assert_array_equal(batch["masked_lm_weights"].sum(axis=1), np.maximum(np.rint(lengths * share), 1))
        assert batch["masked_lm_ids"].shape[1] == {16: 8, 24: 12}[batch["input_mask"].shape[1]]
    validation = read(unmasked, 9, is_training=False)
    assert all((batch["masked_lm_weights"].sum(axis=1) <= 4).all() for batch in validation)


def test_rates_by_hand() -> None:
    def at(step: int, **options: Any) -> float:
        return float(masking_rate(DataConfig(**options), 0.15)(step))

    assert at(7) == 0.15
    assert at(7, masked_lm_prob=0.3) == 0.3
    linear = {"final_masked_lm_prob": 0.05, "masking_schedule_steps": 8}
    assert [at(step, **linear) for step in (0, 4, 8, 9)] == pytest.approx([0.15, 0.10, 0.05, 0.05])
    assert at(2, masking_schedule="cosine", **linear) == pytest.approx(0.15 - 0.1 * (1 - math.cos(math.pi / 4)) / 2)


def test_contradictions_are_refused(unmasked: Any, tiny_corpus: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 12"):
        read(unmasked, masked_lm_prob=0.5, max_predictions_per_seq=11)
    with pytest.raises(ConfigError, match="masking_schedule_steps"):
        read(unmasked, final_masked_lm_prob=0.5)
    with pytest.raises(CorpusError, match="masking dynamic"):
        read(tiny_corpus, masked_lm_prob=0.3)
    with pytest.raises(CorpusError, match="Give the corpus's directory"):
        read(unmasked, input_path=f"{unmasked.directory}/*.tfrecord")
    assert read(unmasked, 1, max_predictions_per_seq=2)[0]["masked_lm_ids"].shape[1] == 2


def test_replicas_that_are_left_without_examples(unmasked: Any) -> None:
    """33 examples a bin, in batches of 32 for 16 replicas: of the last, one replica has one, and the others none."""
    config = DataConfig(input_path=str(unmasked.directory), is_training=False, global_batch_size=32)
    parts = []
    for index in range(16):
        batches = list(build_dataset(config, tf.distribute.InputContext(16, index, 16)).as_numpy_iterator())
        parts.append([len(batch["masked_lm_ids"]) for batch in batches])
    assert [sum(sizes) for sizes in zip(*parts, strict=True)] == [32, 1, 32, 1]
    assert sorted(sizes[1] for sizes in parts) == [0] * 15 + [1]
