"""Datasets of TensorFlow, of the batches that `pipeline.reader` reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.errors import ConfigError, CorpusError
from pipeline.reader.batches import SEQUENCES, TRIM_MULTIPLE, Batches, OrderedBatches, Reading, ShuffledBatches
from pipeline.reader.masks import corpus_policy
from pipeline.reader.mixture import example_shares
from pipeline.reader.source import RecordSource
from pipeline.reader.stages import Stage, StagedBatches
from pipeline.records.spec import NEXT_SENTENCE_FEATURES, RecordSpec
from pipeline.training.configs import DataConfig
from pipeline.training.data.limits import RecordLimits
from pipeline.training.data.masking_at_reading import build_masking, masking_rate
from pipeline.training.data.native_calls import called_by_tensorflow
from pipeline.training.data.source import open_sources
from pipeline.training.dataset_errors import records_error, remember_check
from pipeline.training.distribution import LOST_MACHINE
from pipeline.training.stages import first_steps

_FOREVER = 2**62
_STEPS_AHEAD = 8  # That are read from a store before they are wanted.


def build_dataset(
    config: DataConfig, input_context: Any = None, *, start_example: int = 0, limits: RecordLimits | None = None
) -> tf.data.Dataset:
    """Builds a dataset of batches.

    In training, epochs follow one another without end, in an order that is a function of the records and the seed: see
    `pipeline.reader.order`. Otherwise every example comes once, in order. A batch of a corpus with bins of lengths is
    of one bin.

    Examples without a mask get theirs here: in training another one in each epoch, else always the same.

    Args:
        config: what to read and how.
        input_context: of `tf.distribute`. Each input pipeline gets its part of the batch that one pipeline would read.
        start_example: training only: how many examples to skip, to continue where a run stopped: those of all batches
            before; with batches of one size, a multiple of it.
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
    if not config.is_training:
        if config.stages:
            raise ConfigError("stages can only be used for training", received="is_training false", do="Leave them out")
        parts = Parts.of(config.global_batch_size, input_context)
        batches = _in_order(open_sources(config), config, limits, drop_remainder=bool(config.drop_remainder))
        return _dataset(batches, parts)
    staged = training_batches(config, limits)
    for size in set(staged.sizes.sizes):
        parts = Parts.of(size, input_context)
    first_step = staged.sizes.steps_within(start_example)
    if staged.sizes.examples_before(first_step) != start_example:
        raise ConfigError(
            "start_example must be the number of examples in all earlier batches: with batches of one size, a"
            f" multiple of these {staged.sizes.at(first_step)}",
            received=start_example,
        )
    return _dataset(staged, parts, first_step=first_step)


def training_batches(config: DataConfig, limits: RecordLimits | None = None) -> StagedBatches:
    """The batches of every step of training, in plain Python; one stage where the configuration has none.

    Raises:
        As `build_dataset`.
    """
    opened: dict[DataConfig, tuple[Any, ...]] = {}  # What several stages read, once.
    stages = []
    for first_step, batch_size, data in _stages(config):
        if data not in opened:
            sources = open_sources(data)
            weights = example_shares(sources, data.weights)
            opened[data] = (tuple(sources), tuple(weights), _reading(sources, data, limits, training=True))
        stages.append(Stage(first_step, batch_size, *opened[data]))
    return StagedBatches(stages, seed=config.seed or 0, window=config.shuffle_buffer_size)


def _stages(config: DataConfig) -> Iterator[tuple[int, int, DataConfig]]:
    """The first step of each stage, its batch size, and what it reads; without stages, there is one."""
    data = dataclasses.replace(config, stages=())
    if not config.stages:
        yield 0, config.global_batch_size, data
        return
    for first_step, stage in zip(first_steps(config.stages), config.stages, strict=True):
        own: dict[str, Any] = {"input_path": stage.input_path, "weights": stage.weights} if stage.input_path else {}
        yield first_step, stage.global_batch_size or config.global_batch_size, dataclasses.replace(data, **own)


def shuffled(sources: Sequence[RecordSource], config: DataConfig, reading: Reading | None = None) -> ShuffledBatches:
    """The examples of `sources` in the order of training."""
    return ShuffledBatches(
        sources,
        config.global_batch_size,
        seed=config.seed or 0,
        weights=example_shares(sources, config.weights),
        window=config.shuffle_buffer_size,
        reading=reading or Reading(),
    )


def read_in_order(sources: Sequence[RecordSource], config: DataConfig) -> tf.data.Dataset:
    """Batches of every example of `sources` once, in order; `config` gives their size and how masks are drawn."""
    return _dataset(_in_order(sources, config, None), Parts())


def readable(batches: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yields the batches of a dataset.

    Raises:
        CorpusError: if a record is damaged or not as expected. If the dataset is one of `build_dataset`, the message
            names the record; otherwise, every `tf.errors.OpError` is taken for a damaged record.
        InputError: if a file of a dataset of `build_dataset` cannot be read.
        tf.errors.OpError: if a dataset of `build_dataset` fails for another reason, as in a function mapped over it.
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


def _in_order(
    sources: Sequence[RecordSource], config: DataConfig, limits: RecordLimits | None, *, drop_remainder: bool = False
) -> OrderedBatches:
    size = config.global_batch_size
    most = max(group.examples for source in sources for group in source.bins)
    if drop_remainder and most < size:
        raise ConfigError(
            f"With drop_remainder, a batch must not be larger than the number of examples, {most:,}",
            received=size,
            do="Lower global_batch_size, or leave drop_remainder out of the configuration",
        )
    reading = _reading(sources, config, limits, training=False)
    return OrderedBatches(sources, size, drop_remainder=drop_remainder, reading=reading)


def _reading(
    sources: Sequence[RecordSource], config: DataConfig, limits: RecordLimits | None, *, training: bool
) -> Reading:
    for source in sources:
        limits = (limits or RecordLimits()).for_source(source)
    known = limits or RecordLimits()
    rate = None
    manifest = sources[0].manifest
    if not sources[0].spec.masked and manifest and (config.masked_lm_prob or config.final_masked_lm_prob):
        rate = masking_rate(config, corpus_policy(manifest).masked_lm_prob)
        if not training:  # The data for evaluation stay as they are at the start.
            first = rate(0)
            rate = lambda step: first  # noqa: E731
    return Reading(
        trim=config.trim,
        without=NEXT_SENTENCE_FEATURES if config.use_next_sentence_label is False else (),
        positions=config.use_position_id,
        masks=[build_masking(source, config) for source in sources],
        masked_lm_prob=rate,
        ranges=lambda source, spec: known.ranges(spec),
    )


@dataclass(frozen=True)
class Parts:
    """Which parts of each step's batch an input pipeline reads.

    Attributes:
        number: the parts of a batch.
        first: the first of the pipeline's own.
        own: how many these are, one after the other.
    """

    number: int = 1
    first: int = 0
    own: int = 1

    @staticmethod
    def of(global_batch_size: int, input_context: Any) -> Parts:
        """Divides a batch among the replicas of an `InputContext` of `tf.distribute`; None for one replica.

        Raises:
            ConfigError: if it cannot be divided.
        """
        if input_context is None:
            return Parts()
        pipelines = input_context.num_input_pipelines
        own = max(1, input_context.num_replicas_in_sync // pipelines)
        if global_batch_size % (pipelines * own):
            raise ConfigError(
                f"global_batch_size must be a multiple of the {pipelines * own} replicas", received=global_batch_size
            )
        return Parts(pipelines * own, input_context.input_pipeline_id * own, own)


def _dataset(batches: OrderedBatches | StagedBatches, parts: Parts, *, first_step: int = 0) -> tf.data.Dataset:
    """A dataset of parts of batches, from a step on: in training without end."""
    size = None
    if isinstance(batches, StagedBatches) and len(set(batches.sizes.sizes)) == 1:
        size = batches.sizes.largest // parts.number
    signature = batches.signature()
    faults: list[Exception] = []

    def read(index: np.ndarray) -> tuple[np.ndarray, ...]:
        step, part = divmod(int(index), parts.own)
        number = parts.first + part
        try:
            if isinstance(batches, StagedBatches) or step + _STEPS_AHEAD < len(batches):
                batches.read_ahead(step + _STEPS_AHEAD, number, parts.number)
            columns = batches.read(step, batches.slots(step).part(number, parts.number))
        except Exception as error:
            faults.append(error)
            raise
        return tuple(columns[name] for name in signature)

    def tensors(number: Any) -> dict[str, Any]:
        dtypes = [tf.dtypes.as_dtype(dtype) for dtype, _ in signature.values()]
        outputs = tf.numpy_function(called_by_tensorflow(read), [number], dtypes, stateful=False)
        columns = dict(zip(signature, outputs, strict=True))
        for name, (_, length) in signature.items():
            columns[name].set_shape([size, length])
        return columns

    def check() -> None:
        if not faults:
            return
        if isinstance(faults[0], CorpusError):
            raise CorpusError(f"A record cannot be read: {faults[0]}") from faults[0]
        raise faults[0]  # A file that cannot be read says so itself; any other exception is not about the records.

    last = _FOREVER if isinstance(batches, StagedBatches) else len(batches) * parts.own
    numbers = tf.data.Dataset.range(first_step * parts.own, last)
    dataset = numbers.map(tensors, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)
    return remember_check(dataset, check)


def serialized_records(batches: Batches, parts: Parts) -> tf.data.Dataset:
    """Examples as they are stored, one by one: scalar strings; of shuffled batches without end."""

    def read(number: np.ndarray) -> np.ndarray:
        slots = batches.slots(int(number)).part(parts.first // parts.own, parts.number // parts.own)
        return np.array(batches.serialized(slots), object)

    def tensors(number: Any) -> Any:
        records = tf.numpy_function(called_by_tensorflow(read), [number], tf.string, stateful=False)
        return tf.ensure_shape(records, [None])

    last = _FOREVER if isinstance(batches, ShuffledBatches) else len(batches)
    steps = tf.data.Dataset.range(last).map(tensors, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return steps.unbatch()


def trim(batch: dict[str, Any], pad_id: int | None = None) -> dict[str, Any]:
    """Cuts the sequences where all that follows is padding; without an `input_mask`, `pad_id` marks padding.

    Nothing moves: padding before a token, or between two, stays.
    """
    real = batch["input_mask"] if pad_id is None else batch["input_word_ids"] != pad_id
    longest = tf.maximum(tf.reduce_max(extents(real)), 1)  # A model always pools one token.
    if "masked_lm_positions" in batch:  # Predictions, if damaged ones, at padding.
        positions = tf.where(batch["masked_lm_weights"] > 0, batch["masked_lm_positions"], 0)
        longest = tf.maximum(longest, tf.reduce_max(positions) + 1)
    longest = -(-longest // TRIM_MULTIPLE) * TRIM_MULTIPLE
    return {name: tensor[:, :longest] if name in SEQUENCES else tensor for name, tensor in batch.items()}


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
