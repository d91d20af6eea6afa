"""The order in which examples are read: decided by a seed, shared among input pipelines, resumed from any step.

Every function of an epoch here is one of its arguments alone: no shuffle buffer has to be saved, and a run that
continues reads what it would have read. (`Dataset.shuffle` would not do: its order also depends on TensorFlow's global
seed.)
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.training.configs import DataConfig
from pipeline.training.data.files import serialized_records
from pipeline.training.data.source import Bin, RecordSource

_NEVER = 2**40  # Epochs: more than will ever be trained.
_FILES, _BATCHES = -1, -2  # In the place of a block's index: the order of the files, and that of the batches.


@dataclass(frozen=True)
class Share:
    """What one of several input pipelines reads of a bin.

    Whole files, where there are enough of them; else every nth example of all files.

    Attributes:
        paths: the files.
        examples: examples in them; 0 where nobody has to know.
        pipelines: how many read these files, each another part of them.
        index: which of these this one is.
    """

    paths: tuple[str, ...]
    examples: int
    pipelines: int = 1
    index: int = 0


def share_of(group: Bin, pipelines: int, index: int, *, count: bool) -> Share:
    """Divides the files of a bin among input pipelines, as evenly as whole files can be.

    Args:
        group: the bin.
        pipelines: how many input pipelines there are.
        index: which of them to give the share of.
        count: whether the examples must be known, which takes reading plain files.
    """
    if pipelines == 1:
        return Share(group.paths, sum(group.count()) if count or group.file_examples else 0)
    counts = group.count()
    if len(group.paths) < pipelines:
        return Share(group.paths, sum(counts), pipelines, index)
    # The largest file left goes to the pipeline that has least: at most a file's examples too many (Graham, 1969).
    totals = [0] * pipelines
    owner = [0] * len(counts)
    for file in sorted(range(len(counts)), key=lambda file: (-counts[file], file)):
        owner[file] = min(range(pipelines), key=lambda pipeline: (totals[pipeline], pipeline))
        totals[owner[file]] += counts[file]
    paths = tuple(path for path, pipeline in zip(group.paths, owner, strict=True) if pipeline == index)
    return Share(paths, totals[index])


def read_once(
    source: RecordSource, batch_size: int, pipelines: int = 1, index: int = 0, *, drop_remainder: bool = False
) -> tf.data.Dataset:
    """Every example once, in order, in batches of one bin each.

    Args:
        source: the files.
        batch_size: examples of a batch; the last one of a bin may have fewer.
        pipelines: how many input pipelines there are.
        index: which of them to read for: every nth example.
        drop_remainder: whether to leave such a last batch out.

    Returns:
        Dictionaries of `serialized`, string `[batch]`; `epoch`, int64 `[batch]` of zeros; and `bin`, int64 `[batch]`,
        the number of the bin.

    Raises:
        ConfigError: if no batch would be left.
    """
    most = max(sum(group.file_examples or (batch_size * pipelines,)) for group in source.bins)
    if drop_remainder and most // pipelines < batch_size:
        raise ConfigError(
            f"With drop_remainder, a batch must be no larger than the {most:,} examples that there are",
            received=batch_size * pipelines,
            do="Lower global_batch_size, or leave drop_remainder out of the configuration",
        )
    batches = None
    for number, group in enumerate(source.bins):
        records = serialized_records(list(group.paths), source.compression, like=group.paths)
        if pipelines > 1:
            records = records.shard(pipelines, index)
        of_bin = records.batch(batch_size, drop_remainder=drop_remainder).map(
            lambda serialized, number=number: {
                "serialized": serialized,
                "epoch": tf.zeros(tf.shape(serialized), tf.int64),
                "bin": tf.fill(tf.shape(serialized), tf.constant(number, tf.int64)),
            }
        )
        batches = of_bin if batches is None else batches.concatenate(of_bin)
    return batches


def read_for_training(
    source: RecordSource,
    config: DataConfig,
    batch_size: int,
    *,
    first_step: int,
    pipelines: int = 1,
    index: int = 0,
    batches_per_step: int = 1,
    with_origin: bool = False,
) -> tf.data.Dataset:
    """Epoch after epoch without end, shuffled, in full batches of one bin each.

    In each epoch, the files are read in a new order, and examples are shuffled within blocks of
    `config.shuffle_buffer_size`. A batch that the end of an epoch leaves incomplete continues in the next epoch. The
    batches of several bins are mixed, and each bin has as many as it has examples for.

    Args:
        source: the files.
        config: the seed, and how much to shuffle.
        batch_size: examples of a batch.
        first_step: the step of training to begin with.
        pipelines: how many input pipelines there are.
        index: which of them to read for.
        batches_per_step: batches that this pipeline gives for a step of training, all of one bin.
        with_origin: whether to add where each example comes from.

    Returns:
        As `read_once`; `epoch` is how many times each example was read before. With origin, also `origin_path`,
        string `[batch]`, and `origin_record`, int64 `[batch]`: the file, and the record in it, from 0.
    """
    seed = config.seed or 0
    count = first_step > 0 or len(source.bins) > 1
    shares = [share_of(group, pipelines, index, count=count) for group in source.bins]
    # Examples that a step takes from a share: the whole step's, where pipelines divide the share among them.
    of_step = [batch_size * batches_per_step * share.pipelines for share in shares]
    epoch, passed = 0, [first_step]
    if len(shares) > 1:
        epoch, passed = _place(first_step, shares, of_step, seed)
    streams = [
        _stream(share, source.compression, config, number, passed[number] * of_step[number], with_origin).rebatch(
            batch_size, drop_remainder=True
        )
        for number, share in enumerate(shares)
    ]
    if len(streams) == 1:
        return streams[0]

    def bins(epoch: Any) -> tf.data.Dataset:
        order = _bins_of_epoch(epoch, shares, of_step, seed)
        return tf.data.Dataset.from_tensor_slices(tf.repeat(order, batches_per_step))

    since = first_step - _steps_before(epoch, shares, of_step)
    order = tf.data.Dataset.range(epoch, _NEVER).flat_map(bins).skip(since * batches_per_step)
    return tf.data.Dataset.choose_from_datasets(streams, order)


def _stream(
    share: Share, compression: str, config: DataConfig, number: int, passed: int, with_origin: bool
) -> tf.data.Dataset:
    """The shuffled examples of a bin, epoch after epoch, in pieces of some size, from the example `passed` on."""
    seed, block_size = config.seed or 0, config.shuffle_buffer_size
    first_epoch, skipped = divmod(passed, share.examples) if passed else (0, 0)

    def one_epoch(epoch: Any) -> tf.data.Dataset:
        files = tf.data.Dataset.from_tensor_slices(_shuffle(share.paths, seed, epoch, _FILES))
        records = files.interleave(
            lambda path: _records(path, compression, share.paths, with_origin),
            cycle_length=min(config.cycle_length, len(share.paths)),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return records.batch(block_size).enumerate().map(lambda block, records: (epoch, block, records))

    def shuffled(epoch: Any, block: Any, records: Any) -> dict[str, Any]:
        records = records if with_origin else {"serialized": records}
        size = tf.shape(records["serialized"], tf.int64)[0]
        order = _shuffle(tf.range(size), seed, epoch, block)
        # Of the examples' places since the first epoch began: from `passed` on, those that are this pipeline's.
        first = epoch * share.examples + block * block_size
        start = tf.maximum(tf.constant(passed, tf.int64) - first, 0)
        start += (share.index - (first + start)) % share.pipelines
        order = order[start :: share.pipelines]
        return {
            **{name: tf.gather(column, order) for name, column in records.items()},
            "epoch": tf.fill(tf.shape(order), epoch),
            "bin": tf.fill(tf.shape(order), tf.constant(number, tf.int64)),
        }

    # Blocks that were passed are read, but not shuffled.
    blocks = tf.data.Dataset.range(first_epoch, _NEVER).flat_map(one_epoch).skip(skipped // block_size)
    return blocks.map(shuffled, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _records(path: Any, compression: str, like: Sequence[str], with_origin: bool) -> tf.data.Dataset:
    records = serialized_records(path, compression, like=like)
    if not with_origin:
        return records
    return records.enumerate().map(
        lambda number, serialized: {"serialized": serialized, "origin_path": path, "origin_record": number}
    )


def _shuffle(values: Any, seed: int, epoch: Any, purpose: Any) -> Any:
    """`values` in an order that the arguments alone decide."""
    key = tf.random.fold_in(tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)]), purpose)
    return tf.random.experimental.stateless_shuffle(values, seed=key)


# === The batches of several bins ===


def _steps_before(epoch: int, shares: Sequence[Share], of_step: Sequence[int]) -> int:
    """Steps of the epochs before `epoch`."""
    return sum(epoch * share.examples // examples for share, examples in zip(shares, of_step, strict=True))


def _bins_of_epoch(epoch: Any, shares: Sequence[Share], of_step: Sequence[int], seed: int) -> Any:
    """The bin of each step of an epoch: int64 `[steps]`."""
    sizes, examples = (tf.constant(values, tf.int64) for values in ([share.examples for share in shares], of_step))
    epoch = tf.cast(epoch, tf.int64)
    steps = (epoch + 1) * sizes // examples - epoch * sizes // examples
    return _shuffle(tf.repeat(tf.range(len(shares), dtype=tf.int64), steps), seed, epoch, _BATCHES)


def _place(step: int, shares: Sequence[Share], of_step: Sequence[int], seed: int) -> tuple[int, list[int]]:
    """The epoch that a step is in, and how many steps before it were each bin's."""
    most = (step + 1) * max(of_step) // max(share.examples for share in shares) + 2
    epoch = bisect.bisect_right(range(most), step, key=lambda epoch: _steps_before(epoch, shares, of_step)) - 1
    bins = _bins_of_epoch(epoch, shares, of_step, seed).numpy()[: step - _steps_before(epoch, shares, of_step)]
    since = np.bincount(bins, minlength=len(shares))
    return epoch, [
        epoch * share.examples // examples + int(steps)
        for share, examples, steps in zip(shares, of_step, since, strict=True)
    ]
