"""Batches from TFRecords: parsed, trimmed, and masked where the records hold no mask."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from pipeline.errors import ConfigError
from pipeline.records.decoding import parsing_features
from pipeline.records.spec import RecordSpec
from pipeline.training.configs import DataConfig
from pipeline.training.data.faults import RecordLimits, check_records, check_values
from pipeline.training.data.masking_at_reading import build_masking, corpus_policy, masking_rate
from pipeline.training.data.order import read_for_training, read_once
from pipeline.training.data.source import RecordSource, open_source
from pipeline.training.dataset_errors import records_error, remember_check
from pipeline.training.distribution import LOST_MACHINE

_TRIM_MULTIPLE = 8  # Lengths that matrix kernels like.
_SEQUENCES = ("input_word_ids", "input_mask", "input_type_ids", "word_starts", "position_ids")


def build_dataset(
    config: DataConfig,
    input_context: Any = None,
    *,
    start_example: int = 0,
    with_origin: bool = False,
    limits: RecordLimits | None = None,
) -> tf.data.Dataset:
    """Builds a dataset of batches.

    In training, epochs follow one another without end; in each the order of the files is drawn
    anew and examples are shuffled within blocks, both decided by the seed and the epoch alone.
    Otherwise every example comes once, in order. A batch of a corpus with bins of lengths is of one bin.

    Examples without a mask get theirs here: in training another one in each epoch, else always the same.

    Args:
        config: what to read and how.
        input_context: of `tf.distribute`; divides the files, or where there are too few of them the
            examples, among input pipelines.
        start_example: training only: how many examples to skip, to continue where a run stopped; a
            multiple of the global batch's.
        with_origin: training only: whether to add `origin_path`, string `[batch]`, and `origin_record`,
            int64 `[batch]`: the file that an example comes from, and which of its records it is, from 0.
        limits: what a model has room for; a batch of records that are beyond it cannot be read.

    Returns:
        Batches: dictionaries by v2 feature names, int32 and float32, `[batch, length]`. With
        `config.trim` the sequences are cut after the longest one's last token.

    Raises:
        InputError: if nothing is found.
        ConfigError: if a batch cannot be divided among replicas, or `config` contradicts itself.
        CorpusError: if the records are damaged, other than `config` expects, or beyond `limits`.
    """
    if config.input_path == "dummy":
        return _dummy_dataset(config)
    source = open_source(config)
    limits = (limits or RecordLimits()).for_source(source)
    batch_size, pipelines, index, batches_per_step = batches_of_pipeline(config.global_batch_size, input_context)
    if not config.is_training:
        drop = bool(config.drop_remainder)
        batches = read_once(source, batch_size, pipelines, index, drop_remainder=drop)
        return _at_step_0(batches, source, config, limits)
    first_step, rest = divmod(start_example, config.global_batch_size)
    if rest:
        raise ConfigError(
            f"start_example must be a multiple of the global batch's {config.global_batch_size} examples",
            received=start_example,
        )
    batches = read_for_training(
        source,
        config,
        batch_size,
        first_step=first_step,
        pipelines=pipelines,
        index=index,
        batches_per_step=batches_per_step,
        with_origin=with_origin,
    )
    finish = _finisher(source, config, limits)
    parsed = batches.enumerate(first_step * batches_per_step).map(
        lambda number, batch: finish(batch, number // batches_per_step),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return remember_check(parsed.prefetch(2), functools.partial(check_records, source, limits))


def read_in_order(source: RecordSource, config: DataConfig) -> tf.data.Dataset:
    """Batches of every example of `source` once, in order; `config` gives their size and how masks are drawn."""
    limits = RecordLimits().for_source(source)
    return _at_step_0(read_once(source, config.global_batch_size), source, config, limits)


def readable(batches: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The batches of a dataset, one after another.

    Raises:
        CorpusError: where a record cannot be read; it names the record, if `build_dataset` made the dataset.
    """
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except (tf.errors.ResourceExhaustedError, *LOST_MACHINE):
            raise
        except (tf.errors.OpError, UnicodeDecodeError) as error:  # The latter where TensorFlow quotes what it read.
            raise records_error(batches, error) from error
        yield batch


def _at_step_0(
    batches: tf.data.Dataset, source: RecordSource, config: DataConfig, limits: RecordLimits
) -> tf.data.Dataset:
    """Batches as they would be at the start of training: the data for evaluation stay the same."""
    finish = _finisher(source, config, limits)
    parsed = batches.map(lambda batch: finish(batch, 0), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return remember_check(parsed.prefetch(2), functools.partial(check_records, source, limits))


def batches_of_pipeline(global_batch_size: int, input_context: Any) -> tuple[int, int, int, int]:
    """How a global batch is divided.

    Args:
        global_batch_size: its examples.
        input_context: of `tf.distribute`, or None.

    Returns:
        Examples of a batch, the number of input pipelines, which of them this is, and its batches for a step.

    Raises:
        ConfigError: if the batch cannot be divided among replicas.
    """
    if input_context is None:
        return global_batch_size, 1, 0, 1
    pipelines = input_context.num_input_pipelines
    batches_per_step = max(1, input_context.num_replicas_in_sync // pipelines)
    batch_size = _per_replica(global_batch_size, pipelines * batches_per_step)
    return batch_size, pipelines, input_context.input_pipeline_id, batches_per_step


def _per_replica(global_batch_size: int, replicas: int) -> int:
    if global_batch_size % replicas:
        raise ConfigError(
            f"global_batch_size must be a multiple of the {replicas} replicas", received=global_batch_size
        )
    return global_batch_size // replicas


def _finisher(
    source: RecordSource, config: DataConfig, limits: RecordLimits
) -> Callable[[Mapping[str, Any], Any], dict[str, Any]]:
    """Makes the function that turns a batch of serialised examples, read at some step, into tensors."""
    maskings = build_masking(source, config)
    rate = masking_rate(config, corpus_policy(source.manifest).masked_lm_prob) if maskings and source.manifest else None

    def finish_bin(number: int, batch: Mapping[str, Any], step: Any) -> dict[str, Any]:
        parsed = _parse(batch["serialized"], source.bins[number].spec, limits, positions=config.use_position_id)
        if config.trim:
            parsed = trim(parsed, pad_id=maskings[number].pad_id if maskings else None)
        if maskings and rate:
            parsed = maskings[number](parsed, batch["serialized"], batch["epoch"], rate(step))
        return parsed

    def finish(batch: Mapping[str, Any], step: Any) -> dict[str, Any]:
        if len(source.bins) == 1:
            parsed = finish_bin(0, batch, step)
        else:
            branches = [lambda number=number: finish_bin(number, batch, step) for number in range(len(source.bins))]
            parsed = tf.switch_case(tf.cast(batch["bin"][0], tf.int32), branches)
        return parsed | {name: value for name, value in batch.items() if name.startswith("origin_")}

    return finish


def _parse(serialized: Any, spec: RecordSpec, limits: RecordLimits, *, positions: bool) -> dict[str, Any]:
    """Parses a batch of serialised examples at once, with the ids of their positions if these are wanted."""
    features = parsing_features(spec)
    if positions:
        features["position_ids"] = tf.io.FixedLenFeature([spec.max_seq_length], tf.int64)
    parsed = tf.io.parse_example(serialized, features)
    v2_spec = dataclasses.replace(spec, feature_names="v2")
    columns = {v2.name: parsed[stored.name] for v2, stored in zip(v2_spec.features, spec.features, strict=True)}
    check_values(columns, limits.ranges(spec))
    if positions:
        columns["position_ids"] = parsed["position_ids"]
    # Accelerators know int32 only.
    return {name: tf.cast(column, tf.int32) if column.dtype == tf.int64 else column for name, column in columns.items()}


def trim(batch: dict[str, Any], pad_id: int | None = None) -> dict[str, Any]:
    """Cuts the sequences where all that follows is padding; without an `input_mask`, `pad_id` marks padding.

    Nothing moves: padding before a token, or between two, stays.
    """
    real = batch["input_mask"] if pad_id is None else batch["input_word_ids"] != pad_id
    longest = tf.maximum(tf.reduce_max(extents(real)), 1)  # A model always pools one token.
    if "masked_lm_positions" in batch:  # Predictions, if damaged ones, at padding.
        positions = tf.where(batch["masked_lm_weights"] > 0, batch["masked_lm_positions"], 0)
        longest = tf.maximum(longest, tf.reduce_max(positions) + 1)
    longest = -(-longest // _TRIM_MULTIPLE) * _TRIM_MULTIPLE
    return {name: tensor[:, :longest] if name in _SEQUENCES else tensor for name, tensor in batch.items()}


def extents(mask: Any) -> Any:
    """How far the real tokens of each example reach.

    Args:
        mask: `[batch, length]`, boolean or a number, not 0 where there is a token.

    Returns:
        int32 `[batch]`: the last token's position and one, or 0 where there is none.
    """
    places = tf.range(1, tf.shape(mask)[1] + 1)
    return tf.reduce_max(tf.where(tf.cast(mask, tf.bool), places, 0), axis=1)


def _dummy_dataset(config: DataConfig) -> tf.data.Dataset:
    """Batches of one example of zeros, without end, as tensorflow/models' "dummy"."""
    if config.seq_length is None or config.max_predictions_per_seq is None:
        raise ConfigError('The input_path "dummy" needs a seq_length and a max_predictions_per_seq')
    spec = RecordSpec(config.seq_length, config.max_predictions_per_seq)
    example = {
        feature.name: tf.zeros([1, feature.length], tf.float32 if feature.dtype == "float32" else tf.int32)
        for feature in spec.features
    }
    return tf.data.Dataset.from_tensors(example).repeat()
