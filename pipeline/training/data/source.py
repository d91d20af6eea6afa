"""Which TFRecords a data configuration names, and whether they are what it expects."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from pipeline import files
from pipeline.errors import ConfigError, CorpusError
from pipeline.manifest import MANIFEST_NAME, read_manifest
from pipeline.reader.mixture import check_alike
from pipeline.reader.source import RecordSource, open_corpus, open_files
from pipeline.records.decoding import feature_lengths, first_record
from pipeline.records.spec import RecordSpec
from pipeline.training.configs import DataConfig

_FILES_LOOKED_AT = 1000  # On a network's file system, thousands take a while.


def open_sources(config: DataConfig) -> list[RecordSource]:
    """Finds the records that `config` names and checks that they are what it expects.

    A directory is a corpus, and its manifest gives shapes and shards: those of "train" for training, otherwise
    those of "validation". Several directories are a mixture of corpora, and those without validation examples are left
    out when it is evaluated. For files and globs, the first records give the shape.

    Returns:
        The corpora, or one source of all files.

    Raises:
        InputError: if nothing is found.
        CorpusError: if a corpus is unfinished or damaged, or other than `config` expects, or than the others.
    """
    paths = [config.input_path] if isinstance(config.input_path, str) else config.input_path
    if len(paths) < 2 or not all(map(_is_corpus, paths)):
        if config.weights:
            raise ConfigError(
                "weights can only be used with several corpora",
                received=f"input_path {config.input_path!r}",
                do="Leave weights out",
            )
        return [open_source(config)]
    if not config.is_training:
        held_out = [path for path in paths if any(shard.examples for shard in read_manifest(path).split("validation"))]
        paths = held_out or paths
    sources = [open_source(replace(config, input_path=path, weights=())) for path in paths]
    check_alike(sources)
    return sources


def _is_corpus(path: str) -> bool:
    return os.path.isdir(path) or files.exists(files.join(path, MANIFEST_NAME))


def open_source(config: DataConfig) -> RecordSource:
    """Finds the records that `config` names, one corpus or some files; see `open_sources`."""
    if not config.input_path:
        raise ConfigError("input_path must name a corpus's directory or TFRecord files")
    path = config.input_path
    if isinstance(path, str) and _is_corpus(path):
        source = open_corpus(path, "train" if config.is_training else "validation")
    else:
        infos = files.match(patterns(path))
        source = open_files(infos, _shape_of([info.path for info in infos], config))
        if not source.examples:
            raise CorpusError(f"{source.name} must contain masked-LM examples", received="files without records")
    _check_expectations(source.spec, config)
    return source


def patterns(input_path: str | Sequence[str]) -> list[str]:
    """The files and globs that an `input_path` names: several by commas, unless there is a file of that name."""
    if not isinstance(input_path, str):
        return list(input_path)
    return [input_path] if files.exists(input_path) else [part for part in input_path.split(",") if part]


def _shape_of(paths: Sequence[str], config: DataConfig) -> RecordSpec:
    """The shape that the first records of some files have, or on a network of the first file."""
    spec = first_record_spec(paths[0], config)
    step = -(-len(paths) // _FILES_LOOKED_AT)
    for path in paths[step::step] if not files.is_remote(paths[0]) else ():
        other = first_record_spec(path, config)
        if other != spec:
            raise CorpusError(
                "All files must contain examples of the same shape",
                received=f"{_describe(spec)} in {paths[0]}, and {_describe(other)} in {path}",
                do="Give only files of one shape, or the corpus's directory, whose manifest describes all shapes",
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
            f"{path} must contain position_ids", received="records without", do="Set use_position_id to false"
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
                do=f"Leave {name} out of the configuration, or make the corpus again",
            )
    if config.use_next_sentence_label and not spec.next_sentence:
        raise CorpusError(
            "The configuration requires next-sentence labels, but the records contain none",
            do="Set use_next_sentence_label to false, or make a corpus of sentence pairs",
        )
    if spec.masked and (config.masked_lm_prob is not None or config.final_masked_lm_prob is not None):
        raise CorpusError(
            "The configuration sets masked_lm_prob, but the records already contain masks",
            do="Make the corpus with --masking dynamic, or leave masked_lm_prob out of the configuration",
        )
