"""The order of examples: what an epoch holds, what input pipelines share, where a run goes on."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.training.configs import DataConfig
from pipeline.training.data.order import read_for_training, read_once, share_of
from pipeline.training.data.source import Bin, RecordSource, open_source

BINS = (12, 18, 24)


@pytest.fixture(scope="module")
def binned(write_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """160 examples in each of three bins, in three files each."""
    return write_corpus(tmp_path_factory.mktemp("binned"), bins=BINS, train=(50, 70, 40))


def config_of(corpus: Any, **options: Any) -> DataConfig:
    return DataConfig(input_path=str(corpus.directory), is_training=True, **{"shuffle_buffer_size": 30, **options})


def batches(corpus: Any, number: int, *, first_step: int = 0, size: int = 16, **options: Any) -> list[dict[str, Any]]:
    config = config_of(corpus)
    dataset = read_for_training(open_source(config), config, size, first_step=first_step, **options)
    return [{name: column.numpy() for name, column in batch.items()} for batch in dataset.take(number)]


def records(found: list[dict[str, Any]]) -> list[bytes]:
    return [record for batch in found for record in batch["serialized"]]


def stored(source: RecordSource) -> list[list[bytes]]:
    """The records of each bin."""
    return [[record.numpy() for record in tf.data.TFRecordDataset(list(group.paths))] for group in source.bins]


def test_batches_are_of_one_bin_and_every_bin_comes_as_often_as_it_is_large(binned: Any) -> None:
    found = batches(binned, 70)
    expected = stored(open_source(config_of(binned)))
    by_bin: dict[int, list[bytes]] = {0: [], 1: [], 2: []}
    for batch in found:
        assert len(set(batch["bin"])) == 1
        by_bin[int(batch["bin"][0])] += list(batch["serialized"])
    for number, read in by_bin.items():
        # Whatever is left of an epoch when its last batch is full begins the next one: nothing is lost or repeated.
        assert Counter(read[:160]) == Counter(expected[number])
        assert Counter(read[160:320]) == Counter(expected[number])
        assert read[:160] != read[160:320]
    # An epoch has ten batches of each bin, in an order that is drawn anew.
    orders = [[int(batch["bin"][0]) for batch in found[start : start + 30]] for start in (0, 30)]
    assert [Counter(order) for order in orders] == [Counter({0: 10, 1: 10, 2: 10})] * 2
    assert orders[0] != orders[1]


def test_bins_that_do_not_fill_their_batches(write_corpus: Any, tmp_path: Path) -> None:
    """33 examples a bin, 16 a batch: two batches in most epochs, three in every sixteenth."""
    corpus = write_corpus(tmp_path / "corpus", bins=BINS, train=(33,))
    found = batches(corpus, 99)
    counts = Counter(int(batch["bin"][0]) for batch in found)
    assert counts == {0: 33, 1: 33, 2: 33}
    assert set(Counter(records(found)).values()) == {16}


def test_epochs_are_counted(binned: Any) -> None:
    copies = Counter(record for group in stored(open_source(config_of(binned))) for record in group)
    times: Counter[bytes] = Counter()
    for batch in batches(binned, 65):
        for record, epoch in zip(batch["serialized"], batch["epoch"], strict=True):
            assert times[record] // copies[record] == epoch
            times[record] += 1


@pytest.mark.parametrize("step", [1, 29, 30, 31, 64, 100])
def test_going_on_from_a_step(binned: Any, step: int) -> None:
    whole, rest = batches(binned, step + 5), batches(binned, 5, first_step=step)
    for expected, found in zip(whole[step:], rest, strict=True):
        for name, column in expected.items():
            np.testing.assert_array_equal(found[name], column)


@pytest.mark.parametrize("first_step", [0, 13])
def test_batches_of_a_step_are_of_one_bin(binned: Any, first_step: int) -> None:
    """Replicas that share an input pipeline get the parts of what would be one larger batch."""
    parts = batches(binned, 20, size=8, batches_per_step=2, first_step=first_step)
    whole = batches(binned, 10, size=16, first_step=first_step)
    for step, batch in enumerate(whole):
        assert list(batch["serialized"]) == records(parts[2 * step : 2 * step + 2])
        assert {*parts[2 * step]["bin"], *parts[2 * step + 1]["bin"]} == set(batch["bin"])


@pytest.mark.parametrize("pipelines", [1, 2, 7])
def test_files_are_divided_evenly_and_without_overlap(write_corpus: Any, tmp_path: Path, pipelines: int) -> None:
    sizes = (9, 31, 4, 22, 17, 17, 8, 30, 12, 5)
    corpus = write_corpus(tmp_path / "corpus", train=sizes)
    group = open_source(config_of(corpus)).bins[0]
    shares = [share_of(group, pipelines, index, count=True) for index in range(pipelines)]
    assert sorted(path for share in shares for path in share.paths) == sorted(group.paths)
    assert sum(share.examples for share in shares) == sum(sizes)
    assert max(share.examples for share in shares) - min(share.examples for share in shares) <= max(sizes)
    for index, share in enumerate(shares):
        assert (share.pipelines, share.index) == (1, 0)
        # 3 batches a file at most: enough to have read all of the share, and no more than its own.
        read = set(records(batches(corpus, -(-share.examples // 4), size=4, pipelines=pipelines, index=index)))
        held = {record.numpy() for record in tf.data.TFRecordDataset(list(share.paths))}
        assert read == held


def test_examples_are_divided_where_files_are_too_few(tiny_corpus: Any) -> None:
    """Three files for four pipelines: each reads every fourth example of what one would read."""
    whole = records(batches(tiny_corpus, 30, size=16))
    for index in range(4):
        found = records(batches(tiny_corpus, 30, size=4, pipelines=4, index=index))
        assert found == whole[index::4]
        resumed = records(batches(tiny_corpus, 3, size=4, pipelines=4, index=index, first_step=27))
        assert resumed == found[4 * 27 :]


def test_pipelines_of_several_files_go_on_from_a_step(binned: Any) -> None:
    for index in range(2):
        whole = records(batches(binned, 50, size=8, pipelines=2, index=index))
        assert records(batches(binned, 9, size=8, pipelines=2, index=index, first_step=41)) == whole[8 * 41 :]


def test_origins_are_told(tiny_corpus: Any) -> None:
    plain = batches(tiny_corpus, 12)
    found = batches(tiny_corpus, 12, with_origin=True)
    assert records(found) == records(plain)
    held: dict[bytes, list[bytes]] = {}
    for batch in found:
        for path, number, record in zip(batch["origin_path"], batch["origin_record"], batch["serialized"], strict=True):
            if path not in held:
                held[path] = [item.numpy() for item in tf.data.TFRecordDataset(path.decode())]
            assert held[path][number] == record


def test_reading_once(binned: Any) -> None:
    source = open_source(config_of(binned))
    found = [batch["serialized"].numpy().tolist() for batch in read_once(source, 50)]
    assert [len(batch) for batch in found] == [50, 50, 50, 10] * 3
    assert [record for batch in found for record in batch] == [record for group in stored(source) for record in group]
    assert [len(batch["serialized"]) for batch in read_once(source, 50, drop_remainder=True)] == [50] * 9


@pytest.mark.parametrize("pipelines", [1, 2, 3])
def test_reading_once_by_several_pipelines(binned: Any, pipelines: int) -> None:
    source = open_source(config_of(binned))
    shares = [
        [record for batch in read_once(source, 7, pipelines, index) for record in batch["serialized"].numpy()]
        for index in range(pipelines)
    ]
    assert sorted(itertools.chain(*shares)) == sorted(itertools.chain(*stored(source)))
    assert max(map(len, shares)) - min(map(len, shares)) <= len(BINS)


def test_plain_files_are_counted(tiny_corpus: Any) -> None:
    paths = tuple(sorted(map(str, tiny_corpus.directory.glob("train-*"))))
    assert Bin(paths, tiny_corpus.spec).count() == (50, 70, 40)


def test_the_order_of_files_is_drawn_anew_in_every_epoch(write_corpus: Any, tmp_path: Path) -> None:
    """Files are read one after another, in blocks of one example, so that nothing but their order can change."""
    corpus = write_corpus(tmp_path / "corpus", train=(8,) * 8)
    config = config_of(corpus, shuffle_buffer_size=1, cycle_length=1)
    dataset = read_for_training(open_source(config), config, 8, first_step=0, with_origin=True)
    read = [batch["origin_path"].numpy().tolist() for batch in dataset.take(4 * 8)]
    orders = []
    for epoch in range(4):
        files = [path for batch in read[8 * epoch : 8 * epoch + 8] for path in batch]
        orders.append(list(dict.fromkeys(files)))
        assert files == [path for path in orders[-1] for _ in range(8)]
    assert len({tuple(order) for order in orders}) == 4


def test_the_order_within_a_block_is_drawn_anew_in_every_epoch_and_block(write_corpus: Any, tmp_path: Path) -> None:
    """One file, in blocks of twenty: where an example stands in its block, in each of four epochs."""
    corpus = write_corpus(tmp_path / "corpus", train=(60,))
    config = config_of(corpus, shuffle_buffer_size=20)
    dataset = read_for_training(open_source(config), config, 20, first_step=0, with_origin=True)
    orders = [batch["origin_record"].numpy().tolist() for batch in dataset.take(4 * 3)]
    for number, order in enumerate(orders):
        first = 20 * (number % 3)
        assert sorted(order) == list(range(first, first + 20))
    assert len({tuple(record % 20 for record in order) for order in orders}) == 12


def test_bins_of_several_sizes_keep_their_shares(binned: Any) -> None:
    """50 examples in one bin and 70 in the other, 16 a batch: over eight epochs 25 and 35 batches, none left over."""
    config = config_of(binned)
    source = open_source(config)
    bins = [
        dataclasses.replace(group, paths=group.paths[file : file + 1], file_examples=(size,))
        for group, file, size in zip(source.bins, (0, 1), (50, 70), strict=False)
    ]
    dataset = read_for_training(dataclasses.replace(source, bins=tuple(bins)), config, 16, first_step=0)
    assert Counter(int(batch["bin"][0]) for batch in dataset.take(60)) == {0: 25, 1: 35}
