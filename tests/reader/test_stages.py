"""Stages of other batch sizes and corpora: every example once an epoch, for any number of pipelines and restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracles.numbered import KINDS, Batch, bytes_of, joined, number_of, write_numbered

from pipeline.errors import ConfigError, CorpusError
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset, training_batches
from pipeline.training.stages import StageConfig

Make = Callable[..., str]
SHORT, LONG, OTHER = ((200, 130, 7), 0), ((150, 60), 100_000), ((90, 41), 200_000)


def staged(*stages: dict[str, Any], **options: Any) -> DataConfig:
    defaults = {"global_batch_size": 24, "is_training": True, "seed": 3, "trim": False}
    return DataConfig(stages=tuple(StageConfig(**stage) for stage in stages), **{**defaults, **options})


def ramp(directory: str, **options: Any) -> DataConfig:
    """12, 24 and 48 examples a batch: 336 in step 18 and before."""
    sizes = {"global_batch_size": 12, "until": "10 steps"}, {"until": "19 steps"}, {"global_batch_size": 48}
    return staged(*sizes, input_path=directory, **options)


def two_corpora(numbered: Make, kind: str = "static") -> DataConfig:
    """Short rows in growing batches, then long ones in small batches, then short ones again."""
    short = numbered(kind, SHORT[0], first=SHORT[1])
    long = numbered(kind, LONG[0], first=LONG[1], bins=tuple(2 * size for size in KINDS[kind].get("bins", (24,))))
    return staged(
        {"global_batch_size": 12, "until": "10 steps"},
        {"until": "20 steps"},
        {"input_path": long, "global_batch_size": 48, "until": "31 steps"},
        {"input_path": short, "global_batch_size": 48},
        input_path=short,
    )


def read(config: DataConfig, first_step: int, steps: int, pipelines: int = 1) -> list[Batch]:
    """The global batches that some input pipelines read together."""
    parts = []
    start = training_batches(config).sizes.examples_before(first_step)
    for index in range(pipelines):
        context = tf.distribute.InputContext(pipelines, index, pipelines)
        dataset = build_dataset(config, context, start_example=start).take(steps)
        parts.append(list(dataset.as_numpy_iterator()))
    return [joined(together) for together in zip(*parts, strict=True)]


@pytest.mark.parametrize("kind", ["static", "dynamic", "binned dynamic gzip"])
def test_pipelines_and_restarts_change_nothing(numbered: Make, kind: str) -> None:
    config = two_corpora(numbered, kind)
    whole = [bytes_of(batch) for batch in read(config, 0, 45)]
    sizes = [12] * 10 + [24] * 10 + [48] * 25
    assert [batch["input_mask"][1][0] for batch in whole] == sizes
    for pipelines in (2, 3):
        assert [bytes_of(batch) for batch in read(config, 0, 45, pipelines)] == whole
    # In the middle of each stage, and where one begins.
    for first, pipelines in ((5, 3), (10, 1), (19, 2), (20, 3), (30, 1), (31, 2), (40, 3)):
        found = [bytes_of(batch) for batch in read(config, first, 4, pipelines)]
        assert found == whole[first : first + 4]


@pytest.mark.parametrize("kind", KINDS)
def test_a_ramp_reads_each_example_once_an_epoch(numbered: Make, kind: str) -> None:
    directory = numbered(kind, SHORT[0], first=SHORT[1])
    batches = training_batches(ramp(directory))
    by_bin: dict[int, list[tuple[int, int]]] = {}
    for step in range(60):
        slots = batches.slots(step)
        numbers = number_of(batches.read(step, slots)).tolist()
        assert len(numbers) == [12, 24, 48][(step >= 10) + (step >= 19)]
        by_bin.setdefault(slots.bin, []).extend(zip(slots.epochs.tolist(), numbers, strict=True))
    assert len(by_bin) == len(batches.sources[0].bins)
    for number, found in by_bin.items():
        examples = batches.sources[0].bins[number].examples
        assert len(found) > examples
        assert len(set(found)) == len(found)
        epochs, rest = divmod(len(found), examples)
        assert Counter(epoch for epoch, _ in found) == Counter({**dict.fromkeys(range(epochs), examples), epochs: rest})


def test_sizes_cut_one_order(numbered: Make) -> None:
    directory = numbered("static", SHORT[0], first=SHORT[1])
    batches, plain = training_batches(ramp(directory)), training_batches(staged(input_path=directory))
    # 19 steps, of 12 and 24 examples, are 14 of 24.
    ramped = np.concatenate([number_of(batches.read(step, batches.slots(step))) for step in range(19)])
    even = np.concatenate([number_of(plain.read(step, plain.slots(step))) for step in range(14)])
    assert sorted(ramped) == sorted(even)
    assert batches.examples_before(19) == plain.examples_before(14) == [336]


def test_a_corpus_goes_on_where_it_stopped(numbered: Make) -> None:
    """Alone, beside another corpus, and alone again: one order, from one end to the other."""
    short, other = (numbered("dynamic", sizes, first=first) for sizes, first in (SHORT, OTHER))
    config = staged(
        {"until": "6 steps"},
        {"input_path": (other, short), "weights": (1, 3), "global_batch_size": 16, "until": "21 steps"},
        {"input_path": short},
        input_path=short,
    )
    batches = training_batches(config)
    found = [number_of(batches.read(step, batches.slots(step))) for step in range(40)]
    mine = [numbers[numbers < OTHER[1]] for numbers in found]
    order = np.concatenate(mine)
    examples = sum(SHORT[0])
    assert len(order) > 2 * examples - 60
    assert len(set(order[:examples].tolist())) == examples
    rest = order[examples : 2 * examples].tolist()
    assert len(set(rest)) == len(rest)
    for step in (0, 6, 7, 21, 30):
        counted = [sum(len(part) for part in parts[:step]) for parts in (mine, found)]
        assert batches.examples_before(step) == [counted[0], counted[1] - counted[0]]
    assert abs(sum(map(len, mine[6:21])) - 15 * 16 * 3 / 4) <= 2
    assert [len(numbers) for numbers in found] == [24] * 6 + [16] * 15 + [24] * 19


def test_trimmed_rows_have_the_lengths_of_their_stage(numbered: Make) -> None:
    config = two_corpora(numbered)
    dataset = build_dataset(config)
    assert dataset.element_spec["input_word_ids"].shape.as_list() == [None, None]
    assert dataset.element_spec["masked_lm_ids"].shape.as_list() == [None, 4]
    lengths = [batch["input_word_ids"].shape[1] for batch in dataset.take(40).as_numpy_iterator()]
    assert lengths == [24] * 20 + [48] * 11 + [24] * 9
    # One size and one length stay known.
    one = build_dataset(staged(input_path=numbered("static", SHORT[0], first=SHORT[1])))
    assert one.element_spec["input_word_ids"].shape.as_list() == [24, 24]


def test_origins_are_of_the_corpus_of_the_step(numbered: Make) -> None:
    config = two_corpora(numbered)
    batches = training_batches(config)
    short, long = batches.sources
    for step, size, source in ((9, 12, short), (10, 24, short), (20, 48, long), (31, 48, short)):
        origins = batches.origins(step)
        assert len(set(origins)) == size
        assert {path for path, _ in origins} <= set(source.paths)


def test_a_start_within_a_batch_is_refused(numbered: Make) -> None:
    config = ramp(numbered("static", SHORT[0], first=SHORT[1]))
    for start in (1, 121, 132, 10 * 12 + 9 * 24 + 24):
        with pytest.raises(ConfigError, match="in all earlier batches"):
            build_dataset(config, start_example=start)
    for start in (120, 144, 336, 384):
        build_dataset(config, start_example=start)


def test_every_size_is_divided(numbered: Make) -> None:
    config = ramp(numbered("static", SHORT[0], first=SHORT[1]))
    with pytest.raises(ConfigError, match=r"multiple of the 8 replicas\. Received: 12"):
        build_dataset(config, tf.distribute.InputContext(8, 0, 8))


def test_stages_that_cannot_train_one_model_are_refused(numbered: Make, tmp_path: Path) -> None:
    short = numbered("static", SHORT[0], first=SHORT[1])
    single, other = numbered("one segment", SHORT[0], first=SHORT[1]), numbered("static", OTHER[0], first=OTHER[1])
    for config, message in (
        (staged({"until": "5 steps"}, {"input_path": single}, input_path=short), "examples of one kind"),
        (
            staged({"until": "5 steps"}, {"input_path": f"{other}/train-*"}, input_path=short),
            "All stages must consist of",
        ),
    ):
        with pytest.raises(CorpusError, match=message):
            training_batches(config)
    sha256 = write_numbered(tmp_path / "other", (30,)).tokenizer.sha256
    manifest = tmp_path / "other" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(sha256, "0" * 64))
    with pytest.raises(CorpusError, match="corpora of all stages must share one vocabulary"):
        training_batches(staged({"until": "5 steps"}, {"input_path": str(tmp_path / "other")}, input_path=short))


def test_stages_need_steps_and_a_training(numbered: Make) -> None:
    short = numbered("static", SHORT[0], first=SHORT[1])
    for stage in ({"until": "50%"}, {"until": "1e6 tokens"}, {"until": "9 steps", "initial_batch_size": 6}):
        with pytest.raises(ConfigError, match="Outside a run"):
            training_batches(staged(stage, {}, input_path=short))
    with pytest.raises(ConfigError, match="stages can only be used for training"):
        build_dataset(staged({}, input_path=short, is_training=False))
