"""Which TFRecords to read, and the shape of what they hold."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from pipeline import files
from pipeline.errors import ConfigError, CorpusError
from pipeline.manifest import MANIFEST_NAME, Manifest, read_manifest
from pipeline.records import RecordSpec
from pipeline.training.configs import DataConfig


@dataclass(frozen=True)
class RecordSource:
    """TFRecord files of one shape.

    Attributes:
        paths: the files, in order.
        spec: the shape of their examples.
        manifest: the corpus's manifest; None for plain files.
        examples: examples in all files; None where nobody has counted.
    """

    paths: tuple[str, ...]
    spec: RecordSpec
    manifest: Manifest | None = None
    examples: int | None = None

    @property
    def compression(self) -> str:
        """TensorFlow's name of the files' compression: "GZIP" or ""."""
        return compression(self.paths)

    def count_examples(self) -> int:
        """Examples in all files; plain files are read for it."""
        if self.examples is not None:
            return self.examples
        import tensorflow as tf

        records = tf.data.TFRecordDataset(list(self.paths), self.compression)
        return int(records.reduce(tf.constant(0, tf.int64), lambda count, _: count + 1))


def open_source(config: DataConfig) -> RecordSource:
    """Finds the records that `config` names and checks that they are what it expects.

    A directory is a corpus and has a manifest, which tells shapes and shards: those of "train" for
    training, else those of "validation". For files and globs the first record tells the shape.

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
        patterns = [path] if isinstance(path, str) else list(path)
        paths = tuple(info.path for info in files.match(patterns))
        compression(paths)
        source = RecordSource(paths, _first_record_spec(paths[0]))
    _check_expectations(source.spec, config)
    if config.use_next_sentence_label is False:
        source = replace(source, spec=replace(source.spec, next_sentence=False))
    return source


def _open_corpus(directory: str, split: str) -> RecordSource:
    manifest = read_manifest(directory)
    shards = manifest.split(split)
    if not sum(shard.examples for shard in shards):
        raise CorpusError(
            f"The corpus in {directory} has no {split} examples",
            do="Make it again from more text or with another validation share",
        )
    if not manifest.spec.masked or len({manifest.shard_spec(shard) for shard in shards}) > 1:
        raise CorpusError(
            f"The corpus in {directory} has no mask in it, or examples of several lengths",
            do="Make it with static masking and without bins",
        )
    for shard in shards:
        path = files.join(directory, shard.name)
        if files.is_remote(path):
            continue  # A listing of thousands of objects would cost more than it tells.
        size = os.path.getsize(path) if os.path.exists(path) else None
        if size != shard.bytes:
            raise CorpusError(
                f"{path} must hold {shard.bytes:,} bytes, as the manifest says",
                received="no such file" if size is None else f"{size:,} bytes",
                do="Copy the shard again, or make the corpus again",
            )
    return RecordSource(
        paths=tuple(files.join(directory, shard.name) for shard in shards),
        spec=manifest.spec,
        manifest=manifest,
        examples=sum(shard.examples for shard in shards),
    )


def _first_record_spec(path: str) -> RecordSpec:
    """The shape that the first record of a file has."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    try:
        records = list(tf.data.TFRecordDataset(path, compression((path,))).take(1))
        example = tf.train.Example.FromString(records[0].numpy() if records else b"")
    except (tf.errors.OpError, DecodeError) as error:
        raise CorpusError(
            f"{path} must be a TFRecord file of tf.train.Example",
            received=f"what reading it calls {type(error).__name__}",
            do="Name files that the corpus job wrote; the names of GZIP files end in .gz",
        ) from error
    lengths = {
        name: max(len(f.int64_list.value), len(f.float_list.value), len(f.bytes_list.value))
        for name, f in example.features.feature.items()
    }
    try:
        spec = RecordSpec(
            max_seq_length=lengths["input_mask"],
            max_predictions_per_seq=lengths["masked_lm_positions"],
            next_sentence="next_sentence_labels" in lengths,
            feature_names="v2" if "input_word_ids" in lengths else "v1",
        )
        matches = all(lengths[feature.name] == feature.length for feature in spec.features)
    except (KeyError, ConfigError):
        matches = False
    if not matches:
        raise CorpusError(
            f"{path} must hold masked-LM examples (input_word_ids, masked_lm_positions...)",
            received=", ".join(f"{name}[{n}]" for name, n in sorted(lengths.items())) or "nothing",
        )
    return spec


def _check_expectations(spec: RecordSpec, config: DataConfig) -> None:
    """Checks what a configuration names against what the records hold."""
    for name, expected, held in (
        ("seq_length", config.seq_length, spec.max_seq_length),
        ("max_predictions_per_seq", config.max_predictions_per_seq, spec.max_predictions_per_seq),
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


def compression(paths: tuple[str, ...]) -> str:
    """TensorFlow's name of the files' compression, which their names tell.

    Raises:
        CorpusError: if some are compressed and some are not.
    """
    compressed = {path.endswith(".gz") for path in paths}
    if len(compressed) > 1:
        raise CorpusError("All files must be compressed, or none of them", received="some of each")
    return "GZIP" if compressed.pop() else ""
