"""Records that no model can be trained on, through every door: file, number and feature are named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.config.tree import apply_overrides
from pipeline.errors import CorpusError, UserError
from pipeline.records.spec import RecordSpec, encode_tfrecords
from pipeline.training.bert import ClsHeadConfig, EncoderConfig, PretrainerConfig
from pipeline.training.configs import DataConfig
from pipeline.training.data.limits import RecordLimits
from pipeline.training.data.loader import build_dataset, readable
from pipeline.training.dataset_errors import naming_records
from pipeline.training.distribution import distribute
from pipeline.training.masked_lm import MaskedLMConfig, MaskedLMTask
from pipeline.training.run import pretrain

SPEC, RECORDS, BAD = RecordSpec(24, 4), 20, 13
Columns = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def columns(tiny_corpus: Any) -> Columns:
    return {name: values[:RECORDS] for name, values in tiny_corpus.split("train").items()}


def example(features: dict[str, Any]) -> bytes:
    lists = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=values))
        if np.asarray(values).dtype.kind == "f"
        else tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        for name, values in features.items()
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString())


def write(path: Path, columns: Columns, change: Callable[[dict[str, Any]], Any] = lambda row: None) -> str:
    """Writes records, of which one is changed: its features, or all its bytes."""
    with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else "") as writer:
        for number in range(RECORDS):
            row: Any = {name: values[number].copy() for name, values in columns.items()}
            if number == BAD:
                row = change(row) or row
            writer.write(row if isinstance(row, bytes) else example(row))
    return str(path)


def setting(name: str, place: int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        row[name][place] = value

    return change


FAULTS = {
    "id": (
        setting("input_word_ids", 3, 50),
        r"input_word_ids must be between 0 and 49 \(vocab_size, .*, but contains 50",
    ),
    "wide id": (setting("input_word_ids", 3, 2**32 + 5), "input_word_ids must be between 0 and 49"),
    "negative id": (setting("masked_lm_ids", 0, -1), "masked_lm_ids must be between 0 and 49 .*contains -1"),
    "segment": (setting("input_type_ids", 0, 2), r"input_type_ids must be between 0 and 1 \(type_vocab_size\)"),
    "position": (setting("masked_lm_positions", 0, 24), "masked_lm_positions must be between 0 and 23"),
    "mask": (setting("input_mask", 0, 2), "input_mask must be between 0 and 1"),
    "weight": (setting("masked_lm_weights", 0, np.nan), "masked_lm_weights must be between 0 and .*contains nan"),
    "label": (setting("next_sentence_labels", 0, 2), "next_sentence_labels must be between 0 and 1"),
    "missing": (lambda row: row.pop("input_mask") is None, "input_mask must be 24 values of int64, but is missing"),
    "short": (
        lambda row: row.update(input_word_ids=row["input_word_ids"][:16]),
        "input_word_ids must be 24 values of int64, but is 16 of int64",
    ),
    "type": (
        lambda row: row.update(masked_lm_weights=np.ones(4, np.int64)),
        "masked_lm_weights must be 4 values of float32, but is 4 of int64",
    ),
    "names": (
        lambda row: row.update(input_ids=row.pop("input_word_ids")),
        r"input_word_ids must be 24 values of int64, but is missing; there are input_ids\[24\] of int64, ",
    ),
    "bytes": (lambda row: b"\xff\xffnothing that anybody knows", "bytes that are not a tf.train.Example"),
}


@pytest.fixture(scope="module")
def task() -> MaskedLMTask:
    encoder = EncoderConfig(
        vocab_size=50, hidden_size=8, num_layers=1, num_attention_heads=2, max_position_embeddings=24
    )
    heads = (ClsHeadConfig(name="next_sentence", inner_dim=None),)
    return MaskedLMTask(MaskedLMConfig(model=PretrainerConfig(encoder=encoder, cls_heads=heads)))


def data(path: Any, **options: Any) -> DataConfig:
    return DataConfig(**{"input_path": path, "global_batch_size": 4, "is_training": False, **options})


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("suffix", ["tfrecord", "tfrecord.gz"])
def test_foreign_records_are_named(fault: str, suffix: str, columns: Columns, task: Any, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    paths = [write(tmp_path / f"a.{suffix}", columns), write(tmp_path / f"b.{suffix}", columns, change)]
    with pytest.raises(CorpusError, match=rf"Record {BAD} of {paths[1]} must be a masked-LM example.*{message}"):
        list(readable(task.build_inputs(data(tuple(paths)))))


@pytest.mark.parametrize("fault", FAULTS)
def test_foreign_records_at_the_head_of_a_file(fault: str, columns: Columns, task: Any, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    path = write(tmp_path / "a.tfrecord", {name: np.roll(values, -BAD, 0) for name, values in columns.items()}, change)
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    with tf.io.TFRecordWriter(path) as writer:
        for record in [*records[BAD:], *records[:BAD]]:
            writer.write(record)
    with pytest.raises(CorpusError) as caught:
        list(readable(task.build_inputs(data(path))))
    assert path in str(caught.value)
    assert "ecord 0" in str(caught.value) or "first record" in str(caught.value).lower()
    if fault not in ("missing", "names", "short"):  # Of these the rest of the file is the foreign one.
        assert message.partition(" must")[0] in str(caught.value)


def test_damaged_files_are_named(columns: Columns, task: Any, tmp_path: Path) -> None:
    for suffix in ("tfrecord", "tfrecord.gz"):
        good, bad = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
        write(good, columns)
        content = Path(write(bad, columns)).read_bytes()
        damages = {
            "cut": content[: len(content) * 2 // 3],
            "flipped": content[: len(content) // 2]
            + bytes([content[len(content) // 2] ^ 1])
            + content[1 + len(content) // 2 :],
            "more": content + b"and something more",
        }
        for kind, damaged in damages.items():
            bad.write_bytes(damaged)
            with pytest.raises(CorpusError, match=rf"{bad} must be a TFRecord file.*a damaged record \d+"):
                list(readable(task.build_inputs(data((str(good), str(bad))))))
            assert kind
        for kind, replaced in {"empty": b"", "text": b"It is a truth universally acknowledged" * 9}.items():
            bad.write_bytes(gzip.compress(replaced) if suffix.endswith("gz") and kind == "empty" else replaced)
            with pytest.raises(CorpusError, match=f"{bad} must"):
                list(readable(task.build_inputs(data((str(good), str(bad))))))


def test_fit_and_evaluate_name_the_record(columns: Columns, task: Any, tmp_path: Path) -> None:
    good = write(tmp_path / "a.tfrecord", columns)
    bad = write(tmp_path / "b.tfrecord", columns, FAULTS["id"][0])
    model = task.build_model()
    model.compile(optimizer="sgd")
    batches = task.build_inputs(data(bad))
    message = f"Record {BAD} of {bad} must be a masked-LM example.*vocab_size"
    with pytest.raises(CorpusError, match=message):
        model.fit(task.build_inputs(data((good, bad), is_training=True)), steps_per_epoch=12, verbose=0)
    with pytest.raises(CorpusError, match=message):
        model.fit(task.build_inputs(data(good)), validation_data=batches.take(4), verbose=0)
    with pytest.raises(CorpusError, match=message):
        model.evaluate(batches.repeat(), steps=6, verbose=0)
    with pytest.raises(tf.errors.OpError), naming_records(3, task.build_inputs(data(good))):
        raise tf.errors.InvalidArgumentError(None, None, "not of these records")


def test_batches_of_several_devices_name_the_record(columns: Columns, task: Any, tmp_path: Path) -> None:
    bad = write(tmp_path / "b.tfrecord", columns, FAULTS["position"][0])
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    batches = distribute(strategy, lambda context: task.build_inputs(data(bad), context))
    with pytest.raises(CorpusError, match=f"Record {BAD} of {bad} must"):
        list(readable(batches))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_run_names_the_record(split: str, write_corpus: Any, tiny_config: Any, tmp_path: Path) -> None:
    """A shard of the right size and with the right checksums, made with another vocabulary."""
    corpus = write_corpus(tmp_path / "corpus")
    name = next(name for name in sorted(corpus.columns) if name.startswith(split))
    columns = {key: values.copy() for key, values in corpus.columns[name].items()}
    columns["masked_lm_ids"][5, 0] = 77
    encoded, _ = encode_tfrecords(corpus.spec, columns)
    (corpus.directory / name).write_bytes(encoded.tobytes())
    corpus.index()
    config = apply_overrides(tiny_config(), ["task.validation_data.global_batch_size=16"])
    with pytest.raises(CorpusError, match=rf"Record 5 of \S+{name} must.*between 0 and 49 .*, but contains 77"):
        pretrain(config, str(corpus.directory), str(tmp_path / "run"), show_progress=False)


def test_what_has_no_room_in_the_model_is_told_by_the_options_name(
    tiny_corpus: Any, columns: Columns, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tfrecord", columns)
    directory = str(tiny_corpus.directory)
    for where, limits, message in (
        (path, {"max_position_embeddings": 16}, "max_position_embeddings must be at least 24, the length"),
        (directory, {"max_position_embeddings": 16}, "max_position_embeddings must be at least 24, the length"),
        (directory, {"vocab_size": 30}, "vocab_size must be at least 50, the size of the vocabulary"),
        (path, {"vocab_size": 30}, r"between 0 and 29 \(vocab_size"),
    ):
        with pytest.raises(CorpusError, match=message):
            list(readable(build_dataset(data(where), limits=RecordLimits(**limits))))
    assert len(list(readable(build_dataset(data(directory), limits=RecordLimits(vocab_size=64))))) == 9


def test_files_of_several_shapes_are_refused(columns: Columns, tmp_path: Path) -> None:
    one, other = write(tmp_path / "a.tfrecord", columns), tmp_path / "b.tfrecord"
    without = {name: values for name, values in columns.items() if name != "next_sentence_labels"}
    short = {name: values[:, :16] if values.shape[1] == 24 else values for name, values in columns.items()}
    old = {{"input_word_ids": "input_ids", "input_type_ids": "segment_ids"}.get(n, n): v for n, v in columns.items()}
    for changed in (without, short, old):
        write(other, changed)
        with pytest.raises(CorpusError, match=rf"the same shape.*in {one}, and examples of .* in {other}"):
            build_dataset(data((one, str(other))))


def test_metrics_of_labels_that_are_not_there_are_not_shown(columns: Columns, task: Any, tmp_path: Path) -> None:
    without = {name: values for name, values in columns.items() if name != "next_sentence_labels"}
    path = write(tmp_path / "a.tfrecord", without)
    model = task.build_model()
    model.compile(optimizer="sgd")
    history = model.fit(task.build_inputs(data(path)), validation_data=task.build_inputs(data(path)), verbose=0).history
    assert {"loss", "lm_example_loss", "val_masked_lm_accuracy"} <= set(history)
    assert not [name for name in history if "next_sentence" in name]
    assert "next_sentence_loss" not in model.evaluate(task.build_inputs(data(path)), return_dict=True, verbose=0)
    assert "next_sentence_loss" in model.evaluate(
        task.build_inputs(data(write(tmp_path / "b.tfrecord", columns))), return_dict=True, verbose=0
    )


def test_every_error_is_the_users(tmp_path: Path) -> None:
    (tmp_path / "a.tfrecord").write_bytes(b"\x00" * 40)
    with pytest.raises(UserError, match="damaged record 0"):
        build_dataset(data(str(tmp_path / "a.tfrecord")))
