"""Where the chunks of files are: read from a corpus's index, or found by reading a file once and kept in a cache."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipeline import files
from pipeline.errors import CorpusError, UserError
from pipeline.files import FileInfo
from pipeline.records.chunks import ENTRY_BYTES, parse_index
from pipeline.records.scanning import index_file

CACHE_VARIABLE = "MLM_PIPELINE_CACHE"
_FILES_REMEMBERED = 1024


class FileChunks(NamedTuple):
    """The chunks of one file.

    Attributes:
        path: where their bytes are read.
        offsets: int64 `[chunks + 1]`, where each begins, and where the last ends.
        checksums: uint32 `[chunks]`, the CRC-32C of their bytes.
    """

    path: str
    offsets: np.ndarray
    checksums: np.ndarray


class ChunkIndex(Protocol):
    """Where the chunks of some files are."""

    def of_file(self, number: int) -> FileChunks:
        """Returns the chunks of a file, by its number."""


@dataclass(frozen=True)
class CorpusIndex:
    """The index that a corpus has; parts of it are read when they are wanted.

    Attributes:
        path: the file of the index.
        files: the shards' paths.
        sizes: their sizes in bytes.
        starts: where the index of each begins, in chunks.
        counts: the chunks of each.
    """

    path: str
    files: tuple[str, ...]
    sizes: tuple[int, ...]
    starts: np.ndarray
    counts: np.ndarray

    def of_file(self, number: int) -> FileChunks:
        """Returns the chunks of a file.

        Raises:
            InputError: if the index cannot be read.
            CorpusError: if it is not of this file.
        """
        return _entries_of(self, number)

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@lru_cache(_FILES_REMEMBERED)
def _entries_of(index: CorpusIndex, number: int) -> FileChunks:
    chunks = int(index.counts[number])
    data = files.read_range(index.path, int(index.starts[number]) * ENTRY_BYTES, chunks * ENTRY_BYTES)
    path, size = index.files[number], index.sizes[number]
    if len(data) == chunks * ENTRY_BYTES:
        offsets, checksums = parse_index(data)
        if offsets[-1] == size:
            return FileChunks(path, offsets, checksums)
    raise CorpusError(
        f"{index.path} must be the index of the {size:,} bytes of {path}, as the manifest describes it",
        received="the index of something else" if len(data) == chunks * ENTRY_BYTES else "a file that is cut short",
        do="Copy both again, or make the corpus again",
    )


@dataclass(frozen=True)
class FoundIndex:
    """The chunks of files that have no index, found by reading them once.

    Attributes:
        chunks: those of each file.
        examples: the records of each file.
    """

    chunks: tuple[FileChunks, ...]
    examples: tuple[int, ...]

    def of_file(self, number: int) -> FileChunks:
        """Returns the chunks of a file."""
        return self.chunks[number]


def find_index(infos: Sequence[FileInfo], records_per_chunk: int) -> FoundIndex:
    """Finds the chunks of files, or reads in the cache what was found before.

    The cache is the directory that the environment variable MLM_PIPELINE_CACHE names; by default,
    `$XDG_CACHE_HOME/mlm-pipeline` or `~/.cache/mlm-pipeline`. Each file has an index in it, a JSON file that names it.
    A GZIP file also has a copy there that can be read from any chunk: as other tools write it, it can be read from
    its beginning alone.

    Raises:
        CorpusError: if a file is damaged.
        InputError: if a file cannot be read.
        OutputError: if the cache cannot be written.
    """
    from tqdm import tqdm

    found = [_cached(info, records_per_chunk) for info in infos]
    missing = [number for number, chunks in enumerate(found) if chunks is None]
    total = sum(infos[number].bytes for number in missing)
    with tqdm(total=total, desc="indexing records", unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for number in missing:
            found[number] = _find(infos[number], records_per_chunk)
            bar.update(infos[number].bytes)
    whole = [item for item in found if item is not None]
    return FoundIndex(tuple(chunks for chunks, _ in whole), tuple(examples for _, examples in whole))


def cache_directory() -> str:
    """Returns the directory of what is found by reading files, and kept."""
    named = os.environ.get(CACHE_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return named or os.path.join(base, "mlm-pipeline")


def _cache_path(info: FileInfo, records_per_chunk: int) -> str:
    path = info.path if files.is_remote(info.path) else os.path.abspath(info.path)
    stated = "\n".join([path, str(info.bytes), info.modified, str(records_per_chunk)])
    return files.join(cache_directory(), hashlib.sha256(stated.encode("utf-8", "surrogateescape")).hexdigest()[:32])


def _cached(info: FileInfo, records_per_chunk: int) -> tuple[FileChunks, int] | None:
    base = _cache_path(info, records_per_chunk)
    try:
        known: dict[str, Any] = json.loads(files.read(base + ".json"))
        entries = base64.b64decode(known["entries"])
        chunks = _chunks(info, base, entries)
        if chunks.path != info.path and os.path.getsize(chunks.path) != chunks.offsets[-1]:
            return None  # The copy of a GZIP file is not whole.
        return chunks, int(known["examples"])
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return None


def _chunks(info: FileInfo, base: str, entries: bytes) -> FileChunks:
    return FileChunks(base + ".tfrecord.gz" if info.path.endswith(".gz") else info.path, *parse_index(entries))


def _find(info: FileInfo, records_per_chunk: int) -> tuple[FileChunks, int]:
    base = _cache_path(info, records_per_chunk)
    files.make_directory(cache_directory())
    if info.path.endswith(".gz"):
        with files.write_file(base + ".tfrecord.gz") as writer:
            found = index_file(info.path, records_per_chunk, copy=writer.write)
    else:
        found = index_file(info.path, records_per_chunk)
    known = {"path": info.path, "bytes": info.bytes, "modified": info.modified, "examples": found.examples}
    known["entries"] = base64.b64encode(found.entries).decode()
    files.write_atomically(base + ".json", files.json_bytes(known))
    return _chunks(info, base, found.entries), found.examples
