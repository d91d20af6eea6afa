"""The corpus's manifest: written last by the corpus job, checked by what reads the corpus."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from pipeline import files
from pipeline.errors import ConfigError, CorpusError
from pipeline.records.chunks import INDEX_NAME
from pipeline.records.spec import RecordSpec

__all__ = ["IndexDescription", "Manifest", "Shard", "TokenizerDescription", "read_manifest"]

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
PartT = TypeVar("PartT")


@dataclass(frozen=True)
class Shard:
    """One finished shard.

    Attributes:
        name: file name within the corpus's directory, or the whole path of records of other tools.
        split: "train" or "validation".
        max_seq_length: the length of its examples; that of its bin, if the corpus has bins.
        max_predictions_per_seq: room for predictions in its examples.
        examples: number of examples.
        tokens: number of tokens, with special tokens, without padding.
        predictions: masked positions; 0 with dynamic masking.
        bytes: size of the file.
        sha256: SHA-256 of the file, hexadecimal.
    """

    name: str
    split: str
    max_seq_length: int
    max_predictions_per_seq: int
    examples: int
    tokens: int
    predictions: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class IndexDescription:
    """The file that holds where the chunks of all shards are; see `pipeline.records.chunks`.

    Attributes:
        name: file name within the corpus's directory.
        bytes: size of the file.
        sha256: SHA-256 of the file, hexadecimal.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class TokenizerDescription:
    """The tokenizer that made a corpus, in enough detail to build it again.

    Attributes:
        kind: "wordpiece", "sentencepiece" or "huggingface".
        vocab_file: file name of the vocabulary, within the corpus's directory.
        sha256: SHA-256 of that file, hexadecimal.
        vocab_size: entries.
        lower_case: whether text was lower-cased and stripped of accents; a SentencePiece model or a
            tokenizer.json may also do so.
        special_ids: ids of the special tokens, by "pad", "unk", "cls", "sep", "mask".
        casing: why `lower_case` was chosen, in words.
    """

    kind: str
    vocab_file: str
    sha256: str
    vocab_size: int
    lower_case: bool
    special_ids: Mapping[str, int]
    casing: str = ""


@dataclass(frozen=True)
class Manifest:
    """Everything that is known about a finished corpus.

    Attributes:
        key: SHA-256 of everything that determines the shards' bytes: options, inputs, vocabulary, version.
        options: every option that the corpus was made with, defaults included.
        spec: the shape of its (longest) examples.
        tokenizer: the tokenizer that made it.
        inputs: input files with their sizes, `{"path": str, "bytes": int}`; if there are over 10,000, their
            directories instead, `{"path": str, "files": int, "bytes": int}`.
        shards: its shards, in order.
        statistics: what was counted while making it; see docs/inspection.md.
        versions: versions of this package and of the packages that determine the shards' bytes.
        worth_a_look: notes on what may not be as intended; see `pipeline.worth_a_look`.
        inputs_modified: SHA-256 of the times at which the inputs were last written; "" in manifests of earlier
            versions.
        index: the index of the shards' chunks; None in manifests of earlier versions.
        format_version: the version of the manifest's own format.
    """

    key: str
    options: Mapping[str, Any]
    spec: RecordSpec
    tokenizer: TokenizerDescription
    inputs: tuple[Mapping[str, Any], ...]
    shards: tuple[Shard, ...]
    statistics: Mapping[str, Any]
    versions: Mapping[str, str]
    worth_a_look: tuple[str, ...] = ()
    inputs_modified: str = ""
    index: IndexDescription | None = None
    format_version: int = field(default=FORMAT_VERSION)

    def shard_spec(self, shard: Shard) -> RecordSpec:
        """Returns the shape of the examples of one shard."""
        return dataclasses.replace(
            self.spec,
            max_seq_length=shard.max_seq_length,
            max_predictions_per_seq=shard.max_predictions_per_seq,
        )

    def split(self, name: str) -> tuple[Shard, ...]:
        """Returns the shards of one split.

        Args:
            name: "train" or "validation".
        """
        return tuple(shard for shard in self.shards if shard.split == name)


def write_manifest(manifest: Manifest, corpus_dir: str) -> None:
    """Writes `manifest` into `corpus_dir`, completely or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    files.write_atomically(files.join(corpus_dir, MANIFEST_NAME), files.json_bytes(asdict(manifest)))


def write_index(indexes: Iterable[bytes], corpus_dir: str) -> IndexDescription:
    """Writes the index of a corpus's chunks, completely or not at all.

    Args:
        indexes: of each shard, in the order of the manifest; see `pipeline.records.chunks`.
        corpus_dir: the corpus's directory.

    Raises:
        OutputError: if it cannot be written.
    """
    with files.write_file(files.join(corpus_dir, INDEX_NAME)) as writer:
        for index in indexes:
            writer.write(index)
    return IndexDescription(INDEX_NAME, writer.bytes, writer.sha256)


def read_manifest(corpus_dir: str) -> Manifest:
    """Reads the manifest of a corpus.

    Args:
        corpus_dir: the directory of the corpus.

    Returns:
        The manifest.

    Raises:
        CorpusError: if there is none, or it is not of this format.
    """
    path = files.join(corpus_dir, MANIFEST_NAME)
    if not files.exists(path):
        raise CorpusError(
            f"{corpus_dir} is not a finished corpus: it has no {MANIFEST_NAME}",
            do="Run the corpus job to its end; when run again, it continues where it stopped",
        )
    try:
        data = json.loads(files.read(path))
        if not isinstance(data, dict) or data.keys().isdisjoint(field.name for field in dataclasses.fields(Manifest)):
            raise CorpusError(
                f"{path} was not written by this program: {corpus_dir} is not a corpus",
                do="Give the directory that the corpus job wrote to",
            )
        if data["format_version"] != FORMAT_VERSION:
            raise CorpusError(
                f"{path} must have format version {FORMAT_VERSION}",
                received=data["format_version"],
                do="Make the corpus again elsewhere, or read it with the version of this package that made it",
            )
        nested = {
            "spec": _build(RecordSpec, data["spec"]),
            "tokenizer": _build(TokenizerDescription, data["tokenizer"]),
            "inputs": tuple(data["inputs"]),
            "worth_a_look": tuple(data.get("worth_a_look", ())),
            "index": _build(IndexDescription, data["index"]) if data.get("index") else None,
            "shards": tuple(_build(Shard, shard) for shard in data["shards"]),
        }
        return _build(Manifest, data | nested)
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        raise CorpusError(
            f"{path} is damaged ({type(error).__name__}: {error})",
            do="If this is your corpus, make it again in another directory",
        ) from error


def _build(kind: type[PartT], values: Mapping[str, Any]) -> PartT:
    """Builds a part of a manifest from its JSON; raises a TypeError that names a value of a wrong type."""
    for name, (annotation, expected) in _json_types(kind).items():  # type: ignore[arg-type]
        if name in values and type(values[name]) is not expected:
            raise TypeError(f"{name} must be {annotation}, not {values[name]!r:.50}")
    return kind(**values)


@functools.cache
def _json_types(kind: type[Any]) -> dict[str, tuple[str, type]]:
    """Returns, by field, its annotation and the type of its value in JSON."""
    given = {"str": str, "int": int, "bool": bool, "Mapping": dict}
    written = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    roots = {name: annotation.partition("[")[0] for name, annotation in written.items()}
    return {name: (written[name], given[root]) for name, root in roots.items() if root in given}
