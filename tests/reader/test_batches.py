"""Batches of every step: the same for any number of input pipelines, through restarts, of every kind of corpus."""

from __future__ import annotations

import itertools
import json
import os
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracles.numbered import KINDS, Batch, bytes_of, joined, number_of

from pipeline.errors import ConfigError
from pipeline.reader import Corpus
from pipeline.reader.batches import Batches
from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset

Make = Callable[..., str]
EXAMPLES = 700 + 1000 + 333 + 64 + 5
STEPS = 2 * EXAMPLES // 24 + 30  # More than two epochs.


def pipelines_of(directory: str, pipelines: int, first_step: int, steps: int, **options: Any) -> list[Batch]:
    """The global batches that some input pipelines read together."""
    config = DataConfig(
        **{"input_path": directory, "global_batch_size": 24, "is_training": True, "seed": 3, "trim": False, **options}
    )
    parts = []
    for index in range(pipelines):
        context = tf.distribute.InputContext(pipelines, index, pipelines)
        dataset = build_dataset(config, context, start_example=24 * first_step).take(steps)
        parts.append(list(dataset.as_numpy_iterator()))
    return [joined(together) for together in zip(*parts, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_global_batches_are_the_same_for_any_number_of_pipelines(numbered: Make, kind: str) -> None:
    directory = numbered(kind)
    whole = [bytes_of(batch) for batch in pipelines_of(directory, 1, 0, STEPS)]
    for pipelines in (2, 3, 8):
        assert [bytes_of(batch) for batch in pipelines_of(directory, pipelines, 0, STEPS)] == whole
    # Restarted at random steps, on another number of pipelines.
    rng = np.random.default_rng(0)
    step = 0
    while step < STEPS:
        steps = min(int(rng.integers(1, 60)), STEPS - step)
        found = pipelines_of(directory, int(rng.choice([1, 2, 3, 8])), step, steps)
        assert [bytes_of(batch) for batch in found] == whole[step : step + steps]
        step += steps


@pytest.mark.parametrize("kind", KINDS)
def test_every_example_comes_once_an_epoch(numbered: Make, kind: str) -> None:
    corpus = Corpus(numbered(kind))
    shuffled = corpus.batches(24, seed=1, epochs=3)
    groups: dict[int, list[int]] = {}
    for batch in shuffled:
        groups.setdefault(batch["input_word_ids"].shape[1], []).extend(number_of(batch).tolist())
    assert len(groups) == len(KINDS[kind].get("bins", (24,)))
    for numbers in groups.values():
        for epoch in range(2):
            part = numbers[epoch * EXAMPLES : (epoch + 1) * EXAMPLES]
            assert len(set(part)) == len(part)
        assert set(numbers[:EXAMPLES]) == set(numbers[EXAMPLES : 2 * EXAMPLES])


def test_batches_are_those_of_tensorflow(numbered: Make) -> None:
    directory = numbered("dynamic")
    config = DataConfig(input_path=directory, global_batch_size=24, is_training=True, seed=5)
    batches = Corpus(directory, seed=5).batches(24, trim=True)
    for expected, found in zip(batches, build_dataset(config).as_numpy_iterator(), strict=False):
        assert bytes_of(expected) == bytes_of(found)


def test_an_iterator_is_its_step(numbered: Make) -> None:
    batches = Corpus(numbered()).batches(32, seed=2)
    iterator = batches.iterator()
    for _ in range(20):
        next(iterator)
    state = iterator.state_dict()
    assert state == {"step": 20}
    again = batches.iterator()
    again.load_state_dict(state)
    rest = [bytes_of(batch) for batch in again]
    assert rest == [bytes_of(batch) for batch in iterator]
    assert len(rest) == len(batches) - 20
    assert rest[3] == bytes_of(batches[23])
    with pytest.raises(StopIteration):
        next(again)


def test_random_access(numbered: Make) -> None:
    directory = numbered("binned dynamic gzip")
    corpus = Corpus(directory)
    assert len(corpus) == 2 * EXAMPLES
    numbers = [number_of({name: column[None] for name, column in corpus[i].items()})[0] for i in (0, 699, 700, -1)]
    # Examples are numbered as they were written: bin by bin within a shard's place; stored by bins.
    assert numbers[:3] == [0, 699, 2 * 700]
    assert numbers[3] == 2 * EXAMPLES - 1
    picked = corpus.__getitems__([5, 2 * EXAMPLES - 2, 900, 5])
    for number, example in zip((5, -2, 900, 5), picked, strict=True):
        assert bytes_of(example) == bytes_of(corpus[number])
    assert [bytes_of(example) for example in corpus[3:9:2]] == [bytes_of(corpus[i]) for i in (3, 5, 7)]
    with pytest.raises(IndexError, match=r"there are 4,204 examples"):
        corpus[2 * EXAMPLES]


@pytest.mark.parametrize("kind", ["static", "binned", "gzip"])
def test_reading_in_order(numbered: Make, kind: str) -> None:
    corpus = Corpus(numbered(kind))
    batches = corpus.batches(50, shuffle=False)
    found = np.concatenate([number_of(batch) for batch in batches])
    expected = [number_of({k: v[None] for k, v in corpus[i].items()})[0] for i in range(0, len(corpus), 97)]
    np.testing.assert_array_equal(found[::97], expected)
    assert sorted(found) == list(range(len(corpus)))
    assert len(batches[-1]["input_word_ids"]) == EXAMPLES % 50


def test_a_corpus_is_read_without_an_index_of_its_own(numbered: Make, monkeypatch: Any, tmp_path: Path) -> None:
    """Of an earlier version, or of other tools: the same batches, by an index that is kept in the cache."""
    monkeypatch.setenv("MLM_PIPELINE_CACHE", str(tmp_path / "cache"))
    for kind in ("static", "gzip"):
        with_index, without = numbered(kind), numbered(kind, indexed=False)
        one, other = (Corpus(path).batches(24, seed=1) for path in (with_index, without))
        assert [bytes_of(batch) for batch in one] == [bytes_of(batch) for batch in other]
        files = f"{with_index}/train-*"
        found = Corpus(files).batches(24, seed=1)
        assert [bytes_of(batch) for batch in found] == [bytes_of(batch) for batch in one]
    assert len(list((tmp_path / "cache").glob("*.json"))) == 4 * 5
    assert len(list((tmp_path / "cache").glob("*.gz"))) == 2 * 5


def test_windows_change_what_comes_together(numbered: Make) -> None:
    corpus = Corpus(numbered())
    # Fewer chunks than lanes are one window, whatever was asked for.
    assert bytes_of(corpus.batches(24, seed=1)[7]) == bytes_of(corpus.batches(24, seed=1, window=1)[7])
    corpus = Corpus(numbered(sizes=(5000, 5000)))
    narrow, wide = (corpus.batches(24, seed=1, window=window) for window in (1, 65_536))
    assert bytes_of(narrow[0]) != bytes_of(wide[0])
    assert bytes_of(corpus.batches(24, seed=1)[7]) == bytes_of(corpus.batches(24, seed=1, window=32_768)[7])


def test_of_several_processes(numbered: Make) -> None:
    """What a worker process gets is what its maker has."""
    batches = Corpus(numbered("dynamic")).batches(24, seed=1)
    batches[0]
    copy: Batches = pickle.loads(pickle.dumps(batches))
    assert bytes_of(copy[11]) == bytes_of(batches[11])


def test_origins(numbered: Make) -> None:
    directory = numbered("binned")
    batches = Corpus(directory).batches(24, seed=1)
    for step in (0, 7):
        slots = batches.slots(step)
        records = batches.serialized(slots)
        for (path, number), record in zip(batches.origins(slots), records, strict=True):
            held = next(iter(tf.data.TFRecordDataset(path).skip(number).take(1))).numpy()
            assert held == record


def test_bins_take_turns(numbered: Make) -> None:
    batches = Corpus(numbered("binned")).batches(24, seed=1, epochs=2)
    lengths = [batch["input_word_ids"].shape[1] for batch in batches]
    for begin in range(0, len(lengths) - 9, 9):
        counts = Counter(lengths[begin : begin + 9])
        assert set(counts) == {16, 24, 40}
        assert all(1 <= count <= 5 for count in counts.values())
    assert max(Counter(lengths).values()) - min(Counter(lengths).values()) <= 1


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 2.5}, {"window": 0}, {"window": -5}])
def test_sizes_that_are_refused(numbered: Make, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must have at least one example"):
        Corpus(numbered()).batches(**{"batch_size": 24, **options})


@pytest.mark.parametrize("epochs", [0, -1, float("inf"), float("nan")])
def test_epochs_that_are_refused(numbered: Make, epochs: float) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        Corpus(numbered()).batches(24, epochs=epochs)


def test_steps_that_are_not_there(numbered: Make) -> None:
    batches = Corpus(numbered()).batches(24)
    with pytest.raises(IndexError, match="there are 87 steps"):
        batches[87]
    with pytest.raises(IndexError, match=r"must be at least 0\. Received: -1"):
        batches.iterator(-1)


def test_parts_of_a_batch(numbered: Make) -> None:
    batches = Corpus(numbered("dynamic")).batches(24)
    whole = batches[5]
    for parts in (1, 2, 5, 24, 30):
        found = [batches.read(5, batches.slots(5).part(number, parts)) for number in range(parts)]
        assert max(len(part["input_mask"]) for part in found) == -(-24 // parts)
        for name, column in whole.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in found]), column)


def test_a_forked_process_reads_on_its_own(numbered: Make, object_store: dict[str, bytes]) -> None:
    """From a store, whose threads the fork does not have."""
    directory = Path(numbered())
    for path in directory.iterdir():
        object_store[f"teststore://bucket/forked/{path.name}"] = path.read_bytes()
    batches = Corpus("teststore://bucket/forked").batches(24, seed=1)
    expected = [number_of(batch).tolist() for batch in batches]
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, json.dumps([number_of(batch).tolist() for batch in batches][:20]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        assert json.loads(stream.read()) == expected[:20]
    assert os.waitpid(child, 0)[1] == 0


def test_trimmed(numbered: Make) -> None:
    corpus = Corpus(numbered("dynamic", bins=(40,)))
    for batch in itertools.islice(corpus.batches(3, seed=1, trim=True), 50):
        longest = int(batch["input_mask"].sum(axis=1).max())
        assert longest <= batch["input_word_ids"].shape[1] < longest + 8
        assert batch["input_word_ids"].shape == batch["input_type_ids"].shape == batch["input_mask"].shape
