"""What a model has room for, of the records that it is trained on."""

from __future__ import annotations

import dataclasses

from pipeline.errors import CorpusError
from pipeline.reader.source import RecordSource
from pipeline.records.decoding import Range, value_ranges
from pipeline.records.spec import RecordSpec
from pipeline.training.encoders import BaseEncoderConfig


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
            ("max_position_embeddings", source.spec.max_seq_length, "length of the examples"),
            ("vocab_size", size, "size of the vocabulary"),
        ):
            limit = getattr(self, name)
            if None not in (limit, held) and held > limit:
                raise CorpusError(
                    f"The model's {name} must be at least {held:,}, the {where} of {source.name}",
                    received=f"{limit:,}",
                    do=f"Raise encoder.{name}, or use other records",
                )
        return self if size is None else dataclasses.replace(self, vocab_size=size)

    def ranges(self, spec: RecordSpec) -> dict[str, Range]:
        """What the values of each feature may be, by its v2 name."""
        return value_ranges(spec, vocab_size=self.vocab_size, type_vocab_size=self.type_vocab_size)
