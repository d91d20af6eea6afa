"""Which TFRecords to read, and the shape of what they hold."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline import files
from pipeline.errors import ConfigError, CorpusError
from pipeline.manifest import MANIFEST_NAME, Manifest, Shard, read_manifest
from pipeline.records.decoding import feature_lengths, first_record, read_serialized
from pipeline.records.spec import RecordSpec
from pipeline.training.configs import DataConfig

# On a network's file system, thousands take a while.
_SIZES_LOOKED_AT = 100
_FILES_LOOKED_AT = 1000


@dataclass(frozen=True)
class Bin:
    """TFRecord files of examples of one shape.

    Attributes:
        paths: the files, in order.
        spec: the shape of their examples.
        file_examples: examples of each file; None where nobody has counted.
    """

    paths: tuple[str, ...]
    spec: RecordSpec
    file_examples: tuple[int, ...] | None = None

    def count(self) -> tuple[int, ...]:
        """Examples of each file; they are read for it where nobody has counted.

        Raises:
            CorpusError: if a file that is read for it is damaged.
        """
        if self.file_examples is not None:
            return self.file_examples
        return tuple(sum(1 for _ in read_serialized(path)) for path in self.paths)


@dataclass(frozen=True)
class RecordSource:
    """TFRecord files, by the shape of their examples.

    Attributes:
        bins: the files of each shape, the longest last; one shape but for a corpus with bins of lengths.
        compression: TensorFlow's name of the files' compression: "GZIP" or "".
        directory: the corpus's directory; empty for plain files.
        manifest: the corpus's manifest; None for plain files.
    """

    bins: tuple[Bin, ...]
    compression: str
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

    def count_examples(self) -> int:
        """Examples in all files; plain files are read for it."""
        return sum(sum(group.count()) for group in self.bins)


def open_source(config: DataConfig) -> RecordSource:
    """Finds the records that `config` names and checks that they are what it expects.

    A directory is a corpus, and its manifest gives shapes and shards: those of "train" for training, otherwise
    those of "validation". For files and globs, the first records give the shape.

    Raises:
        InputError: if nothing is found.
        CorpusError: if the corpus is unfinished or damaged, or other than `config` expects.
    """
    if not config.input_path:
        raise ConfigError("input_path must name a corpus's directory or TFRecord files")
    path = config.input_path
    if isinstance(path, str) and (os.path.isdir(path) or files.exists(files.join(path, MANIFEST_NAME))):
        source = _open_corpus(path, "train" if config.is_training else "validation")
    else:
        paths = tuple(info.path for info in files.match(patterns(path)))
        kind = compression(paths)
        source = RecordSource((Bin(paths, _shape_of(paths, config)),), kind)
    _check_expectations(source.spec, config)
    if config.use_next_sentence_label is False:
        bins = tuple(replace(group, spec=replace(group.spec, next_sentence=False)) for group in source.bins)
        source = replace(source, bins=bins)
    return source


def patterns(input_path: str | Sequence[str]) -> list[str]:
    """The files and globs that an `input_path` names: several by commas, unless there is a file of that name."""
    if not isinstance(input_path, str):
        return list(input_path)
    return [input_path] if files.exists(input_path) else [part for part in input_path.split(",") if part]


def _open_corpus(directory: str, split: str) -> RecordSource:
    manifest = read_manifest(directory)
    by_spec: dict[RecordSpec, list[Shard]] = defaultdict(list)
    _check_sizes(directory, manifest.split(split))
    for shard in manifest.split(split):
        if shard.examples:
            by_spec[manifest.shard_spec(shard)].append(shard)
    if not by_spec:
        raise CorpusError(
            f"The corpus in {directory} has no {split} examples",
            do="Make it again from more text or with another validation share",
        )
    bins = tuple(
        Bin(
            paths=tuple(files.join(directory, shard.name) for shard in shards),
            spec=spec,
            file_examples=tuple(shard.examples for shard in shards),
        )
        for spec, shards in sorted(by_spec.items(), key=lambda item: item[0].max_seq_length)
    )
    return RecordSource(bins, compression(bins[0].paths), directory, manifest)


def _check_sizes(directory: str, shards: Sequence[Shard]) -> None:
    """Looks whether all shards are there, by one listing, and at the sizes of a few: what is read is checked then."""
    if files.is_remote(directory):
        return  # A listing of thousands of objects would cost more than it tells.
    there = set(files.list_names(directory))
    some = set(shards[:: -(-len(shards) // _SIZES_LOOKED_AT)]) if shards else set()
    for shard in shards:
        path = files.join(directory, shard.name)
        # Records of other tools are named by their paths, which may be a store's.
        if files.is_remote(path):
            continue
        is_there = shard.name in there or (os.path.isabs(shard.name) and os.path.isfile(path))
        size = None if not is_there else os.path.getsize(path) if shard in some else shard.bytes
        if size != shard.bytes:
            raise CorpusError(
                f"{path} must hold {shard.bytes:,} bytes, as the manifest says",
                received="no such file" if size is None else f"{size:,} bytes",
                do="Copy the shard again, or make the corpus again",
            )


def _shape_of(paths: Sequence[str], config: DataConfig) -> RecordSpec:
    """The shape that the first records of some files have, or on a network of the first file."""
    spec = first_record_spec(paths[0], config)
    step = -(-len(paths) // _FILES_LOOKED_AT)
    for path in paths[step::step] if not files.is_remote(paths[0]) else ():
        other = first_record_spec(path, config)
        if other != spec:
            raise CorpusError(
                "All files must hold examples of one shape",
                received=f"{_describe(spec)} in {paths[0]}, and {_describe(other)} in {path}",
                do="Name the files of one shape, or the corpus's directory, whose manifest tells all shapes",
            )
    return spec


def _describe(spec: RecordSpec) -> str:
    names = ", ".join(f"{feature.name}[{feature.length}]" for feature in spec.features)
    return f"examples of {names}"


def first_record_spec(path: str, config: DataConfig) -> RecordSpec:
    """The shape that the first record of a file has.

    Raises:
        CorpusError: if it is not an example of masked-LM pre-training, or lacks what `config` wants.
    """
    record, spec = first_record(path)
    if config.use_position_id and "position_ids" not in feature_lengths(record):
        raise CorpusError(
            f"{path} must hold position_ids", received="records without", do="Set use_position_id to false"
        )
    return spec


def _check_expectations(spec: RecordSpec, config: DataConfig) -> None:
    """Checks what a configuration names against what the records hold."""
    for name, expected, held in (
        ("seq_length", config.seq_length, spec.max_seq_length),
        # Where the loader draws the mask, the room for it is the configuration's to choose.
        (
            "max_predictions_per_seq",
            config.max_predictions_per_seq if spec.masked else None,
            spec.max_predictions_per_seq,
        ),
        ("use_v2_feature_names", config.use_v2_feature_names, spec.feature_names == "v2"),
    ):
        if expected is not None and expected != held:
            raise CorpusError(
                f"The configuration's {name} is {expected}, but the records' is {held}",
                do=f"Leave {name} out of the configuration, or make the corpus anew",
            )
    if config.use_next_sentence_label and not spec.next_sentence:
        raise CorpusError(
            "The configuration wants next-sentence labels, but the records hold none",
            do="Set use_next_sentence_label to false, or make a corpus of sentence pairs",
        )
    if spec.masked and (config.masked_lm_prob is not None or config.final_masked_lm_prob is not None):
        raise CorpusError(
            "The configuration chooses a masked_lm_prob, but the records hold their masks already",
            do="Make the corpus with --masking dynamic, or leave masked_lm_prob out of the configuration",
        )


def compression(paths: tuple[str, ...]) -> str:
    """TensorFlow's name of the files' compression, which their names tell.

    Raises:
        CorpusError: if some are compressed and some are not.
    """
    compressed = {path.endswith(".gz") for path in paths}
    if len(compressed) > 1:
        raise CorpusError("All files must be compressed, or none of them", received="some of each")
    return "GZIP" if compressed.pop() else ""
