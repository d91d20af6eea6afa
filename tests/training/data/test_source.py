from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from pipeline.errors import ConfigError, CorpusError, InputError
from pipeline.records.spec import RecordSpec
from pipeline.training.configs import DataConfig
from pipeline.training.data.source import open_source


def opened(path: Any, **options: Any) -> Any:
    return open_source(DataConfig(input_path=path, **{"is_training": True, **options}))


def test_a_corpus_tells_its_shape(tiny_corpus: Any) -> None:
    source = opened(str(tiny_corpus.directory))
    assert source.spec == tiny_corpus.spec
    assert source.examples == 160
    assert [Path(path).name for path in source.paths] == [f"train-{index:05d}-of-00003.tfrecord" for index in range(3)]
    assert opened(str(tiny_corpus.directory), is_training=False).examples == 33


def test_files_tell_their_shape(tiny_corpus: Any) -> None:
    source = opened((f"{tiny_corpus.directory}/train-*", f"{tiny_corpus.directory}/validation-*"))
    assert source.spec == tiny_corpus.spec
    assert source.bins[0].file_examples == (50, 70, 40, 21, 12)
    assert source.examples == 193


def test_old_feature_names_are_found_out(write_corpus: Any, tmp_path: Path) -> None:
    spec = RecordSpec(24, 4, next_sentence=False, feature_names="v1")
    corpus = write_corpus(tmp_path / "v1", spec=spec)
    assert opened(f"{corpus.directory}/*.tfrecord").spec == spec


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"seq_length": 128}, "seq_length is 128, but the records' is 24"),
        ({"max_predictions_per_seq": 20}, "max_predictions_per_seq is 20, but the records' is 4"),
        ({"use_v2_feature_names": False}, "use_v2_feature_names is False"),
    ],
)
def test_other_shapes_are_refused(tiny_corpus: Any, option: Any, message: str) -> None:
    for path in (tiny_corpus.directory, f"{tiny_corpus.directory}/train-*"):
        with pytest.raises(CorpusError, match=message):
            opened(str(path), **option)


def test_missing_labels_are_refused(write_corpus: Any, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", spec=RecordSpec(24, 4, next_sentence=False))
    with pytest.raises(CorpusError, match="next-sentence labels"):
        opened(str(corpus.directory), use_next_sentence_label=True)


def test_damaged_corpora_are_refused(write_corpus: Any, tmp_path: Path) -> None:
    directory = write_corpus(tmp_path / "corpus").directory
    shard = directory / "train-00001-of-00003.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(CorpusError, match=r"train-00001-of-00003.*must contain"):
        opened(str(directory))
    shard.unlink()
    with pytest.raises(CorpusError, match="no such file"):
        opened(str(directory))
    (directory / "manifest.json").unlink()
    with pytest.raises(CorpusError, match="not a finished corpus"):
        opened(str(directory))


def test_an_empty_split_is_refused(write_corpus: Any, tmp_path: Path) -> None:
    directory = write_corpus(tmp_path / "corpus", validation=()).directory
    with pytest.raises(CorpusError, match="no validation examples"):
        opened(str(directory), is_training=False)


def test_nothing_and_nonsense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="input_path"):
        opened("")
    with pytest.raises(InputError, match="at least one file"):
        opened(str(tmp_path / "*.tfrecord"))
    text = tmp_path / "book.txt"
    text.write_text("It is a truth universally acknowledged, that a single man in possession")
    with pytest.raises(CorpusError, match="must be a TFRecord file"):
        opened(str(text))
    for content, message in ((b"\xff\xff not a message", r"must be a tf.train.Example"), (b"", "no feature")):
        odd = str(tmp_path / "odd.tfrecord")
        with tf.io.TFRecordWriter(odd) as writer:
            writer.write(content)
        with pytest.raises(CorpusError, match=message):
            opened(odd)
    other = tf.train.Example()
    other.features.feature["image"].bytes_list.value.append(b"\x00")
    with tf.io.TFRecordWriter(odd) as writer:
        writer.write(other.SerializeToString())
    with pytest.raises(CorpusError, match=r"image\[1\]"):
        opened(odd)
