"""Shows examples of a shard."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline import files
from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.inspection.examples import Examples
from pipeline.inspection.marked_text import render_example
from pipeline.manifest import MANIFEST_NAME, Shard, read_manifest
from pipeline.reader.chunks import ChunkFiles
from pipeline.reader.source import Bin, open_corpus
from pipeline.records.decoding import check_examples, infer_spec, read_serialized, value_ranges
from pipeline.records.spec import RecordSpec
from pipeline.tokenizers import load_tokenizer, tokenizer_of_file
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.vocabulary import find_vocabulary, read_vocabulary


@dataclass(frozen=True)
class _Reading:
    """How to read a shard.

    Attributes:
        tokenizer: of its corpus.
        pairing: of its corpus; "" if unknown.
        spec: the shape of its examples; None if it is to be inferred from each.
        group: the bin of the corpus that it belongs to; None if it has no index.
    """

    tokenizer: Tokenizer
    pairing: str
    spec: RecordSpec | None
    group: Bin | None


def show_examples(
    path: str, *, start: int = 0, examples: int = 3, vocab: str = "", color: bool = False
) -> Iterator[str]:
    """Shows examples of a shard as text.

    The manifest in the same directory gives the shape and the vocabulary. A shard without one needs `vocab`, and its
    shape is inferred from its records; any program may have written it.

    Args:
        path: the shard.
        start: the number of the first record to show, from 0.
        examples: the maximum number of examples to show.
        vocab: a WordPiece vocabulary to use instead of the corpus's own.
        color: whether to mark with terminal colours.

    Yields:
        The examples, each as a few lines of text.

    Raises:
        UserError: for a missing or damaged shard, a missing vocabulary or wrong arguments.
    """
    if start < 0 or examples < 1:
        raise ConfigError("--start must be at least 0 and --examples at least 1", received=f"{start} and {examples}")
    if not files.exists(path):
        raise InputError(f"{path} must be a shard", received="no such file", do="Check the path")
    reading = _find_reading(path, vocab)
    number = -1
    for number, record in itertools.islice(_records(path, start, reading), examples):
        spec = reading.spec or infer_spec(record, f"Record {number:,} of {path}")
        ranges = value_ranges(spec, vocab_size=reading.tokenizer.vocab_size)
        columns = check_examples(spec, [record], ranges, path, number)
        batch = Examples.from_columns(columns, reading.tokenizer.special_ids)
        text = render_example(batch, 0, reading.tokenizer, pairing=reading.pairing, color=color)
        yield f"{number:,}: {text}"
    if number < start:
        held = sum(1 for _ in read_serialized(path))
        raise ConfigError(f"{path} has no record {start:,}", received=f"a shard of {held:,} examples")


def _records(path: str, start: int, reading: _Reading) -> Iterator[tuple[int, bytes]]:
    """The records of a shard from `start` on, and their numbers; without reading what is before, if it has an index."""
    if reading.group:
        try:
            for number, record in ChunkFiles(reading.group).records(reading.group.paths.index(path), start):
                yield number, record
                start = number + 1
            return
        except CorpusError:  # The file's own framing tells which record is damaged, or that the index alone is wrong.
            pass
    yield from itertools.islice(enumerate(read_serialized(path)), start, None)


def _find_reading(path: str, vocab: str) -> _Reading:
    directory, _, name = path.rpartition("/")
    directory = directory or ("/" if path.startswith("/") else os.curdir)
    vocab = find_vocabulary(vocab) if vocab else vocab
    tokenizer: Tokenizer | None = tokenizer_of_file(vocab, read_vocabulary(vocab))[0] if vocab else None
    pairing, spec, group = "", None, None
    if files.exists(files.join(directory, MANIFEST_NAME)):
        manifest = read_manifest(directory)
        tokenizer = tokenizer or load_tokenizer(manifest.tokenizer, directory)
        pairing = str(manifest.options.get("pairing", ""))
        shard = next((shard for shard in manifest.shards if shard.name == name), None)
        if shard:
            spec = manifest.shard_spec(shard)
            group = _bin_of(directory, shard, path) if manifest.index and shard.examples else None
    if tokenizer is None:
        raise ConfigError(
            f"There is no {MANIFEST_NAME} next to {path} that names its vocabulary",
            do="Specify the vocabulary with --vocab",
        )
    return _Reading(tokenizer, pairing, spec, group)


def _bin_of(directory: str, shard: Shard, path: str) -> Bin | None:
    """The bin that a shard belongs to; None if the corpus cannot be opened: other shards may be missing."""
    try:
        bins = open_corpus(directory, shard.split).bins
    except CorpusError:
        return None
    return next((group for group in bins if path in group.paths), None)
