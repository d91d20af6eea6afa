from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracles.tokenizer_files import make_tokenizer_file
from tokenizers import Tokenizer

from pipeline.beam.corpus import make as corpus_module
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.make import make_corpus
from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.make import make_vocabulary
from pipeline.errors import CorpusError, InputError, OutputError
from pipeline.inspection.validation.validate import validate_corpus
from pipeline.manifest import Manifest, read_manifest
from pipeline.text.reading.plan import InputFile, plan_blocks
from pipeline.tokenizers import WordPieceTokenizer, load_tokenizer

Options = Callable[..., CorpusConfig]
Make = Callable[..., Manifest]
Clean = tuple[Path, Manifest]
Contents = Callable[[str | Path], dict[str, str]]
S, P = 48, 8
ROOT = Path(__file__).parents[3]
NOT_SHARDS = ("manifest.json", "vocab.txt", "chunks.bin")


def shards_only(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if ".tfrecord" in name}


def parse(path: str, compression: str = "") -> list[dict[str, np.ndarray]]:
    """A shard's examples, by the fixed-length features of the record contract."""
    ints = {"input_word_ids": S, "input_mask": S, "input_type_ids": S, "masked_lm_positions": P, "masked_lm_ids": P}
    features = {name: tf.io.FixedLenFeature([length], tf.int64) for name, length in ints.items()}
    features["masked_lm_weights"] = tf.io.FixedLenFeature([P], tf.float32)
    features["next_sentence_labels"] = tf.io.FixedLenFeature([1], tf.int64)
    dataset = tf.data.TFRecordDataset(path, compression_type=compression)
    return list(dataset.map(lambda record: tf.io.parse_single_example(record, features)).as_numpy_iterator())


# === What a finished corpus holds ===


def test_the_manifest_is_right(clean: Clean, contents: Contents) -> None:
    folder, manifest = clean
    assert read_manifest(str(folder)) == manifest
    found = contents(folder)
    assert set(found) == {*NOT_SHARDS, *(shard.name for shard in manifest.shards)}
    blocks = len(manifest.split("train"))
    assert blocks > 3
    assert [shard.name for shard in manifest.shards] == [
        f"{split}-{block:05d}-of-{blocks:05d}.tfrecord" for split in ("train", "validation") for block in range(blocks)
    ]
    for shard in manifest.shards:
        path = folder / shard.name
        examples = parse(str(path))
        assert shard.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert shard.bytes == path.stat().st_size
        assert shard.examples == len(examples)
        assert shard.tokens == sum(int(example["input_mask"].sum()) for example in examples)
        assert shard.predictions == sum(int(example["masked_lm_weights"].sum()) for example in examples)
        assert (shard.max_seq_length, shard.max_predictions_per_seq) == (S, P)
    assert manifest.tokenizer.sha256 == found["vocab.txt"]
    assert manifest.inputs == tuple(
        {"path": str(path), "bytes": path.stat().st_size, "format": "bert"}
        for path in sorted((folder.parent / "texts").iterdir())
    )
    assert manifest.options["lower_case"] is True
    assert manifest.options["seed"] == 12345
    assert manifest.versions["tensorflow"] == tf.__version__


def test_the_statistics_are_right(clean: Clean, documents: list[list[str]]) -> None:
    folder, manifest = clean
    text, train, validation = (manifest.statistics[name] for name in ("text", "train", "validation"))
    assert text["documents"] == len(documents)
    assert text["sentences"] == sum(map(len, documents))
    assert text["characters"] == sum(len("\n".join(document)) for document in documents)
    assert train["documents"] + validation["documents"] == len(documents)
    assert 4 < validation["documents"] < 24
    tokenizer = load_tokenizer(manifest.tokenizer, str(folder))
    tokens = len(tokenizer.encode([sentence for document in documents for sentence in document]).ids)
    assert train["text_tokens"] + validation["text_tokens"] == tokens
    for split, counts in (("train", train), ("validation", validation)):
        shards = manifest.split(split)
        examples = [example for shard in shards for example in parse(f"{folder}/{shard.name}")]
        ids = np.array([example["input_word_ids"] for example in examples])
        weights = np.array([example["masked_lm_weights"] for example in examples])
        total = sum(shard.tokens for shard in shards)
        assert counts["examples"] == len(examples)
        assert counts["tokens"] == total
        assert counts["bytes"] == sum(shard.bytes for shard in shards)
        assert counts["predictions"] == weights.sum()
        assert counts["replaced_by_mask"] == (ids == tokenizer.special_ids["mask"]).sum()
        assert counts["label_1"] == sum(int(example["next_sentence_labels"][0]) for example in examples)
        assert counts["padding_share"] == round(1 - total / (len(examples) * S), 6)
        assert counts["masked_share"] == round(float(weights.sum()) / total, 6)
        assert counts["label_1_share"] == round(counts["label_1"] / len(examples), 6)


def test_names_of_every_kind(make: Make, documents: list[list[str]], tmp_path: Path) -> None:
    """Names that are not UTF-8, and what shells, formats and globs take for something else."""
    names = [b"caf\xe9.txt", b"two\nlines.txt", b"100%s.txt", b"quo'te\".txt", b"--dash.txt", b"*.txt", b"x" * 240]
    folder = os.fsencode(tmp_path / "in \udce9")
    os.mkdir(folder)
    for name in names:
        Path(os.fsdecode(os.path.join(folder, name))).write_text("\n\n".join(map("\n".join, documents[:10])))
    output = os.fsdecode(folder) + "/out %s\n"
    manifest = make(input=(os.fsdecode(folder),), output=output)
    assert [os.fsencode(os.path.basename(info["path"])) for info in manifest.inputs] == sorted(names)
    assert manifest.statistics["text"]["documents"] == 10 * len(names)
    assert read_manifest(output) == manifest
    (Path(output) / "manifest.json").read_bytes().decode()  # UTF-8, for any reader.


KOREAN = ["오늘은 날씨가 매우 좋습니다.", "저는 학교에 갑니다.", "친구가 책을 읽었습니다.", "강물이 높이 불었다."]


def test_a_script_without_case_keeps_its_marks(make: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By what the vocabulary's .json says, and by its entries where there is none."""
    text, vocab = tmp_path / "korean.txt", tmp_path / "korean-vocab.txt"
    text.write_text("\n\n".join("\n".join(KOREAN[i % 4 :] + KOREAN[: i % 4]) for i in range(40)))
    make_vocabulary(
        VocabConfig(input=(str(text),), output=str(vocab), vocab_size=200, lower_case=False), show_progress=False
    )
    for reason in (f"as specified in {vocab}.json", "the vocabulary has entries with accents or marks, such as"):
        manifest = make(input=(str(text),), vocab=str(vocab), output=str(tmp_path / f"corpus-{vocab.stat().st_size}"))
        assert manifest.options["lower_case"] is manifest.tokenizer.lower_case is False
        assert manifest.statistics["train"]["unknown_share"] == 0
        assert manifest.tokenizer.casing.startswith(reason)
        assert f"Text is kept as it is, with case and accents: {reason}" in capfd.readouterr().err
        Path(f"{vocab}.json").unlink(missing_ok=True)
        vocab.write_bytes(vocab.read_bytes() + b"\n")


def test_examples_are_the_text(clean: Clean, documents: list[list[str]]) -> None:
    """Every example, unmasked, is cut out of the documents: A and B of one, or of two if B is random."""
    folder, manifest = clean
    tokenizer = load_tokenizer(manifest.tokenizer, str(folder))
    special = tokenizer.special_ids
    texts = [tokenizer.encode(document).ids.astype("<i4").tobytes() for document in documents]

    def places(segment: np.ndarray) -> set[int]:
        return {i for i, text in enumerate(texts) if segment.astype("<i4").tobytes() in text}

    used: dict[str, set[int]] = {"train": set(), "validation": set()}
    labels = []
    for shard in manifest.shards:
        for example in parse(f"{folder}/{shard.name}"):
            number, length = int(example["masked_lm_weights"].sum()), int(example["input_mask"].sum())
            positions = example["masked_lm_positions"][:number]
            assert (np.diff(positions) > 0).all()
            assert not example["masked_lm_positions"][number:].any()
            assert number == min(P, max(1, round(length * 0.15)))
            assert example["masked_lm_weights"].tolist() == [1.0] * number + [0.0] * (P - number)
            ids = example["input_word_ids"].copy()
            ids[positions] = example["masked_lm_ids"][:number]
            separators = np.flatnonzero(ids == special["sep"])
            assert ids[0] == special["cls"]
            assert len(separators) == 2
            assert separators[1] == length - 1
            assert not np.isin(positions, [0, *separators]).any()
            assert (ids[length:] == special["pad"]).all()
            assert example["input_mask"].tolist() == [1] * length + [0] * (S - length)
            types = [0] * (separators[0] + 1) + [1] * (length - separators[0] - 1) + [0] * (S - length)
            assert example["input_type_ids"].tolist() == types
            a, b = places(ids[1 : separators[0]]), places(ids[separators[0] + 1 : separators[1]])
            label = int(example["next_sentence_labels"][0])
            labels.append(label)
            assert a
            assert b
            if label == 0:
                assert a & b
            used[shard.split] |= (a | b) if len(a) == len(b) == 1 else set()
    # Half of the pairs whose A has a next sentence, within four standard deviations, and all others.
    forced = sum(manifest.statistics[split]["pairs_forced_random"] for split in used)
    drawn = len(labels) - forced
    assert abs(sum(labels) - forced - drawn / 2) < 4 * (drawn / 4) ** 0.5
    assert not used["train"] & used["validation"]  # No text is in both.
    assert len(used["train"] | used["validation"]) > 50


def test_gzip_holds_the_same_bytes(make: Make, clean: Clean, tmp_path: Path) -> None:
    folder, plain = clean
    packed = make(output=str(tmp_path / "packed"), compression="gzip")
    assert [shard.name for shard in packed.shards] == [shard.name + ".gz" for shard in plain.shards]
    for shard, other in zip(plain.shards, packed.shards, strict=True):
        data = (tmp_path / "packed" / other.name).read_bytes()
        assert gzip.decompress(data) == (folder / shard.name).read_bytes()
        assert other.sha256 == hashlib.sha256(data).hexdigest()
        assert other.examples == shard.examples
    assert packed.split("train")[0].bytes < plain.split("train")[0].bytes
    assert len(parse(str(tmp_path / "packed" / packed.shards[0].name), "GZIP")) == packed.shards[0].examples


def test_no_validation_shards_on_request(make: Make, options: Options, contents: Contents) -> None:
    manifest = make(validation_fraction=0)
    assert {shard.split for shard in manifest.shards} == {"train"}
    assert not [name for name in contents(options().output) if "validation" in name]
    assert manifest.statistics["validation"]["examples"] == 0


def test_too_few_documents_for_validation_are_mentioned(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    make(validation_fraction=1e-9)
    assert "No document was selected for validation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("between", "sentence", "changed", "notes"),
    [
        ("\n\n", "{}\n", {}, []),
        ("", "{}\n", {}, ["The whole input is one document", "100% of the random next sentences"]),
        (
            "<|endoftext|>",
            "{} ",
            {"document_separator": "<|endoftext|>"},
            [
                "The whole input is one document",
                "'<|endoftext|>' occurs within lines of 1 document ",
                "100% of the",
            ],
        ),
        ("\n\n", "{}\n\n", {}, ["100% of the pairs have label 1"]),
        ("\n\n", "{} Caf\xe9, vis-\xe0-vis.\n", {}, ["were not valid UTF-8 and became U+FFFD"]),
        ("\n\n", "{}\n漢字仮名交文。\n", {}, ["of the tokens are [UNK]"]),
        ("\n\n", "{}\n", {"sentence_splitter": "none", "max_seq_length": 24}, ["tokens were truncated"]),
    ],
)
def test_what_is_worth_a_look_is_said_and_kept(
    make: Make,
    documents: list[list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    between: str,
    sentence: str,
    changed: dict[str, Any],
    notes: list[str],
) -> None:
    text = between.join("".join(map(sentence.format, document)) for document in documents if len(document) > 3)
    (tmp_path / "text.txt").write_bytes(text.encode("latin-1" if "Caf" in text else "utf-8"))
    usual = {"validation_fraction": 0, "block_bytes": 1 << 20, "max_seq_length": 128, "format": "bert"}
    manifest = make(input=(str(tmp_path / "text.txt"),), **usual | changed)
    if not notes:
        assert manifest.worth_a_look == ()
    for note in notes:
        assert any(note in found for found in manifest.worth_a_look), manifest.worth_a_look
    assert read_manifest(str(tmp_path / "corpus")) == manifest
    said = capsys.readouterr().err
    assert said.count("Worth a look") == bool(notes)
    assert all(f"\n  - {note}\n" in said for note in manifest.worth_a_look)


def test_bins_part_the_examples_by_length(make: Make, options: Options, tmp_path: Path) -> None:
    """Unmasked, so that the same examples are the same bytes but for their padding."""
    common: dict[str, Any] = {"masking": "dynamic", "short_seq_prob": 0.7, "max_seq_length": 128, "dupe_factor": 1}
    whole = make(output=str(tmp_path / "whole"), **common)
    binned = make(output=str(tmp_path / "binned"), bins=(64, 96, 128), **common)

    def texts(manifest: Manifest, folder: str, length: int | None = None) -> list[list[int]]:
        found = []
        for shard in manifest.split("train"):
            if length in (None, shard.max_seq_length):
                feature = {"input_word_ids": tf.io.FixedLenFeature([shard.max_seq_length], tf.int64)}
                for record in tf.data.TFRecordDataset(str(tmp_path / folder / shard.name)).as_numpy_iterator():
                    ids = tf.io.parse_single_example(record, feature)["input_word_ids"].numpy()
                    found.append(np.trim_zeros(ids, "b").tolist())
        return sorted(found)

    assert texts(binned, "binned") == texts(whole, "whole")
    for shorter, length in ((0, 64), (64, 96), (96, 128)):
        lengths = [len(ids) for ids in texts(binned, "binned", length)]
        assert lengths
        assert shorter < min(lengths)
        assert max(lengths) <= length
    assert binned.statistics["train"]["padding_share"] < whole.statistics["train"]["padding_share"]
    # No more room than the examples of a bin can fill.
    assert {s.max_seq_length: s.max_predictions_per_seq for s in binned.shards} == {64: P, 96: P, 128: P}
    assert [spec.max_predictions_per_seq for spec in options(bins=(16, 32, S)).specs()] == [2, 5, P]


# === The same command, the same bytes ===


def test_one_and_two_workers_give_the_same_bytes(make: Make, clean: Clean, contents: Contents, tmp_path: Path) -> None:
    make(output=str(tmp_path / "two"), workers=2)
    assert shards_only(contents(tmp_path / "two")) == shards_only(contents(clean[0]))


def test_beams_options_pass_through_and_change_no_byte(
    make: Make, clean: Clean, contents: Contents, tmp_path: Path
) -> None:
    threads = ["--direct_running_mode=multi_threading", "--direct_num_workers=2"]
    make(output=str(tmp_path / "two"), workers=2, beam_args=threads)
    assert shards_only(contents(tmp_path / "two")) == shards_only(contents(clean[0]))


def test_another_seed_gives_other_bytes(make: Make, clean: Clean) -> None:
    other = [shard.sha256 for shard in make(seed=1).shards if shard.examples]
    assert not set(other) & {shard.sha256 for shard in clean[1].shards}


def test_an_object_store_holds_the_same_bytes(
    make: Make, clean: Clean, text_files: str, vocabulary: bytes, object_store: dict[str, bytes], contents: Contents
) -> None:
    for path in Path(text_files).iterdir():
        object_store[f"teststore://in/{path.name}"] = path.read_bytes()
    object_store["teststore://v/vocab.txt"] = vocabulary
    remote: dict[str, Any] = {"input": ("teststore://in/*.txt",), "vocab": "teststore://v/vocab.txt"}
    manifest = make(output="teststore://out/corpus", **remote)
    stored = {
        path.removeprefix("teststore://out/corpus/"): hashlib.sha256(data).hexdigest()
        for path, data in object_store.items()
        if path.startswith("teststore://out/")
    }
    local = contents(clean[0])
    assert shards_only(stored) == shards_only(local)
    assert set(stored) == set(local)
    assert read_manifest("teststore://out/corpus") == manifest
    before = dict(object_store)
    assert make(output="teststore://out/corpus", **remote) == manifest
    assert object_store == before


def test_a_finished_corpus_is_not_redone(
    make: Make, options: Options, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make()
    paths = sorted(Path(options().output).iterdir())
    times = [path.stat().st_mtime_ns for path in paths]
    monkeypatch.setattr(corpus_module, "run_units", lambda *_, **__: pytest.fail("ran again"))
    assert make(workers=2) == first
    assert "is already finished" in capsys.readouterr().err
    assert sorted(Path(options().output).iterdir()) == paths
    assert [path.stat().st_mtime_ns for path in paths] == times


@pytest.mark.parametrize("loss", ["remove", "cut"])
def test_a_shard_that_got_lost_is_made_again(
    make: Make, options: Options, contents: Contents, capsys: pytest.CaptureFixture[str], loss: str
) -> None:
    manifest = make()
    before = contents(options().output)
    path = Path(options().output) / manifest.shards[1].name
    if loss == "remove":
        path.unlink()
    else:
        os.truncate(path, 100)
    assert make().shards == manifest.shards
    assert "has lost files" in capsys.readouterr().err
    assert contents(options().output) == before


# === Going on ===


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_what_was_finished_before_a_stop_is_kept(
    make: Make,
    options: Options,
    clean: Clean,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(corpus_module, "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make()
    output = Path(options().output)
    assert not (output / "manifest.json").exists()
    # As if it had been killed in block 1, and block 3's shards had gone.
    blocks = len(list((output / ".blocks").glob("block-*.json")))
    (output / ".blocks" / "block-00001.json").unlink()
    (output / f".train-00001-of-{blocks:05d}.tfrecord.tmp").write_bytes(b"half of a sh")
    (output / f"train-00003-of-{blocks:05d}.tfrecord").unlink()
    kept = {
        p: p.stat().st_mtime_ns
        for p in output.glob("*.tfrecord")
        if "-00001-" not in p.name and "-00003-" not in p.name
    }
    capsys.readouterr()
    make()
    assert f"{blocks - 2} of them finished earlier" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert contents(output).keys() == contents(clean[0]).keys()
    assert shards_only(contents(output)) == shards_only(contents(clean[0]))


def command(config: CorpusConfig) -> list[str]:
    words = [sys.executable, "-m", "pipeline", "corpus", "--no-progress", "--workers", "1"]
    words += ["--input", *config.input, "--output", config.output, "--vocab", config.vocab]
    for name in ("max_seq_length", "max_predictions_per_seq", "dupe_factor", "validation_fraction", "block_bytes"):
        words += [f"--{name.replace('_', '-')}", str(getattr(config, name))]
    return words


def test_a_killed_run_goes_on(make: Make, options: Options, contents: Contents, tmp_path: Path) -> None:
    slow = {"dupe_factor": 400, "block_bytes": 1024}  # Long enough to be killed in the middle.
    config = options(**slow)
    process = subprocess.Popen(command(config), cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL)
    work = Path(config.output) / ".blocks"
    deadline = time.monotonic() + 120
    while not list(work.glob("block-*.json")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path.name for path in work.glob("block-*.json")}
    assert not (Path(config.output) / "manifest.json").exists()
    manifest = make(**slow)
    assert 0 < len(finished) < len(manifest.split("train"))
    make(output=str(tmp_path / "clean"), **slow)
    assert contents(config.output).keys() == contents(tmp_path / "clean").keys()
    assert shards_only(contents(config.output)) == shards_only(contents(tmp_path / "clean"))


def test_an_unfinished_corpus_of_other_options_is_started_over(
    make: Make,
    options: Options,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(corpus_module, "_finish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(block_bytes=3000)
    capsys.readouterr()
    manifest = make()
    assert "contains an unfinished corpus with other options or inputs; starting over" in capsys.readouterr().err
    assert set(contents(options().output)) == {
        "manifest.json",
        "vocab.txt",
        "chunks.bin",
        *(shard.name for shard in manifest.shards),
    }


# === Overwriting ===


def test_another_corpus_is_not_overwritten_unasked(make: Make, options: Options, contents: Contents) -> None:
    make()
    before = contents(options().output)
    with pytest.raises(OutputError, match=r"contains a finished corpus .* replace the corpus with --overwrite"):
        make(seed=2)
    assert contents(options().output) == before


def test_overwriting_leaves_nothing_of_the_old_corpus(
    make: Make, options: Options, clean: Clean, contents: Contents
) -> None:
    make(block_bytes=2000)
    assert make(overwrite=True).shards == clean[1].shards
    assert contents(options().output).keys() == contents(clean[0]).keys()


def test_overwriting_that_was_stopped_leaves_nothing_either(
    make: Make, options: Options, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(block_bytes=2000)
    with monkeypatch.context() as patch:
        patch.setattr(corpus_module, "_remove_shards", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(overwrite=True)
    assert not (Path(options().output) / "manifest.json").exists()
    manifest = make()
    assert set(contents(options().output)) == {
        "manifest.json",
        "vocab.txt",
        "chunks.bin",
        *(shard.name for shard in manifest.shards),
    }


# === Failures ===


def run_after(change: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Lets `change` happen between the planning of the next run and its work."""
    run_units = corpus_module.run_units

    def run_then(*arguments: Any, **options: Any) -> None:
        patch.undo()
        change()
        run_units(*arguments, **options)

    patch.setattr(corpus_module, "run_units", run_then)


def test_blocks_that_fail_are_reported_and_the_others_are_kept(
    make: Make,
    options: Options,
    text_files: str,
    clean: Clean,
    contents: Contents,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = Path(text_files) / "one.txt"
    data = path.read_bytes()
    blocks, failing = len(clean[1].split("train")), len(plan_blocks([InputFile(str(path), len(data))], 6000))
    assert 1 < failing < blocks - 1
    with pytest.MonkeyPatch.context() as patch:
        run_after(lambda: os.truncate(path, len(data) - 1), patch)
        with pytest.raises(CorpusError) as caught:
            make()
    message = str(caught.value)
    reason = (
        f"{path} became shorter: it had {len(data):,} bytes when the job was planned. Received: {len(data) - 1:,} bytes"
    )
    assert message.startswith(f"{failing} of {blocks} blocks failed: block 0: {reason}")
    assert message.count(reason) == failing
    assert message.endswith("run the same command again.")
    output = Path(options().output)
    assert not (output / "manifest.json").exists()
    assert len(list(output.glob("train-*"))) == blocks - failing
    assert not list(output.glob(".*.tmp"))
    path.write_bytes(data)
    capsys.readouterr()
    assert make().shards == clean[1].shards
    assert f"{blocks - failing} of them finished earlier" in capsys.readouterr().err
    assert contents(output).keys() == contents(clean[0]).keys()


def test_a_shard_that_cannot_be_written_is_reported(make: Make, options: Options, clean: Clean) -> None:
    name = clean[1].shards[0].name
    obstacle = Path(options().output) / name
    obstacle.mkdir(parents=True)
    with pytest.raises(CorpusError, match=rf"block 0: Cannot write {obstacle}\. Received: Is a directory"):
        make()
    obstacle.rmdir()
    assert make().shards[0].name == name


def test_text_without_a_document_leaves_nothing(options: Options, tmp_path: Path) -> None:
    path = tmp_path / "blank.txt"
    path.write_text(" \n\n\t\n" * 2000)
    for text_format in ("bert", "wrapped"):
        with pytest.raises(
            InputError, match=r"no training examples: the input contains no documents, only white space"
        ):
            make_corpus(options(input=(str(path),), format=text_format), show_progress=False)
        assert list(Path(options().output).rglob("*")) == []


def test_documents_without_tokens_are_counted(options: Options, tmp_path: Path) -> None:
    path = tmp_path / "odd.txt"
    path.write_text("\u200b\u200b\n\n\x01\x02\n\n" * 20)
    config = options(input=(str(path),), format="bert", validation_fraction=0, cleaning="none")
    with pytest.raises(InputError, match="of 40 documents, 40 contain no tokens and 0 were selected for validation"):
        make_corpus(config, show_progress=False)
    path.write_text("\u200b\u200b\n\nThe river opens.\n\n")
    manifest = make_corpus(config, show_progress=False)
    assert manifest.statistics["train"]["documents_dropped_without_token"] == 1
    assert manifest.statistics["train"]["documents"] == 1


def test_documents_dropped_while_cleaning_are_counted_by_reason(options: Options, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    lines = ['{"text": "12345"}', '{"text": ""}', '{"text": null}', "not JSON"] * 10
    path.write_text("\n".join(lines))
    config = options(input=(str(path),), on_bad_text="drop", validation_fraction=0)
    reasons = ", ".join(f"10 were dropped ({reason})" for reason in ("bad_json", "empty", "few_letters", "no_text"))
    with pytest.raises(InputError) as caught:
        make_corpus(config, show_progress=False)
    assert f"of 40 documents, {reasons}, 0 contain no tokens and 0 were selected for validation" in str(caught.value)
    path.write_text("\n".join([*lines, '{"text": "The river opens. The window follows."}']))
    text = make_corpus(config, show_progress=False).statistics["text"]
    assert text["dropped"] == {"bad_json": 10, "empty": 10, "few_letters": 10, "no_text": 10}
    assert (text["documents_read"], text["documents"], text["sentences"]) == (41, 1, 2)


def test_a_sentence_splitter_of_ones_own(options: Options, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("The river; the window; the door.\n\nThe lantern; the ship.\n")
    splitter = f"{_at_semicolons.__module__}:{_at_semicolons.__name__}"
    config = options(input=(str(path),), format="lines", sentence_splitter=splitter, validation_fraction=0)
    assert make_corpus(config, show_progress=False).statistics["text"]["sentences"] == 5


def _at_semicolons(document: str) -> list[str]:
    return document.split(";")


def test_the_key_covers_what_decides_the_bytes(
    options: Options, text_files: str, tmp_path: Path, vocabulary: bytes
) -> None:
    def key(**values: Any) -> str:
        return corpus_module.plan_corpus(options(**values))[0].key

    same = key()
    elsewhere = tmp_path / "same-vocabulary.txt"
    elsewhere.write_bytes(vocabulary)
    assert key(output=str(tmp_path / "other"), vocab=str(elsewhere), format="bert", lower_case=True) == same
    assert key(input=(f"{text_files}/one.txt", f"{text_files}/two.txt")) == same
    elsewhere.write_bytes(vocabulary + b"more\n")
    changes: dict[str, Any] = {
        "format": "lines",
        "text_field": "body",
        "document_separator": "---",
        "on_bad_text": "drop",
        "cleaning": "strict",
        "min_document_chars": 2,
        "max_document_chars": 10**6,
        "sentence_splitter": "none",
        "lower_case": False,
        "max_seq_length": 64,
        "max_predictions_per_seq": 9,
        "masked_lm_prob": 0.2,
        "pairing": "doc-sentences",
        "masking": "dynamic",
        "masking_unit": "word",
        "short_seq_prob": 0.0,
        "dupe_factor": 3,
        "validation_fraction": 0.1,
        "bins": (24, S),
        "packing": "best-fit",
        "max_sequences_per_row": 3,
        "feature_names": "v1",
        "compression": "gzip",
        "block_bytes": 5000,
        "seed": 1,
        "dedup": "exact",
        "csv_quotes": "none",
        "mask_prob": 0.7,
        "random_prob": 0.2,
        "max_ngram_size": 2,
    }
    # Where it goes decides no byte; of the vocabulary and the input, the contents count.
    assert changes.keys() == {field.name for field in dataclasses.fields(CorpusConfig)} - {"output", "vocab", "input"}
    others = [
        key(vocab=str(elsewhere)),
        key(input=(f"{text_files}/one.txt",)),
        *(key(**{name: value}) for name, value in changes.items()),
    ]
    assert len({same, *others}) == len(others) + 1


def test_the_vocabulary_beside_the_corpus_is_the_one_that_made_it(
    make: Make, options: Options, vocabulary: bytes
) -> None:
    manifest = make()
    assert (Path(options().output) / "vocab.txt").read_bytes() == vocabulary
    made_again = load_tokenizer(manifest.tokenizer, options().output)
    assert made_again.describe() == WordPieceTokenizer(vocabulary).describe()
    data = json.loads((Path(options().output) / "manifest.json").read_text())
    assert data["tokenizer"]["special_ids"] == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}


@pytest.mark.parametrize("kind", ["roberta", "modernbert"])
def test_a_tokenizer_file_makes_a_corpus(make: Make, documents: list[list[str]], tmp_path: Path, kind: str) -> None:
    sentences = [sentence for document in documents for sentence in document]
    data = make_tokenizer_file(kind, sentences, 400)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(data)
    out = tmp_path / "corpus"
    manifest = make(vocab=str(path), lower_case=None, masking_unit="word")
    assert (out / "tokenizer.json").read_bytes() == data
    assert (manifest.tokenizer.kind, manifest.tokenizer.vocab_file) == ("huggingface", "tokenizer.json")
    assert "tokenizers" in manifest.versions
    assert validate_corpus(str(out)).problems == []
    # Segments are made of the library's own ids of whole sentences, and masked word by word.
    library = Tokenizer.from_str(data.decode())
    library.no_truncation()
    library.no_padding()
    ids = {tuple(library.encode(sentence, add_special_tokens=False).ids) for sentence in sentences}
    tokenizer = load_tokenizer(manifest.tokenizer, str(out))
    whole = 0
    for shard in manifest.shards:
        for example in parse(f"{out}/{shard.name}"):
            number = int(example["masked_lm_weights"].sum())
            positions = example["masked_lm_positions"][:number]
            found = example["input_word_ids"].copy()
            found[positions] = example["masked_lm_ids"][:number]
            ends = np.flatnonzero(found == tokenizer.special_ids["sep"])
            whole += any(tuple(part) in ids for part in (found[1 : ends[0]], found[ends[0] + 1 : ends[1]]))
            begins = tokenizer.word_boundaries.find(found)
            word_of = np.cumsum(begins)
            masked = np.isin(np.arange(len(found)), positions)
            for word in set(word_of[positions].tolist()):
                assert masked[word_of == word].all()
    assert whole > 5
