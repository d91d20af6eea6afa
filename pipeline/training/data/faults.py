"""Which record of which file is not what a model can be trained on, and what is wrong with it.

A dataset reads many files at once in TensorFlow, whose errors name none of them. When one comes, the files are read
again, here, one after the other, until the fault is found.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from pipeline.errors import CorpusError, UserError
from pipeline.records.decoding import Range, check_examples, read_serialized, value_ranges
from pipeline.records.spec import RecordSpec
from pipeline.training.data.source import RecordSource
from pipeline.training.encoders import BaseEncoderConfig

_AT_ONCE = 256  # Records that are parsed together.


@dataclasses.dataclass(frozen=True)
class RecordLimits:
    """What a model's embeddings have room for; None where nothing is known.

    Attributes:
        vocab_size: entries of the vocabulary.
        type_vocab_size: kinds of segments.
        max_position_embeddings: tokens of a sequence.
    """

    vocab_size: int | None = None
    type_vocab_size: int | None = None
    max_position_embeddings: int | None = None

    @staticmethod
    def of(encoder: BaseEncoderConfig) -> RecordLimits:
        """Those of an encoder."""
        names = (field.name for field in dataclasses.fields(RecordLimits))
        return RecordLimits(**{name: getattr(encoder, name) for name in names})

    def for_source(self, source: RecordSource) -> RecordLimits:
        """These, and the vocabulary of the corpus that the records are of.

        Raises:
            CorpusError: if the records have no room in the model.
        """
        size = source.manifest.tokenizer.vocab_size if source.manifest else None
        for name, held, where in (
            ("max_position_embeddings", source.spec.max_seq_length, "tokens of an example"),
            ("vocab_size", size, "entries of the vocabulary"),
        ):
            limit = getattr(self, name)
            if None not in (limit, held) and held > limit:
                raise CorpusError(
                    f"The model's {name} must be at least the {held:,} {where} of {source.name}",
                    received=f"{limit:,}",
                    do=f"Raise encoder.{name}, or choose other records",
                )
        return self if size is None else dataclasses.replace(self, vocab_size=size)

    def ranges(self, spec: RecordSpec) -> dict[str, Range]:
        """What the values of each feature may be, by its v2 name."""
        return value_ranges(spec, vocab_size=self.vocab_size, type_vocab_size=self.type_vocab_size)


def check_values(columns: Mapping[str, Any], ranges: Mapping[str, Range]) -> None:
    """Fails, in TensorFlow's graph, where values of a batch are out of range.

    Args:
        columns: tensors by v2 feature name, as stored.
        ranges: by v2 feature name.
    """
    for name, values in columns.items():
        low, high = (tf.cast(bound, values.dtype) for bound in ranges[name][:2])
        tf.debugging.Assert(tf.reduce_all((values >= low) & (values <= high)), [f"{name} is out of range"])


def check_records(source: RecordSource, limits: RecordLimits) -> None:
    """Reads all records.

    Raises:
        CorpusError: for the first that cannot be read, or that a model within `limits` cannot be trained on; it names
            the file, the record's number from 0, and what is wrong with it.
    """
    try:
        _check_files(source, limits)
    except UserError as error:
        raise CorpusError(f"A record cannot be read: {error}") from error


def _check_files(source: RecordSource, limits: RecordLimits) -> None:
    with tqdm(source.paths, desc="looking for the damaged record", unit="file", leave=False, disable=None) as paths:
        specs = [group.spec for group in source.bins for _ in group.paths]
        for path, spec in zip(paths, specs, strict=True):
            records, first = read_serialized(path), 0
            while piece := list(itertools.islice(records, _AT_ONCE)):
                check_examples(spec, piece, limits.ranges(spec), path, first)
                first += len(piece)
