"""Batches of examples: every step's, at any time, by its number."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.compiling import READING_LOOPS, compile_loops
from pipeline.errors import ConfigError
from pipeline.reader.bin_reader import BinReader, Places
from pipeline.reader.decoding import Decoder
from pipeline.reader.masks import ReadingMasks
from pipeline.reader.order import LANES, Order, Turns, width_of
from pipeline.reader.sizes import BatchSizes
from pipeline.reader.source import RecordSource
from pipeline.records.decoding import Range, value_ranges
from pipeline.records.spec import Feature, RecordSpec
from pipeline.seeding import generator

DEFAULT_WINDOW = 32_768
_MOST_TOKENS_OF_WINDOW = 1 << 23
_WINDOW_IN_ORDER = 1024
TRIM_MULTIPLE = 8  # Lengths that matrix kernels like.
SEQUENCES = (
    "input_word_ids",
    "input_mask",
    "input_type_ids",
    "input_sequence_ids",
    "word_starts",
    "position_ids",
)
PREDICTIONS = ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


def check_batch_size(batch_size: int) -> None:
    """Checks a number of examples.

    Raises:
        ConfigError: if it is not an integer above 0.
    """
    if batch_size != int(batch_size) or batch_size < 1:
        raise ConfigError("A batch must have at least one example", received=batch_size)


Ranges = Callable[[RecordSource, RecordSpec], dict[str, Range]]


def default_ranges(source: RecordSource, spec: RecordSpec) -> dict[str, Range]:
    """Returns what the values of examples may be, as far as the corpus knows."""
    return value_ranges(spec, vocab_size=source.manifest.tokenizer.vocab_size if source.manifest else None)


class Slots(NamedTuple):
    """The examples of a step, or of a part of it; all of one bin.

    Attributes:
        bin: the number of the bin.
        sources: int64 `[n]`, the source of each.
        epochs: int64 `[n]`, how many times each was read before.
        places: where each is stored in its source.
    """

    bin: int
    sources: np.ndarray
    epochs: np.ndarray
    places: Places

    def take(self, indices: np.ndarray | slice) -> Slots:
        """Returns some of them."""
        return Slots(self.bin, self.sources[indices], self.epochs[indices], self.places.take(indices))

    def part(self, number: int, of: int) -> Slots:
        """Returns one of several parts of a batch, as equal as they can be, by its number from 0."""
        begin, end = (part * len(self.sources) // of for part in (number, number + 1))
        return self.take(slice(begin, end))


@dataclass(frozen=True)
class Reading:
    """How examples become batches.

    Attributes:
        trim: whether sequences are cut behind the last token of the longest one, to a multiple of 8. Packed rows are
            full, and keep their one shape.
        without: v2 names of features to leave out.
        positions: whether to read `position_ids`, which records of other tools may hold.
        masks: what masks the examples of each source and bin, where they have no masks.
        masked_lm_prob: the share of tokens that these predict at a step; None for the corpus's.
        ranges: what values may be.
    """

    trim: bool = True
    without: tuple[str, ...] = ()
    positions: bool = False
    masks: Sequence[Sequence[ReadingMasks] | None] = ()
    masked_lm_prob: Callable[[int], float] | None = None
    ranges: Ranges = default_ranges


class Batches(Sequence[dict[str, np.ndarray]]):
    """The batches of a corpus, or of a mixture of several: `batches[step]`; subclasses say which examples a step has.

    A batch is a dictionary by v2 feature names, of int32 and float32 arrays `[batch_size, length]`.

    Args:
        sources: the corpora; all of the same shapes.
        batch_size: examples of a batch, at most.
        window: examples that are read at about the same time, for each bin.
        reading: how examples become batches.
        numbers: the number of each source in the seeds of masks; by default, its place among the sources.
    """

    def __init__(
        self,
        sources: Sequence[RecordSource],
        batch_size: int,
        window: Callable[[RecordSpec], int],
        reading: Reading,
        numbers: Sequence[int] | None = None,
    ) -> None:
        compile_loops(READING_LOOPS)
        self.sources = tuple(sources)
        self.batch_size = batch_size
        self._numbers = tuple(range(len(sources)) if numbers is None else numbers)
        self._reading = reading
        self._readers = [
            [self._reader(source, number, window) for source in sources] for number in range(len(sources[0].bins))
        ]

    def _reader(self, source: RecordSource, number: int, window: Callable[[RecordSpec], int]) -> BinReader:
        group, reading = source.bins[number], self._reading
        ranges = reading.ranges(source, group.spec)
        extra = [Feature("position_ids", "int64", group.spec.max_seq_length)] if reading.positions else []
        decoder = Decoder(group.spec, ranges, without=reading.without, extra=extra)
        # The window of a step, the next one, and those that steps read at the same time may be in.
        return BinReader(group, decoder, ranges, 2 + 4 * self.batch_size // window(group.spec))

    def slots(self, step: int) -> Slots:
        """Returns which examples a step has, in the order of its batch.

        Args:
            step: the number of the step, in `[0, len(self))`.

        Raises:
            NotImplementedError: in this class; subclasses implement it.
        """
        raise NotImplementedError

    def signature(self) -> dict[str, tuple[str, int | None]]:
        """Returns the dtype of each feature of a batch, and its length; None where batches have several."""
        source, reading = self.sources[0], self._reading
        found: dict[str, tuple[str, int | None]] = {}
        spec = dataclasses.replace(source.spec, feature_names="v2", masked=True)
        for feature in spec.features:
            found[feature.name] = ("int32" if feature.dtype == "int64" else feature.dtype, feature.length)
        if not source.spec.masked:
            room = self._masks(0, len(source.bins) - 1).policy.max_predictions_per_seq
            found |= {name: (found[name][0], room) for name in PREDICTIONS}
        if reading.positions:
            found["position_ids"] = ("int32", source.spec.max_seq_length)
        varying: tuple[str, ...] = SEQUENCES if reading.trim and not spec.packed else ()
        if len(source.bins) > 1:
            varying = (*SEQUENCES, *PREDICTIONS)
        return {
            name: (dtype, None if name in varying else length)
            for name, (dtype, length) in found.items()
            if name not in reading.without
        }

    def __getitem__(self, step: Any) -> Any:
        """Reads the batch of a step.

        Raises:
            IndexError: for a step that is not there.
            CorpusError: if a record is damaged, or not what it must be; it is named.
        """
        if isinstance(step, slice):
            return [self[number] for number in range(*step.indices(len(self)))]
        number = step + len(self) if step < 0 else step
        if not 0 <= number < len(self):
            raise IndexError(f"Step {step:,} does not exist: there are {len(self):,} steps, counted from 0.")
        return self.read(int(number), self.slots(int(number)))

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return self.iterator()

    def iterator(self, step: int = 0) -> BatchIterator:
        """Returns an iterator that begins with a step, and whose state can be saved.

        Args:
            step: the number of the step, at least 0.

        Raises:
            IndexError: for a step below 0.
        """
        if step < 0:
            raise IndexError(f"`step` must be at least 0. Received: {step:,}.")
        return BatchIterator(self, step)

    def read(self, step: int, slots: Slots) -> dict[str, np.ndarray]:
        """Reads examples of a step, all or some.

        Args:
            step: the number of the step.
            slots: the examples, as `slots` returns them, or a part of them (`Slots.part`).

        Returns:
            Int32 and float32 arrays `[examples, length]`, by v2 feature name.

        Raises:
            CorpusError: if a record is damaged.
        """
        columns = self._columns(slots)
        spec = self.sources[0].bins[slots.bin].spec
        if self._reading.trim and not spec.packed:
            pad_id = None if spec.masked else self._masks(0, slots.bin).pad_id
            columns = _trimmed(columns, pad_id)
        if spec.masked:
            return columns
        share = self._reading.masked_lm_prob
        return self._masked(columns, slots, None if share is None else share(step))

    def _columns(self, slots: Slots) -> dict[str, np.ndarray]:
        readers = self._readers[slots.bin]
        if len(readers) == 1:
            return readers[0].read(slots.places)
        parts = [(rows, readers[source].read(slots.places.take(rows))) for source, rows in _by_source(slots)]
        columns = {}
        for name, column in parts[0][1].items():
            columns[name] = np.empty((len(slots.sources), column.shape[1]), column.dtype)
            for rows, part in parts:
                columns[name][rows] = part[name]
        return columns

    def _masked(self, columns: dict[str, np.ndarray], slots: Slots, share: float | None) -> dict[str, np.ndarray]:
        groups, parts = _by_source(slots), []
        for source, rows in groups:
            # Examples of other bins and sources have other numbers.
            place = np.uint64(slots.bin << 40 | self._numbers[source] << 48)
            numbers = self._readers[slots.bin][source].numbers(slots.places.take(rows)).astype(np.uint64) + place
            part = columns if len(groups) == 1 else {name: column[rows] for name, column in columns.items()}
            parts.append(self._masks(source, slots.bin).draw(part, numbers, slots.epochs[rows], share))
        if len(groups) == 1:
            return parts[0]
        back = np.argsort(np.concatenate([rows for _, rows in groups]))
        return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}

    def _masks(self, source: int, number: int) -> ReadingMasks:
        masks = self._reading.masks[source] if source < len(self._reading.masks) else None
        if masks is None:
            raise ConfigError(
                f"The examples of {self.sources[source].name} have no masks, and masks can only be drawn with the"
                " corpus's manifest"
            )
        return masks[number]

    def serialized(self, slots: Slots) -> list[bytes]:
        """Reads examples as they are stored: serialised `tf.train.Example`s."""
        found: list[bytes] = [b""] * len(slots.sources)
        for source, rows in _by_source(slots):
            records = self._readers[slots.bin][source].serialized(slots.places.take(rows))
            for row, record in zip(rows.tolist(), records, strict=True):
                found[row] = record
        return found

    def origins(self, slots: Slots) -> list[tuple[str, int]]:
        """Returns the file of each example, and the number of its record there, from 0."""
        found: list[tuple[str, int]] = [("", 0)] * len(slots.sources)
        for source, rows in _by_source(slots):
            reader, places = self._readers[slots.bin][source], slots.places.take(rows)
            numbers = reader.record_numbers(places)
            for row, file, number in zip(rows.tolist(), places.files.tolist(), numbers.tolist(), strict=True):
                found[row] = (reader.group.paths[file], number)
        return found

    def read_ahead(self, step: int, number: int, of: int) -> None:
        """Begins to read the bytes of a part of a step that will be wanted, where reading is mostly waiting."""
        if any(reader.reads_ahead for readers in self._readers for reader in readers):
            slots = self.slots(step).part(number, of)
            for source, mine in _by_source(slots):
                self._readers[slots.bin][source].read_ahead(slots.places.take(mine))


class BatchIterator(Iterator[dict[str, np.ndarray]]):
    """Reads batch after batch. All its state is the number of the next step.

    Args:
        batches: what to read.
        step: where to begin.
    """

    def __init__(self, batches: Batches, step: int = 0) -> None:
        self._batches = batches
        self.step = step

    def __next__(self) -> dict[str, np.ndarray]:
        if self.step >= len(self._batches):
            raise StopIteration
        self.step += 1
        return self._batches[self.step - 1]  # type: ignore[no-any-return]

    def state_dict(self) -> dict[str, int]:
        """Returns the state."""
        return {"step": self.step}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continues from a state."""
        self.step = int(state["step"])


class ShuffledBatches(Batches):
    """Batches in a pseudo-random order, epoch after epoch; a batch may end one epoch and begin the next.

    The batch of a step is a function of the corpora, the seed, the window and the step. Every example comes once in an
    epoch of its bin. The steps of bins take turns, each bin having as many as it has examples for.

    Args:
        sources: the corpora; all of the same shapes.
        batch_size: examples of a batch, or the sizes that batches have in the course of the steps.
        seed: of the order.
        weights: the share of examples that each source has; by default, by their numbers.
        epochs: how many `len` counts; those of the first source, if there are several.
        window: examples that are shuffled together, after all chunks were shuffled; None for 32,768 or, of long ones,
            8 million tokens' worth.
        reading: how examples become batches.
        numbers: the number of each source in the seeds of orders and masks; by default, its place among the sources.
        begins: for each bin, how many examples of each source were read before the first step; by default, none.

    Raises:
        ConfigError: for a number out of range.
    """

    def __init__(
        self,
        sources: Sequence[RecordSource],
        batch_size: int | BatchSizes,
        *,
        seed: int = 0,
        weights: Sequence[float] | None = None,
        epochs: float = 1,
        window: int | None = None,
        reading: Reading = Reading(),
        numbers: Sequence[int] | None = None,
        begins: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self._sizes = batch_size if isinstance(batch_size, BatchSizes) else BatchSizes((0,), (batch_size,))
        for size in self._sizes.sizes:
            check_batch_size(size)
        if window is not None and window < 1:
            raise ConfigError("The window must have at least one example", received=window)
        if not 0 < epochs < math.inf:
            raise ConfigError("The number of epochs must be above 0", received=epochs)

        def window_of(spec: RecordSpec) -> int:
            return window or max(1, min(DEFAULT_WINDOW, _MOST_TOKENS_OF_WINDOW // spec.max_seq_length))

        super().__init__(sources, self._sizes.largest, window_of, reading, numbers)
        weights = weights or [source.examples for source in sources]
        # What a source gives of each bin: its share, divided as its examples are.
        rates = [
            [
                weight * source.bins[number].examples / source.examples
                for source, weight in zip(sources, weights, strict=True)
            ]
            for number in range(len(self._readers))
        ]
        self._bins = Turns([sum(of_bin) for of_bin in rates])
        self._turns = [Turns(of_bin) for of_bin in rates]
        self._orders = [
            [
                Order(
                    reader.group.examples,
                    reader.files.per_chunk,
                    width_of(window_of(reader.group.spec), reader.files.per_chunk),
                    int(generator(seed, "order", number, self._numbers[source]).integers(2**64, dtype=np.uint64)),
                )
                for source, reader in enumerate(readers)
            ]
            for number, readers in enumerate(self._readers)
        ]
        self._begins = np.zeros((len(rates), len(sources)), np.int64) if begins is None else np.array(begins, np.int64)
        # Where each size begins: the turns and the examples that each bin had before.
        turns = np.array([self._bins.before(step) for step in self._sizes.first_steps])
        given = np.diff(turns, axis=0) * np.array(self._sizes.sizes[:-1], np.int64)[:, None]
        self._turns_before = turns.tolist()
        self._examples_before = np.concatenate([turns[:1], np.cumsum(given, axis=0)]).tolist()
        per_epoch = sources[0].examples * sum(weights) / weights[0]
        self._steps = self._sizes.steps_within(int(per_epoch * epochs))

    def __len__(self) -> int:
        return self._steps

    def examples_before(self, step: int) -> list[int]:
        """Returns how many examples of each source the steps before a step have."""
        return [sum(of_source) for of_source in zip(*self._given_before(step), strict=True)]

    def positions_before(self, step: int) -> list[list[int]]:
        """Returns for each bin where each source's order stands before a step: what `begins` is for those behind it."""
        positions: list[list[int]] = (self._begins + np.array(self._given_before(step))).tolist()
        return positions

    def _given_before(self, step: int) -> list[list[int]]:
        """The examples of each source in the steps before a step, by bins."""
        return [
            turns.before(self._first(group, count, step))
            for group, (count, turns) in enumerate(zip(self._bins.before(step), self._turns, strict=True))
        ]

    def _first(self, group: int, turns: int, step: int) -> int:
        """The examples of a bin before a step, the bin having had so many turns."""
        number = self._sizes.number(step)
        since = turns - int(self._turns_before[number][group])
        return int(self._examples_before[number][group]) + since * self._sizes.sizes[number]

    def slots(self, step: int) -> Slots:
        """Returns which examples a step has, in the order of its batch: by lanes, so that each part reads its own."""
        owner, number = self._bins.at(np.array([step]))
        group, size = int(owner[0]), self._sizes.at(step)
        first = self._first(group, int(number[0]), step)
        sources, positions = self._turns[group].at(np.arange(first, first + size))
        positions = positions + self._begins[group][sources]
        by_lane = np.argsort(positions % LANES, kind="stable")
        sources, positions = sources[by_lane], positions[by_lane]
        if len(self.sources) == 1:
            located = self._orders[group][0].locate(positions)
            return Slots(group, sources, located.epochs, self._readers[group][0].places_of(located))
        columns = np.empty((5, size), np.int64)
        for source, (order, reader) in enumerate(zip(self._orders[group], self._readers[group], strict=True)):
            rows = np.flatnonzero(sources == source)
            located = order.locate(positions[rows])
            columns[:, rows] = located.epochs, *reader.places_of(located)
        return Slots(group, sources, columns[0], Places(*columns[1:]))


class OrderedBatches(Batches):
    """Every example once, in the order in which they are stored, in batches of one bin each.

    Args:
        sources: the corpora, one after another; all of the same shapes.
        batch_size: examples of a batch; the last one of a bin may have fewer.
        drop_remainder: whether to leave such a batch out.
        reading: how examples become batches.
    """

    def __init__(
        self,
        sources: Sequence[RecordSource],
        batch_size: int,
        *,
        drop_remainder: bool = False,
        reading: Reading = Reading(),
    ) -> None:
        super().__init__(sources, batch_size, lambda spec: _WINDOW_IN_ORDER, reading)
        self._parts = [(source, number) for source in range(len(sources)) for number in range(len(sources[0].bins))]
        examples = np.array([sources[source].bins[number].examples for source, number in self._parts], np.int64)
        self._examples = examples
        steps = examples // batch_size if drop_remainder else -(-examples // batch_size)
        self._first_steps = np.concatenate([np.zeros(1, np.int64), np.cumsum(steps)])

    def __len__(self) -> int:
        return int(self._first_steps[-1])

    def slots(self, step: int) -> Slots:
        """Returns which examples a step has."""
        part = int(np.searchsorted(self._first_steps, step, side="right")) - 1
        first = (step - int(self._first_steps[part])) * self.batch_size
        return self._slots(part, np.arange(first, min(first + self.batch_size, int(self._examples[part]))))

    def _slots(self, part: int, numbers: np.ndarray) -> Slots:
        source, group = self._parts[part]
        places = self._readers[group][source].places_in_order(numbers, _WINDOW_IN_ORDER)
        return Slots(group, np.full(len(numbers), source), np.zeros(len(numbers), np.int64), places)

    def of_examples(self, numbers: np.ndarray) -> Iterator[tuple[np.ndarray, Slots]]:
        """Yields where examples are stored, by their numbers, and which of `numbers`, int64 `[n]`, these are."""
        firsts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._examples)])
        parts = np.searchsorted(firsts, numbers, side="right") - 1
        for part in np.unique(parts).tolist():
            rows = np.flatnonzero(parts == part)
            yield rows, self._slots(part, numbers[rows] - firsts[part])


def _by_source(slots: Slots) -> list[tuple[int, np.ndarray]]:
    """The rows of each source that has some; of the first, none, if there are none."""
    if (slots.sources == slots.sources[:1]).all():
        return [(int(slots.sources[0]) if len(slots.sources) else 0, np.arange(len(slots.sources)))]
    order = np.argsort(slots.sources, kind="stable")
    found, begins = np.unique(slots.sources[order], return_index=True)
    bounds = itertools.pairwise([*begins.tolist(), len(order)])
    return [(source, order[begin:end]) for source, (begin, end) in zip(found.tolist(), bounds, strict=True)]


def _trimmed(columns: dict[str, np.ndarray], pad_id: int | None) -> dict[str, np.ndarray]:
    """Cuts the sequences where all that follows is padding; without an `input_mask`, `pad_id` marks padding."""
    real = columns["input_mask"] > 0 if pad_id is None else columns["input_word_ids"] != pad_id
    places = np.flatnonzero(real.any(axis=0))
    longest = int(places[-1]) + 1 if len(places) else 1  # A model always pools one token.
    if "masked_lm_positions" in columns:  # Predictions, if damaged ones, at padding.
        predicted = columns["masked_lm_positions"][columns["masked_lm_weights"] > 0]
        longest = max(longest, int(predicted.max(initial=-1)) + 1)
    longest = -(-longest // TRIM_MULTIPLE) * TRIM_MULTIPLE
    return {
        name: np.ascontiguousarray(column[:, :longest]) if name in SEQUENCES else column
        for name, column in columns.items()
    }
