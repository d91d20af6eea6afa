"""Which files to read, by the shape of the examples in them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline import files
from pipeline.errors import CorpusError
from pipeline.files import FileInfo
from pipeline.manifest import Manifest, read_manifest
from pipeline.reader.index import ChunkIndex, CorpusIndex, find_index
from pipeline.records.chunks import ENTRY_BYTES, records_per_chunk
from pipeline.records.spec import RecordSpec

# On a network's file system, thousands take a while.
_SIZES_LOOKED_AT = 100


@dataclass(frozen=True)
class Bin:
    """TFRecord files of examples of one shape.

    Attributes:
        paths: the files, in order.
        spec: the shape of their examples.
        file_examples: examples of each file.
        index: where the files' chunks are.
    """

    paths: tuple[str, ...]
    spec: RecordSpec
    file_examples: tuple[int, ...]
    index: ChunkIndex = field(repr=False)

    @property
    def examples(self) -> int:
        """Examples of all files."""
        return sum(self.file_examples)


@dataclass(frozen=True)
class RecordSource:
    """TFRecord files, by the shape of their examples.

    Attributes:
        bins: the files of each shape, the longest last; one shape but for a corpus with bins of lengths.
        directory: the corpus's directory; empty for plain files.
        manifest: the corpus's manifest; None for plain files.
    """

    bins: tuple[Bin, ...]
    directory: str = ""
    manifest: Manifest | None = None

    @property
    def spec(self) -> RecordSpec:
        """The shape of the longest examples."""
        return self.bins[-1].spec

    @property
    def name(self) -> str:
        """What to call it in messages: the corpus's directory, or the first file."""
        return self.directory or self.paths[0]

    @property
    def paths(self) -> tuple[str, ...]:
        """All files."""
        return tuple(path for group in self.bins for path in group.paths)

    @property
    def examples(self) -> int:
        """Examples of all files."""
        return sum(group.examples for group in self.bins)


def open_corpus(directory: str, split: str) -> RecordSource:
    """Opens a split of a finished corpus; no shard is read.

    Args:
        directory: the corpus's directory.
        split: "train" or "validation".

    Raises:
        CorpusError: if the corpus is unfinished, or its files are not as large as its manifest says, or the split is
            empty.
    """
    manifest = read_manifest(directory)
    _check_sizes(directory, manifest, split)
    by_spec: dict[RecordSpec, list[int]] = defaultdict(list)
    for number, shard in enumerate(manifest.shards):
        if shard.split == split and shard.examples:
            by_spec[manifest.shard_spec(shard)].append(number)
    if not by_spec:
        raise CorpusError(
            f"The corpus in {directory} has no {split} examples",
            do="Make it again from more text or with another validation share",
        )
    starts = _starts(manifest)
    bins = []
    for spec, numbers in sorted(by_spec.items(), key=lambda item: item[0].max_seq_length):
        shards = [manifest.shards[number] for number in numbers]
        paths = tuple(files.join(directory, shard.name) for shard in shards)
        examples = tuple(shard.examples for shard in shards)
        index: ChunkIndex
        if manifest.index:
            sizes = tuple(shard.bytes for shard in shards)
            counts = _chunk_counts(examples, spec)
            index = CorpusIndex(files.join(directory, manifest.index.name), paths, sizes, starts[numbers], counts)
        else:
            found = find_index([files.info(path) for path in paths], records_per_chunk(spec.max_seq_length))
            _check_counts(paths, found.examples, examples)
            index = found
        bins.append(Bin(paths, spec, examples, index))
    return RecordSource(tuple(bins), directory, manifest)


def open_files(infos: Sequence[FileInfo], spec: RecordSpec) -> RecordSource:
    """Opens plain TFRecord files; each is read once, and its index is kept in a cache: see `find_index`.

    Args:
        infos: the files.
        spec: the shape of their examples.

    Raises:
        CorpusError: if a file is damaged, or there is no record.
        InputError: if a file cannot be read.
        OutputError: if the cache cannot be written.
    """
    index = find_index(infos, records_per_chunk(spec.max_seq_length))
    paths = tuple(info.path for info in infos)
    return RecordSource((Bin(paths, spec, index.examples, index),))


def _starts(manifest: Manifest) -> np.ndarray:
    """Where the index of each shard begins in the corpus's index, in chunks: int64 `[shards]`."""
    examples = np.array([shard.examples for shard in manifest.shards], np.int64)
    per_chunk = np.array([records_per_chunk(shard.max_seq_length) for shard in manifest.shards], np.int64)
    ends = np.cumsum(-(-examples // per_chunk))
    return np.concatenate([np.zeros(1, np.int64), ends])[:-1]


def _chunk_counts(examples: Sequence[int], spec: RecordSpec) -> np.ndarray:
    return -(-np.array(examples, np.int64) // records_per_chunk(spec.max_seq_length))


def _check_counts(paths: Sequence[str], found: Sequence[int], stated: Sequence[int]) -> None:
    for path, here, there in zip(paths, found, stated, strict=True):
        if here != there:
            raise CorpusError(
                f"{path} must contain {there:,} examples, as the manifest says",
                received=f"{here:,}",
                do="Copy the shard again, or make the corpus again",
            )


def _check_sizes(directory: str, manifest: Manifest, split: str) -> None:
    """Looks whether all files are there, by one listing, and at the sizes of a few: what is read is checked then."""
    if files.is_remote(directory):
        return  # A listing of thousands of objects would cost more than it tells.
    there = set(files.list_names(directory))
    shards = manifest.split(split)
    some = set(shards[:: -(-len(shards) // _SIZES_LOOKED_AT)]) if shards else set()
    for shard in shards:
        path = files.join(directory, shard.name)
        # Records of other tools are named by their paths, which may be a store's.
        if files.is_remote(path):
            continue
        is_there = shard.name in there or (os.path.isabs(shard.name) and os.path.isfile(path))
        size = None if not is_there else os.path.getsize(path) if shard in some else shard.bytes
        _check_size(path, size, shard.bytes, "shard")
    if manifest.index:
        path = files.join(directory, manifest.index.name)
        size = os.path.getsize(path) if manifest.index.name in there else None
        _check_size(path, size, manifest.index.bytes, "index")
        chunks = sum(-(-shard.examples // records_per_chunk(shard.max_seq_length)) for shard in manifest.shards)
        _check_size(path, chunks * ENTRY_BYTES, manifest.index.bytes, "index")


def _check_size(path: str, size: int | None, stated: int, what: str) -> None:
    if size != stated:
        raise CorpusError(
            f"{path} must contain {stated:,} bytes, as the manifest says",
            received="no such file" if size is None else f"{size:,} bytes",
            do=f"Copy the {what} again, or make the corpus again",
        )
