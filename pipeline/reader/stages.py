"""Stages of a training, one after another: each has its corpora and its batch size."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from pipeline.reader.batches import Reading, ShuffledBatches, Slots
from pipeline.reader.mixture import check_stages
from pipeline.reader.sizes import BatchSizes
from pipeline.reader.source import RecordSource


class Stage(NamedTuple):
    """What is read from a step on.

    Attributes:
        first_step: the step; that of the first stage is 0.
        batch_size: examples of a batch.
        sources: the corpora; all of the same shapes.
        weights: the share of examples that each has.
        reading: how examples become batches.
    """

    first_step: int
    batch_size: int
    sources: tuple[RecordSource, ...]
    weights: tuple[float, ...]
    reading: Reading


class _Stream(NamedTuple):
    """Consecutive stages of the same corpora.

    Attributes:
        first_step: the first step of the first of them.
        counts: how many examples of each of all sources the steps before have.
        numbers: which of all sources its own are.
        batches: by steps counted from `first_step`.
    """

    first_step: int
    counts: list[int]
    numbers: list[int]
    batches: ShuffledBatches


class StagedBatches:
    """The batches of a training in stages, by their step.

    The batch of a step is a function of the stages, the seed, the window and the step, computed from these alone. A
    corpus has one order through all stages: a later stage, alone or in another mixture, begins where the stages before
    it stopped, so that every example comes once in an epoch. What has another size or another corpus is another stage.

    Args:
        stages: in their order; batches of all have the same features, whose lengths may differ.
        seed: of the order.
        window: examples that are shuffled together; see `ShuffledBatches`.

    Raises:
        ConfigError: for a number out of range.
        CorpusError: if the stages cannot train one model.
    """

    def __init__(self, stages: Sequence[Stage], *, seed: int = 0, window: int | None = None) -> None:
        check_stages([stage.sources for stage in stages])
        self.sizes = BatchSizes(
            tuple(stage.first_step for stage in stages), tuple(stage.batch_size for stage in stages)
        )
        known: dict[tuple[str, ...], RecordSource] = {}
        for stage in stages:
            for source in stage.sources:
                known.setdefault(source.paths, source)
        self.sources = tuple(known.values())
        places = {paths: number for number, paths in enumerate(known)}
        positions = [np.zeros(len(source.bins), np.int64) for source in self.sources]
        counts = [0] * len(self.sources)
        self._streams: list[_Stream] = []
        groups = [list(group) for _, group in groupby(stages, lambda stage: (_paths(stage), stage.weights))]
        for group, following in zip(groups, [*groups[1:], None], strict=True):
            first = group[0]
            numbers = [places[source.paths] for source in first.sources]
            batches = ShuffledBatches(
                first.sources,
                BatchSizes(
                    tuple(stage.first_step - first.first_step for stage in group),
                    tuple(stage.batch_size for stage in group),
                ),
                seed=seed,
                weights=first.weights,
                window=window,
                reading=first.reading,
                numbers=numbers,
                begins=np.stack([positions[number] for number in numbers], axis=1).tolist(),
            )
            self._streams.append(_Stream(first.first_step, list(counts), numbers, batches))
            if following is not None:
                counts = self.examples_before(following[0].first_step)
                after = np.array(batches.positions_before(following[0].first_step - first.first_step))
                for place, number in enumerate(numbers):
                    positions[number] = after[:, place]

    def _stream(self, step: int) -> _Stream:
        return self._streams[bisect_right(self._streams, step, key=lambda stream: stream.first_step) - 1]

    def slots(self, step: int) -> Slots:
        """Returns which examples a step has, in the order of its batch."""
        stream = self._stream(step)
        return stream.batches.slots(step - stream.first_step)

    def read(self, step: int, slots: Slots) -> dict[str, np.ndarray]:
        """Reads examples of a step, all or some.

        Raises:
            CorpusError: if a record is damaged, or not what it must be; it is named.
        """
        return self._stream(step).batches.read(step, slots)

    def read_ahead(self, step: int, number: int, of: int) -> None:
        """Begins to read the bytes of a part of a step that will be wanted, where reading is mostly waiting."""
        stream = self._stream(step)
        stream.batches.read_ahead(step - stream.first_step, number, of)

    def origins(self, step: int) -> list[tuple[str, int]]:
        """Returns the file of each example of a step, and the number of its record there, from 0."""
        return self._stream(step).batches.origins(self.slots(step))

    def examples_before(self, step: int) -> list[int]:
        """Returns how many examples of each of `sources` the steps before a step have."""
        # What comes before the first step of a stage belongs to the stage before it.
        stream = self._stream(max(step - 1, 0))
        counts = list(stream.counts)
        given = stream.batches.examples_before(step - stream.first_step)
        for number, more in zip(stream.numbers, given, strict=True):
            counts[number] += more
        return counts

    def signature(self) -> dict[str, tuple[str, int | None]]:
        """Returns the dtype of each feature of a batch, and its length; None where batches have several."""
        found = [stream.batches.signature() for stream in self._streams]
        return {
            name: (dtype, length if all(other[name][1] == length for other in found) else None)
            for name, (dtype, length) in found[0].items()
        }


def _paths(stage: Stage) -> list[tuple[str, ...]]:
    return [source.paths for source in stage.sources]
