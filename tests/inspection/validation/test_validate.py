"""Faults planted into corpora, each with counts and checksums put right so that the check that is meant is reached."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.errors import ConfigError, CorpusError
from pipeline.inspection.validation import reading
from pipeline.inspection.validation.problems import CHECKS, Problem
from pipeline.inspection.validation.validate import validate_corpus
from pipeline.manifest import write_index

PAD, UNK, CLS, SEP, MASK, UNUSED = range(6)
Make = Callable[..., Path]
Bench = Callable[..., Any]
Columns = dict[str, np.ndarray]

KINDS: dict[str, dict[str, Any]] = {
    "pairs": {},
    "order": {"pairing": "sentence-order", "masking_unit": "ngram", "bins": (24, 40, 64)},
    "packed": {"pairing": "full-sentences", "masking_unit": "span", "compression": "gzip"},
    "documents": {"pairing": "doc-sentences", "masking_unit": "word", "mask_prob": 1.0, "random_prob": 0.0},
    "sentences": {"pairing": "single-sentences", "masked_lm_prob": 0.4, "max_predictions_per_seq": 30},
    "dynamic": {"masking": "dynamic"},
    "dynamic packed": {"masking": "dynamic", "pairing": "full-sentences", "bins": (32, 64)},
    "all training": {"validation_fraction": 0.0, "dupe_factor": 1},
    "rows of pairs": {"packing": "best-fit", "max_seq_length": 128, "max_predictions_per_seq": 20},
    "rows of order": {
        "packing": "best-fit",
        "pairing": "sentence-order",
        "masking_unit": "ngram",
        "bins": (32, 128),
        "max_seq_length": 128,
        "feature_names": "v1",
        "compression": "gzip",
    },
    "rows across documents": {"packing": "best-fit", "pairing": "full-sentences", "masking_unit": "word"},
    "rows of sentences": {"packing": "best-fit", "pairing": "single-sentences", "masking_unit": "span"},
    "dynamic rows": {"packing": "best-fit", "pairing": "doc-sentences", "masking": "dynamic"},
    "dynamic rows of pairs": {"packing": "best-fit", "masking": "dynamic", "max_sequences_per_row": 3},
}
LABELLED = ("pairs", "order", "dynamic", "all training", "rows of pairs", "rows of order", "dynamic rows of pairs")


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_job_makes_is_right(make: Make, kind: str) -> None:
    result = validate_corpus(str(make(**KINDS[kind])))
    assert result.problems == []
    assert result.examples > 300
    static = KINDS[kind].get("masking") != "dynamic"
    assert ("masks" in result.skipped, "rates" in result.skipped) == (not static, not static)
    assert ("pairs" in result.skipped) == (kind not in LABELLED)
    assert ("split" in result.skipped) == (kind in ("sentences", "rows of sentences", "all training"))


def problems(bench: Any, check: str, **options: Any) -> list[Problem]:
    """What is found, all of it by one check."""
    result = validate_corpus(str(bench.directory), **options)
    assert {problem.check for problem in result.problems} == {check}
    return result.problems


# === Files ===


def test_a_flipped_byte(workbench: Bench) -> None:
    bench = workbench()
    name = bench.shard()
    path = bench.directory / name
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little") + 16
    data[size + 100] ^= 1  # In the second record: the first ends at `size`.
    path.write_bytes(data)
    result = validate_corpus(str(bench.directory))
    found = {problem.check: problem for problem in result.problems}
    assert set(found) == {"files", "framing"}
    assert "SHA-256" in found["files"].message
    assert (found["framing"].shard, found["framing"].records, found["framing"].count) == (name, (1,), 1)
    assert "totals" in result.skipped


def test_a_shard_cut_short(workbench: Bench) -> None:
    bench = workbench()
    path = bench.directory / bench.shard()
    path.write_bytes(path.read_bytes()[:-5])
    found = {problem.check: problem.message for problem in validate_corpus(str(bench.directory)).problems}
    assert "bytes, but has" in found["files"]
    assert "cut short" in found["framing"]


def test_an_index_that_is_not_there_or_of_another_length(workbench: Bench) -> None:
    bench = workbench()
    path = bench.directory / "chunks.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    assert f"must have {len(whole):,} bytes, but has {len(whole) - 8:,}" in str(problems(bench, "index")[0])
    path.unlink()
    assert [str(problem) for problem in problems(bench, "index")] == ["chunks.bin: it is missing"]


def test_an_index_that_differs(workbench: Bench) -> None:
    bench = workbench()
    path = bench.directory / "chunks.bin"
    entries = np.frombuffer(path.read_bytes(), "<u4").reshape(-1, 2).copy()
    entries[1, 1] ^= 1
    path.write_bytes(entries.tobytes())
    assert "its SHA-256 must be" in str(problems(bench, "index")[0])
    # The manifest is as wrong as the index: the shard tells.
    bench.rewrite(index=write_index([entries.tobytes()], str(bench.directory)))
    (found,) = problems(bench, "index")
    assert (found.shard, found.records, found.count) == (bench.shard(), (64,), 1)
    assert "checksum of its chunk must be the index's" in found.message
    entries[1] = entries[1, 0] + 4, entries[1, 1] ^ 1
    bench.rewrite(index=write_index([entries.tobytes()], str(bench.directory)))
    (found,) = problems(bench, "index")
    assert found.message.startswith("its chunks must have")
    assert found.shard == bench.shard()


def test_a_corpus_of_an_earlier_version_has_no_index(workbench: Bench) -> None:
    bench = workbench()
    bench.rewrite(index=None)
    (bench.directory / "chunks.bin").unlink()
    result = validate_corpus(str(bench.directory))
    assert result.problems == []
    assert "earlier version" in result.skipped["index"]


def test_a_missing_shard(workbench: Bench) -> None:
    bench = workbench()
    name = bench.shard()
    (bench.directory / name).unlink()
    assert problems(bench, "files") == [Problem("files", "it is missing", name)]


def test_a_renamed_shard(workbench: Bench) -> None:
    bench = workbench()
    name = bench.shard()
    (bench.directory / name).rename(bench.directory / "train-00009-of-00010.tfrecord")
    missing, extra = problems(bench, "files")
    assert (missing.shard, missing.message) == (
        name,
        "it is missing; train-00009-of-00010.tfrecord has the same contents",
    )
    assert (extra.shard, extra.message) == ("train-00009-of-00010.tfrecord", "the manifest does not list it")


def test_a_shard_copied_over_another(workbench: Bench) -> None:
    bench = workbench(block_bytes=40_000)
    first, second = bench.shard(index=0), bench.shard(index=1)
    shutil.copy(bench.directory / first, bench.directory / second)
    result = validate_corpus(str(bench.directory))
    assert Problem("files", f"it has the contents of {first}", second) in result.problems
    assert any(problem.check == "duplicates" and problem.shard == second for problem in result.problems)


def test_a_shard_copied_over_another_and_into_the_manifest(workbench: Bench) -> None:
    bench = workbench(block_bytes=40_000)
    first, second = bench.shard(index=0), bench.shard(index=1)
    bench.write(second, bench.read(first))
    result = validate_corpus(str(bench.directory))
    assert Problem("files", f"the manifest has the same SHA-256 for {first}", second) in result.problems
    assert any(problem.check == "duplicates" and problem.shard == second for problem in result.problems)


def test_a_wrong_vocabulary(workbench: Bench) -> None:
    bench = workbench()
    path = bench.directory / "vocab.txt"
    tokens = path.read_text().split("\n")
    tokens[50], tokens[51] = tokens[51], tokens[50]
    path.write_text("\n".join(tokens))
    [problem] = problems(bench, "files")
    assert "must be the vocabulary that the corpus was made with" in problem.message
    path.unlink()
    [problem] = problems(bench, "files")
    assert "There must be a vocabulary" in problem.message


def test_a_manifest_that_tells_another_vocabulary_than_the_right_file(workbench: Bench) -> None:
    import dataclasses

    bench = workbench()
    tokenizer = bench.manifest.tokenizer
    bench.rewrite(tokenizer=dataclasses.replace(tokenizer, special_ids={**tokenizer.special_ids, "unk": UNUSED}))
    [problem] = problems(bench, "files")
    assert "The manifest describes a vocabulary of" in problem.message


def test_a_manifest_that_lacks_a_shard(workbench: Bench) -> None:
    bench = workbench(block_bytes=40_000)
    shards = bench.manifest.shards
    bench.rewrite(shards=shards[1:])
    messages = [(problem.shard, problem.message) for problem in problems(bench, "files")]
    assert (shards[0].name, "it is not in the manifest, but the options require it") in messages
    bench.rewrite(shards=(*shards, shards[0]))
    assert (shards[0].name, "the manifest lists it 2 times") in {
        (problem.shard, problem.message) for problem in validate_corpus(str(bench.directory)).problems
    }


def test_a_manifest_whose_shapes_are_not_those_of_its_options(workbench: Bench) -> None:
    import dataclasses

    bench = workbench(block_bytes=40_000)
    manifest = bench.manifest
    first, *others = manifest.shards

    def messages() -> set[tuple[str, str]]:
        found = validate_corpus(str(bench.directory)).problems
        return {(problem.shard, problem.message) for problem in found if problem.check == "files"}

    bench.rewrite(options={**manifest.options, "max_seq_length": 128, "max_predictions_per_seq": 20})
    assert ("", "the manifest's spec does not match its options") in messages()
    bench.rewrite(options=manifest.options, shards=(dataclasses.replace(first, split="validation"), *others))
    wrong = "its split or its lengths do not match the options"
    assert messages() == {(first.name, wrong)}
    bench.rewrite(shards=(dataclasses.replace(first, max_predictions_per_seq=9), *others))
    assert (first.name, wrong) in messages()
    blocks = len(manifest.split("train"))
    other_plan = first.name.replace(f"of-{blocks:05d}", "of-00077")
    bench.rewrite(shards=(dataclasses.replace(first, name=other_plan), *others))
    assert ("", f"the manifest's shards belong to different plans, of {sorted([blocks, 77])} blocks") in messages()
    bench.rewrite(shards=(dataclasses.replace(first, name="train.tfrecord"), *others))
    assert ("train.tfrecord", "the options require no shard of this name") in messages()


def test_a_shard_that_the_manifest_does_not_know(workbench: Bench) -> None:
    bench = workbench()
    (bench.directory / "train-00009-of-00010.tfrecord").write_bytes(b"")
    found = problems(bench, "files")
    assert [(p.shard, p.message) for p in found] == [("train-00009-of-00010.tfrecord", "the manifest does not list it")]


def test_more_documents_in_the_splits_than_in_all(workbench: Bench) -> None:
    bench = workbench()
    documents = bench.manifest.statistics["text"]["documents"]
    bench.doctor("text", documents=documents - 1)
    [problem] = problems(bench, "totals")
    assert problem.message == f"the manifest says {documents - 1:,} documents; the splits have {documents:,}"


# === Records ===


def replace_record(bench: Any, name: str, number: int, change: Callable[[Any], None]) -> None:
    """Changes one serialised example, whatever its shape becomes."""
    import dataclasses
    import hashlib

    import tensorflow as tf

    from pipeline.records.decoding import read_serialized

    path = bench.directory / name
    records = list(read_serialized(str(path)))
    example = tf.train.Example.FromString(records[number])
    change(example)
    records[number] = example.SerializeToString(deterministic=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    data = path.read_bytes()
    fresh = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    shards = (dataclasses.replace(s, **fresh) if s.name == name else s for s in bench.manifest.shards)
    bench.rewrite(shards=tuple(shards))
    bench.index()


def test_an_example_of_another_length(workbench: Bench) -> None:
    bench = workbench()
    name = bench.shard()
    replace_record(bench, name, 3, lambda e: e.features.feature["input_mask"].int64_list.value.append(0))
    [problem] = problems(bench, "format")
    assert (problem.shard, problem.records) == (name, (3,))
    assert "input_mask" in problem.message


def test_a_feature_too_many(workbench: Bench) -> None:
    bench = workbench()
    name = bench.shard()
    replace_record(bench, name, 4, lambda e: e.features.feature["more"].int64_list.value.append(0))
    [problem] = problems(bench, "format")
    assert (problem.shard, problem.records) == (name, (4,))
    assert "canonical" in problem.message


def with_cell(name: str, row: int, column: int, value: float) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns[name][row, column] = value

    return change


def mask_first_separator(columns: Columns) -> None:
    """[SEP] of record 5 becomes a prediction."""
    ids = columns["input_word_ids"][5]
    place = int(np.flatnonzero(ids == SEP)[0])
    positions = columns["masked_lm_positions"][5]
    real = int(columns["masked_lm_weights"][5].sum())
    ids[positions[0]] = columns["masked_lm_ids"][5, 0]  # What was predicted first is so no longer.
    kept = [(int(p), int(i)) for p, i in zip(positions[1:real], columns["masked_lm_ids"][5, 1:real], strict=True)]
    for index, (position, original) in enumerate(sorted([*kept, (place, SEP)])):
        columns["masked_lm_positions"][5, index] = position
        columns["masked_lm_ids"][5, index] = original
    ids[place] = MASK


def replace_separator(columns: Columns) -> None:
    """[SEP] of record 5 becomes [MASK], and nobody is to predict it."""
    ids = columns["input_word_ids"][5]
    ids[np.flatnonzero(ids == SEP)[0]] = MASK


def predict_nothing_last(columns: Columns) -> None:
    """Record 5 loses its last prediction."""
    last = int(columns["masked_lm_weights"][5].sum()) - 1
    place = columns["masked_lm_positions"][5, last]
    columns["input_word_ids"][5, place] = columns["masked_lm_ids"][5, last]
    for name in ("positions", "ids", "weights"):
        columns[f"masked_lm_{name}"][5, last] = 0


def swap_first_positions(columns: Columns) -> None:
    for name in ("positions", "ids"):
        columns[f"masked_lm_{name}"][5, :2] = columns[f"masked_lm_{name}"][5, 1::-1]


def random_token(token: int) -> Callable[[Columns], None]:
    """The first prediction of record 5 is replaced by a token."""

    def change(columns: Columns) -> None:
        columns["input_word_ids"][5, columns["masked_lm_positions"][5, 0]] = token

    return change


def hole_in_mask(columns: Columns) -> None:
    columns["input_mask"][5, 7] = 0


def text_of_another(columns: Columns) -> None:
    """Segment B of record 5 is said to be of segment A."""
    columns["input_type_ids"][5] = 0


def empty_first_segment(columns: Columns) -> None:
    """[SEP] of record 5 stands behind [CLS]."""
    ids, types = columns["input_word_ids"][5], columns["input_type_ids"][5]
    place = int(np.flatnonzero(ids == SEP)[0])
    ids[place], ids[1] = ids[1], SEP
    length = int(columns["input_mask"][5].sum())
    types[2:length] = 1


def mask_unasked(columns: Columns) -> None:
    """An ordinary token of record 5 becomes [MASK], and nobody is to predict it."""
    ids, length = columns["input_word_ids"][5], int(columns["input_mask"][5].sum())
    places = set(range(1, length)) - set(columns["masked_lm_positions"][5].tolist()) - set(np.flatnonzero(ids == SEP))
    ids[min(places)] = MASK


def word_last(columns: Columns) -> None:
    """The last token of record 5 is a word."""
    columns["input_word_ids"][5, int(columns["input_mask"][5].sum()) - 1] = 60


@pytest.mark.parametrize(
    ("change", "check", "message"),
    [
        (mask_unasked, "structure", "[MASK] must be at predictions only"),
        (word_last, "structure", "[SEP] must be last"),
        (with_cell("masked_lm_ids", 5, 0, 4000), "format", "masked_lm_ids must be in [0, "),
        (with_cell("input_type_ids", 5, 1, 2), "format", "input_type_ids must be in [0, 2)"),
        (with_cell("input_mask", 5, 0, 2), "format", "input_mask must be in [0, 2)"),
        (mask_first_separator, "masks", "a special token must not be predicted"),
        (replace_separator, "structure", "there must be two [SEP]"),
        (with_cell("input_word_ids", 5, 0, 60), "structure", "[CLS] must be first"),
        (with_cell("input_word_ids", 5, 2, PAD), "structure", "[PAD] must follow the last token"),
        (with_cell("input_word_ids", 5, 3, 4000), "format", "input_word_ids must be in [0, "),
        (with_cell("next_sentence_labels", 5, 0, 2), "format", "next_sentence_labels must be in [0, 2)"),
        (with_cell("masked_lm_weights", 5, 0, 0.5), "format", "masked_lm_weights must be 0.0 or 1.0"),
        (with_cell("masked_lm_weights", 5, 0, 0), "masks", "masked_lm_weights must be ones, then zeros"),
        (with_cell("masked_lm_positions", 5, 0, 70), "format", "masked_lm_positions must be in [0, 64)"),
        (swap_first_positions, "masks", "masked_lm_positions must ascend strictly"),
        (predict_nothing_last, "masks", "the number of predictions must be min(P, max(1, round(n * masked_lm_prob)))"),
        (random_token(UNUSED), "masks", "a random token must be neither special nor unused"),
        (random_token(CLS), "masks", "a random token must be neither special nor unused"),
        (hole_in_mask, "structure", "input_mask must be ones, then zeros"),
        (text_of_another, "structure", "input_type_ids must be 1 after the first [SEP]"),
        (empty_first_segment, "structure", "a segment must contain a token"),
    ],
)
def test_a_wrong_example(workbench: Bench, change: Callable[[Columns], None], check: str, message: str) -> None:
    bench = workbench()
    name = bench.shard()
    bench.change(name, change)
    found = [p for p in validate_corpus(str(bench.directory)).problems if p.message.startswith(message)]
    assert [(p.check, p.shard, p.records, p.count) for p in found] == [(check, name, (5,), 1)]


def second_separator(columns: Columns) -> None:
    """A word of record 5, where nothing is predicted, becomes [SEP]."""
    length, predicted = int(columns["input_mask"][5].sum()), set(columns["masked_lm_positions"][5].tolist())
    place = next(place for place in range(2, length - 2) if place not in predicted)
    columns["input_word_ids"][5, place] = SEP


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (second_separator, "there must be one [SEP]"),
        (with_cell("input_type_ids", 5, 1, 1), "input_type_ids must be 0"),
    ],
)
def test_a_wrong_example_without_pairs(workbench: Bench, change: Callable[[Columns], None], message: str) -> None:
    bench = workbench(**KINDS["sentences"])
    name = bench.shard()
    long = int(np.argmax(bench.read(name)["input_mask"].sum(axis=1)))

    def at_five(columns: Columns) -> None:
        for values in columns.values():
            values[[5, long]] = values[[long, 5]]
        change(columns)

    bench.change(name, at_five)
    found = [p for p in validate_corpus(str(bench.directory)).problems if p.message == message]
    assert [(p.check, p.shard, p.records, p.count) for p in found] == [("structure", name, (5,), 1)]


# === Packed rows ===


def packed_row(columns: Columns) -> tuple[int, int, int]:
    """The first row of two or more sequences, and where its second one begins and ends."""
    sequence_ids = columns["input_sequence_ids"]
    row = int(np.flatnonzero(sequence_ids.max(axis=1) > 1)[0])
    second = np.flatnonzero(sequence_ids[row] == 2)
    return row, int(second[0]), int(second[-1]) + 1


def unpredicted(columns: Columns, row: int, begin: int, end: int) -> int:
    """An inner place of a sequence whose neighbours are ordinary, too, and at which nothing is predicted."""
    taken = set(columns["masked_lm_positions"][row].tolist()) if "masked_lm_positions" in columns else set()
    ids = columns["input_word_ids"][row]
    places = range(begin + 2, end - 2)
    return next(p for p in places if p not in taken and not {*ids[p - 1 : p + 2].tolist()} & {SEP, MASK})


def sequence_cell(name: str, column: int, value: float) -> Callable[[Columns], None]:
    def change(columns: Columns) -> None:
        columns[name][packed_row(columns)[0], column] = value

    return change


def at_second(name: str, offset: int, value: int) -> Callable[[Columns], None]:
    """Changes a value of the second sequence; a negative offset counts from its end."""

    def change(columns: Columns) -> None:
        row, begin, end = packed_row(columns)
        columns[name][row, (begin if offset >= 0 else end) + offset] = value

    return change


def word_at(place: Callable[[int, int], int]) -> Callable[[Columns], None]:
    """A token of the second sequence, given by its begin and end, becomes a word."""

    def change(columns: Columns) -> None:
        row, begin, end = packed_row(columns)
        columns["input_word_ids"][row, place(begin, end)] = 60

    return change


def special_inside(token: int) -> Callable[[Columns], None]:
    """A word of the second sequence becomes a special token."""

    def change(columns: Columns) -> None:
        row, begin, end = packed_row(columns)
        columns["input_word_ids"][row, unpredicted(columns, row, begin, end)] = token

    return change


def join_sequences(columns: Columns) -> None:
    """The second sequence is said to be of the first."""
    row, begin, _ = packed_row(columns)
    sequence_ids = columns["input_sequence_ids"][row]
    sequence_ids[begin:] -= sequence_ids[begin:] > 0


def skip_a_number(columns: Columns) -> None:
    row, begin, _ = packed_row(columns)
    sequence_ids = columns["input_sequence_ids"][row]
    sequence_ids[begin:] += sequence_ids[begin:] > 0


def swap_numbers(columns: Columns) -> None:
    row, begin, end = packed_row(columns)
    sequence_ids = columns["input_sequence_ids"][row]
    sequence_ids[:begin], sequence_ids[begin:end] = 2, 1


def a_sequence_at_padding(columns: Columns) -> None:
    """The first place of padding of a row with padding is said to belong to its last sequence."""
    padded = columns["input_sequence_ids"][:, -1] == 0
    row = int(np.flatnonzero(padded)[0])
    numbers = columns["input_sequence_ids"][row]
    numbers[int((numbers > 0).sum())] = numbers.max()


def predict_second_begin(columns: Columns) -> None:
    """[CLS] of the second sequence becomes a prediction instead of the prediction before it or behind it."""
    row, begin, _ = packed_row(columns)
    positions, ids = columns["masked_lm_positions"][row], columns["masked_lm_ids"][row]
    real = int(columns["masked_lm_weights"][row].sum())
    index = min(int(np.searchsorted(positions[:real], begin)), real - 1)
    columns["input_word_ids"][row, positions[index]] = ids[index]
    positions[index], ids[index] = begin, CLS
    columns["input_word_ids"][row, begin] = MASK


FAULTS_OF_ROWS = [
    ("rows of pairs", at_second("input_sequence_ids", 2, 0), "input_sequence_ids must be 0 at padding, and nowhere"),
    ("dynamic rows", a_sequence_at_padding, "input_sequence_ids must be 0 at padding, and nowhere else"),
    ("rows of pairs", join_sequences, "[CLS] must be first, and nowhere else"),
    ("dynamic rows", join_sequences, "there must be one [SEP]"),
    ("rows of pairs", skip_a_number, "input_sequence_ids must be 1, 2, ... in their order"),
    ("dynamic rows", swap_numbers, "input_sequence_ids must be 1, 2, ... in their order"),
    ("rows of pairs", at_second("input_sequence_ids", 0, 1), "[CLS] must be first, and nowhere else"),
    ("rows of pairs", at_second("input_word_ids", 0, 60), "[CLS] must be first, and nowhere else"),
    ("dynamic rows", at_second("input_word_ids", -1, 60), "[SEP] must be last"),
    ("rows of pairs", special_inside(CLS), "[CLS] must be first, and nowhere else"),
    ("rows of pairs", special_inside(SEP), "there must be two [SEP]"),
    ("dynamic rows", special_inside(SEP), "there must be one [SEP]"),
    ("dynamic rows", at_second("input_word_ids", 1, SEP), "a segment must contain a token"),
    ("rows of pairs", special_inside(PAD), "[PAD] must follow the last token, and be nowhere else"),
    ("rows of pairs", at_second("input_type_ids", 0, 1), "input_type_ids must be 1 after the first [SEP]"),
    ("dynamic rows", at_second("input_type_ids", 1, 1), "input_type_ids must be 0"),
    ("rows of pairs", at_second("input_mask", 2, 0), "input_mask must be ones, then zeros"),
    ("dynamic rows", at_second("word_starts", 0, 1), "word_starts must be 0 at special tokens and padding"),
    ("rows of pairs", sequence_cell("next_sentence_positions", 1, 3), "next_sentence_positions must be where the"),
    ("rows of pairs", sequence_cell("next_sentence_positions", -1, 3), "next_sentence_positions must be where the"),
    ("rows of pairs", sequence_cell("next_sentence_weights", 1, 0.0), "next_sentence_weights must be 1.0 for each"),
    ("rows of pairs", sequence_cell("next_sentence_weights", -1, 1.0), "next_sentence_weights must be 1.0 for each"),
    ("rows of pairs", sequence_cell("next_sentence_labels", -1, 1), "next_sentence_labels must be 0 after the last"),
    ("rows of pairs", sequence_cell("next_sentence_labels", 1, 2), "next_sentence_labels must be in [0, 2)"),
    ("rows of pairs", sequence_cell("next_sentence_weights", 0, 0.5), "next_sentence_weights must be 0.0 or 1.0"),
    ("rows of pairs", sequence_cell("next_sentence_positions", 1, 128), "next_sentence_positions must be in [0, 128)"),
    ("rows of pairs", at_second("input_sequence_ids", 0, 9), "input_sequence_ids must be in [0, 9)"),
    ("rows of pairs", predict_second_begin, "a special token must not be predicted"),
]


@pytest.mark.parametrize(("kind", "change", "message"), FAULTS_OF_ROWS)
def test_a_wrong_row(workbench: Bench, kind: str, change: Callable[[Columns], None], message: str) -> None:
    bench = workbench(**KINDS[kind])
    name = bench.shard()
    before = {feature: values.copy() for feature, values in bench.read(name).items()}
    bench.change(name, change)
    after = bench.read(name)
    changed = [np.flatnonzero((before[feature] != after[feature]).any(axis=1)) for feature in before]
    (row,) = np.unique(np.concatenate(changed)).tolist()
    found = [p for p in validate_corpus(str(bench.directory)).problems if p.message.startswith(message)]
    check = (
        "format" if " in [0, " in message or "or 1.0" in message else "masks" if "predicted" in message else "structure"
    )
    assert [(p.check, p.shard, p.records, p.count) for p in found] == [(check, name, (row,), 1)]


def test_a_sequence_in_a_row_of_a_longer_bin(workbench: Bench) -> None:
    bench = workbench(**KINDS["rows of order"] | {"masking": "dynamic", "compression": "none"})
    name = next(shard.name for shard in bench.manifest.split("train") if "len128" in shard.name)

    def cut_down(columns: Columns) -> None:
        """A row of one sequence of 24 tokens."""
        short = [CLS, *[60] * 20, SEP, 60, SEP]
        for values in columns.values():
            values[5] = 0
        columns["input_word_ids"][5, : len(short)] = short
        columns["input_type_ids"][5, 22:24] = 1
        columns["input_sequence_ids"][5, : len(short)] = 1
        columns["word_starts"][5] = columns["input_word_ids"][5] == 60
        columns["next_sentence_weights"][5, 0] = 1

    bench.change(name, cut_down)
    found = [(p.message, p.records) for p in validate_corpus(str(bench.directory)).problems if p.check == "structure"]
    assert found == [("an example of up to 32 tokens belongs to a shorter bin", (5,))]


def test_sequences_twice_in_rows_that_differ(workbench: Bench) -> None:
    """The same two sequences with the same masks, in the other order."""
    bench = workbench(**KINDS["rows of pairs"])
    name = bench.shard()

    def repeat_turned(columns: Columns) -> None:
        sequence_ids = columns["input_sequence_ids"]
        row = int(np.flatnonzero(sequence_ids.max(axis=1) == 2)[0])
        of_first, both = int((sequence_ids[row] == 1).sum()), int((sequence_ids[row] > 0).sum())
        place = np.concatenate([np.arange(of_first, both), np.arange(of_first), np.arange(both, 128)])
        for feature in ("input_word_ids", "input_mask", "input_type_ids", "input_sequence_ids"):
            columns[feature][5] = columns[feature][row, place]
        columns["input_sequence_ids"][5, :both] = 3 - columns["input_sequence_ids"][5, :both]
        moved = np.argsort(place)[columns["masked_lm_positions"][row]]
        order = np.argsort(np.where(columns["masked_lm_weights"][row] > 0, moved, 128), kind="stable")
        columns["masked_lm_weights"][5] = columns["masked_lm_weights"][row]
        columns["masked_lm_positions"][5] = moved[order] * (columns["masked_lm_weights"][5] > 0)
        columns["masked_lm_ids"][5] = columns["masked_lm_ids"][row, order]
        for feature in ("next_sentence_labels", "next_sentence_weights", "next_sentence_positions"):
            columns[feature][5] = columns[feature][row]
        columns["next_sentence_labels"][5, :2] = columns["next_sentence_labels"][row, 1::-1]
        columns["next_sentence_positions"][5, 1] = both - of_first
        assert row not in (0, 5)

    bench.change(name, repeat_turned)
    result = validate_corpus(str(bench.directory))
    # The row that was lost is missing in the totals.
    assert {problem.check for problem in result.problems} == {"duplicates", "totals"}
    copies = [problem for problem in result.problems if problem.message.endswith("with the same mask")]
    assert len(copies) == 2
    assert {problem.shard for problem in copies} == {name}


def test_fewer_predictions_than_whole_words_allow(workbench: Bench) -> None:
    bench = workbench(**KINDS["documents"])
    name = bench.shard()
    columns = bench.read(name)
    full = int(np.argmax(columns["masked_lm_weights"].sum(axis=1)))

    def predict_less(columns: Columns) -> None:
        """All but the last prediction of an example are taken back: words of one token are left, that would fit."""
        positions = columns["masked_lm_positions"][full]
        for place, token in zip(positions, columns["masked_lm_ids"][full], strict=True):
            if place:
                columns["input_word_ids"][full, place] = token
        word = int(np.flatnonzero(columns["input_word_ids"][full] >= 5)[0])
        for feature in ("positions", "ids", "weights"):
            columns[f"masked_lm_{feature}"][full] = 0
        columns["masked_lm_positions"][full, 0] = word
        columns["masked_lm_ids"][full, 0] = columns["input_word_ids"][full, word]
        columns["masked_lm_weights"][full, 0] = 1
        columns["input_word_ids"][full, word] = MASK

    bench.change(name, predict_less)
    found = [
        p for p in validate_corpus(str(bench.directory)).problems if "fewer only if no remaining word fits" in p.message
    ]
    assert [(p.check, p.records) for p in found] == [("masks", (full,))]


def test_more_predictions_than_the_rate_gives(workbench: Bench) -> None:
    """Of a corpus with whole words that says that it was made with a lower rate than it was."""
    bench = workbench(**KINDS["documents"])
    bench.rewrite(options={**bench.manifest.options, "masked_lm_prob": 0.05})
    found = [
        p for p in validate_corpus(str(bench.directory)).problems if p.message.endswith("masked_lm_prob))) or fewer")
    ]
    assert {p.check for p in found} == {"masks"}
    assert sum(p.count for p in found) > 10


def test_padding_behind_predictions(workbench: Bench) -> None:
    bench = workbench()
    name = bench.shard()
    short = int(np.argmin(bench.read(name)["masked_lm_weights"].sum(axis=1)))
    bench.change(name, with_cell("masked_lm_ids", short, -1, 7))
    assert problems(bench, "masks")[0].records == (short,)


def test_words_masked_in_part(workbench: Bench) -> None:
    bench = workbench(**KINDS["documents"])
    name = bench.shard()
    columns = bench.read(name)
    # An example with two predictions side by side: a word of two tokens. The second is predicted no longer.
    ascending = np.diff(columns["masked_lm_positions"], axis=1) == 1
    tokens = [token.strip() for token in (bench.directory / "vocab.txt").read_text().split("\n")]
    goes_on = np.array([token.startswith("##") for token in tokens])[columns["masked_lm_ids"]]
    row, first = np.argwhere(ascending & goes_on[:, 1:] & (columns["masked_lm_weights"][:, 1:] > 0))[0].tolist()

    def split(columns: Columns) -> None:
        place = columns["masked_lm_positions"][row, first + 1]
        columns["input_word_ids"][row, place] = columns["masked_lm_ids"][row, first + 1]
        for name in ("positions", "ids", "weights"):
            values = columns[f"masked_lm_{name}"][row]
            values[first + 1 : -1] = values[first + 2 :].copy()
            values[-1] = 0

    bench.change(name, split)
    found = problems(bench, "masks")
    assert "a word must be predicted whole or not at all" in {problem.message for problem in found}
    assert {problem.records for problem in found} == {(row,)}


def test_an_example_in_the_wrong_bin(workbench: Bench) -> None:
    bench = workbench(**KINDS["order"])
    long, short = bench.shard(index=-1), bench.shard(index=0)
    assert "-len64-" in long
    assert "-len24-" in short
    few = bench.read(short)
    many = bench.read(long)
    for name, values in many.items():
        values[2] = 0
        values[2, : few[name].shape[1]] = few[name][0]
    bench.write(long, many)
    assert "an example of up to 40 tokens belongs to a shorter bin" in {
        problem.message for problem in validate_corpus(str(bench.directory)).problems if problem.records == (2,)
    }


def test_words_that_begin_elsewhere(workbench: Bench) -> None:
    bench = workbench(**KINDS["dynamic"])
    name = bench.shard()
    bench.change(name, lambda columns: with_cell("word_starts", 5, 1, 1 - columns["word_starts"][5, 1])(columns))
    [problem] = problems(bench, "structure")
    assert (problem.message, problem.records) == ("word_starts must be 1 where a word begins, otherwise 0", (5,))
    bench.change(name, with_cell("word_starts", 5, 0, 1))
    assert "word_starts must be 0 at special tokens and padding" in {p.message for p in problems(bench, "structure")}


# === Statistics ===


@pytest.mark.parametrize(
    ("name", "value"), [("examples", 7), ("tokens", 7), ("replaced_by_mask", 7), ("label_1_share", 0.7), ("bytes", 1)]
)
def test_a_doctored_statistic(workbench: Bench, name: str, value: float) -> None:
    bench = workbench()
    bench.doctor("train", **{name: value})
    assert [p.message.split(";")[0] for p in problems(bench, "totals")] == [f"train: the manifest says {name} {value}"]


def test_a_doctored_count_of_random_tokens(workbench: Bench) -> None:
    bench = workbench()
    said = bench.manifest.statistics["train"]["replaced_at_random"]
    bench.doctor("train", replaced_at_random=said + 50)
    assert f"replaced_at_random {said + 50:,}" in problems(bench, "totals")[0].message


@pytest.mark.parametrize("name", ["examples", "tokens", "predictions"])
def test_a_doctored_count_of_a_shard(workbench: Bench, name: str) -> None:
    import dataclasses

    bench = workbench()
    first, *others = bench.manifest.shards
    bench.rewrite(shards=(dataclasses.replace(first, **{name: getattr(first, name) + 1}), *others))
    [problem] = problems(bench, "totals")
    assert problem.shard == first.name
    assert f"{name}; there are" in problem.message


def each_prediction(share: float, replacement: int | None) -> Callable[[Columns], None]:
    """Puts something else in the place of a share of the predictions: a token, or (None) the original."""

    def change(columns: Columns) -> None:
        rows, places = np.nonzero(columns["masked_lm_weights"])
        chosen = np.random.default_rng(3).random(len(rows)) < share
        rows, places = rows[chosen], places[chosen]
        originals = columns["masked_lm_ids"][rows, places]
        columns["input_word_ids"][rows, columns["masked_lm_positions"][rows, places]] = (
            originals if replacement is None else replacement
        )

    return change


@pytest.mark.parametrize(
    ("kind", "share", "replacement", "wrong"),
    [
        ("pairs", 1.0, MASK, {"became [MASK]", "became a random token", "stayed"}),
        ("pairs", 1.0, None, {"became [MASK]", "became a random token", "stayed"}),
        ("pairs", 0.3, 60, {"became [MASK]", "became a random token", "stayed"}),
        ("order", 1.0, MASK, {"became [MASK]", "became a random token", "stayed"}),
        ("documents", 0.5, None, {"became [MASK]", "stayed"}),
    ],
)
def test_predictions_replaced_in_other_shares(
    workbench: Bench, kind: str, share: float, replacement: int | None, wrong: set[str]
) -> None:
    bench = workbench(**KINDS[kind])
    for shard in bench.manifest.split("train"):
        if shard.examples:
            bench.change(shard.name, each_prediction(share, replacement))
    rates = [p.message for p in validate_corpus(str(bench.directory)).problems if p.check == "rates"]
    assert {what for what in ("became [MASK]", "became a random token", "stayed") if what in " ".join(rates)} == wrong
    assert all(message.startswith("train: ") for message in rates)


def test_predictions_that_stand_in_front(workbench: Bench) -> None:
    bench = workbench()

    def move_to_front(columns: Columns) -> None:
        ids = columns["input_word_ids"]
        rows, places = np.nonzero(columns["masked_lm_weights"])
        ids[rows, columns["masked_lm_positions"][rows, places]] = columns["masked_lm_ids"][rows, places]
        for row in range(len(ids)):
            number = int(columns["masked_lm_weights"][row].sum())
            front = np.flatnonzero((ids[row] != CLS) & (ids[row] != SEP))[:number]
            columns["masked_lm_positions"][row, :number] = front
            columns["masked_lm_ids"][row, :number] = ids[row, front]
        rng = np.random.default_rng(3)
        drawn = rng.random(columns["masked_lm_ids"].shape)
        replaced = np.where(drawn < 0.8, MASK, np.where(drawn < 0.9, 100, columns["masked_lm_ids"]))
        ids[rows, columns["masked_lm_positions"][rows, places]] = replaced[rows, places]

    for shard in bench.manifest.split("train"):
        bench.change(shard.name, move_to_front)
    rates = [p.message for p in validate_corpus(str(bench.directory)).problems if p.check == "rates"]
    assert len(rates) == 1
    assert "positions are predicted too often or too rarely" in rates[0]


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("kind", ["pairs", "order"])
def test_labels_out_of_balance(workbench: Bench, kind: str, label: int) -> None:
    bench = workbench(**KINDS[kind])
    for shard in bench.manifest.split("train"):
        if shard.examples:
            bench.change(shard.name, lambda columns: columns["next_sentence_labels"].fill(label))
    found = [p.message for p in validate_corpus(str(bench.directory)).problems if p.check == "pairs"]
    assert len(found) == 1
    assert re.match(
        r"train: [\d,]+ (of [\d,]+ pairs with a random label have label 1; expected |pairs have label 1; the manifest)",
        found[0],
    )


# === Repeated text ===


def test_an_example_twice(workbench: Bench) -> None:
    bench = workbench(block_bytes=40_000)
    source, target = bench.shard(index=0), bench.shard(index=2)
    columns = bench.read(source)
    row = int(np.argmax(columns["masked_lm_weights"].sum(axis=1)))

    def copy(into: Columns) -> None:
        for name, values in into.items():
            values[9] = columns[name][row]

    bench.change(target, copy)
    found = [p for p in validate_corpus(str(bench.directory)).problems if p.check == "duplicates"]
    message = f"it repeats record {row} of {source}, with the same mask"
    assert found == [Problem("duplicates", message, target, (9,), 1)]


def test_unmasked_examples_more_often_than_they_were_to_be_made(workbench: Bench) -> None:
    bench = workbench(**KINDS["dynamic"])
    name = bench.shard()
    long = np.flatnonzero((bench.read(name)["input_word_ids"] != PAD).all(axis=1))[:10]

    def copy(columns: Columns) -> Columns:
        return {key: np.concatenate([values, values[long], values[long]]) for key, values in columns.items()}

    bench.change(name, copy)
    found = [p for p in validate_corpus(str(bench.directory)).problems if p.check == "duplicates"]
    # Two copies were to be made; there are three of each of ten examples.
    assert "train: 10 of " in found[-1].message
    assert all("occurs 3 times, of which dupe_factor explains 2" in p.message for p in found[:-1])
    assert {p.shard for p in found[:-1]} == {name}
    assert not [p for p in validate_corpus(str(bench.directory), max_repeats=0.5).problems if p.check == "duplicates"]


@pytest.mark.parametrize("kind", ["pairs", "dynamic", "packed"])
def test_a_document_on_both_sides_of_the_split(workbench: Bench, make: Make, kind: str) -> None:
    """Validation text that was made again, with other pairs, copies and masks, is put into a training shard."""
    options = KINDS[kind]
    bench = workbench(**options)
    # With another seed other documents are of the validation split: some were in this one's training text.
    other = validate_corpus(str(bench.directory))
    assert not [p for p in other.problems if p.check == "split"]
    donor = make(**(options | {"seed": 3}))
    import json

    manifest = json.loads((donor / "manifest.json").read_text())
    name = next(shard["name"] for shard in manifest["shards"] if shard["split"] == "validation")
    target = bench.shard("validation")
    shutil.copy(donor / name, bench.directory / target)
    found = [p for p in validate_corpus(str(bench.directory)).problems if p.check == "split"]
    assert "passages also occur in training text" in found[-1].message
    assert all(p.shard == target for p in found[:-1])
    # What is pointed out is so: the two records have text in common.
    record = found[0].records[0]
    message = found[0].message.split(": record ")[1]
    train_record, train_shard = int(message.split(" of ")[0]), message.split(" of ")[1]
    assert shared_run(bench.read(target), record, bench.read(train_shard), train_record) >= 8


def shared_run(a: Columns, a_row: int, b: Columns, b_row: int) -> int:
    """Tokens of the longest run that two examples have in common, masks undone."""

    def original(columns: Columns, row: int) -> list[int]:
        ids = columns["input_word_ids"][row].copy()
        if "masked_lm_ids" in columns:
            real = columns["masked_lm_weights"][row] > 0
            ids[columns["masked_lm_positions"][row][real]] = columns["masked_lm_ids"][row][real]
        return ids[ids > SEP].tolist()

    first, second = original(a, a_row), original(b, b_row)
    longest = 0
    for i in range(len(first)):
        for j in range(len(second)):
            run = 0
            while i + run < len(first) and j + run < len(second) and first[i + run] == second[j + run]:
                run += 1
            longest = max(longest, run)
    return longest


def test_text_that_stands_everywhere_is_no_document(workbench: Bench) -> None:
    """A licence in every block's training text and in the validation text."""
    bench = workbench(block_bytes=40_000, masking="dynamic")
    licence = np.arange(100, 161)

    def add(columns: Columns) -> Columns:
        ids = np.concatenate([[CLS], licence[:30], [SEP], licence[30:], [SEP]])[np.newaxis]
        fresh = {"input_word_ids": ids, "input_type_ids": (np.arange(64) > 31).astype(np.int64)[np.newaxis]}
        fresh |= {"word_starts": (ids > SEP).astype(np.int64), "next_sentence_labels": np.zeros((1, 1), np.int64)}
        return {name: np.concatenate([values, fresh[name]]) for name, values in columns.items()}

    bench.change(bench.shard("validation"), add)
    bench.change(bench.shard("train", 0), add)
    found = [p for p in validate_corpus(str(bench.directory)).problems if p.check == "split"]
    assert len(found) == 2
    bench.change(bench.shard("train", 1), add)
    assert not [p for p in validate_corpus(str(bench.directory)).problems if p.check == "split"]


# === The whole ===


def test_several_processes_find_the_same(workbench: Bench) -> None:
    bench = workbench(block_bytes=40_000)
    bench.change(bench.shard(index=1), mask_first_separator)
    assert validate_corpus(str(bench.directory), workers=2) == validate_corpus(str(bench.directory))


def test_batches_of_any_size_find_the_same(workbench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = workbench()
    assert validate_corpus(str(bench.directory)).problems == []
    bench.change(bench.shard(), mask_first_separator)
    found = validate_corpus(str(bench.directory))
    monkeypatch.setattr(reading, "_TOKENS_A_BATCH", 7 * 64)
    assert validate_corpus(str(bench.directory)) == found


def test_the_command(workbench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench = workbench()
    assert main(["validate", str(bench.directory), "--workers", "1", "--no-progress"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [["ok", check] for check in CHECKS]
    bench.change(bench.shard(), mask_first_separator)
    assert main(["validate", str(bench.directory), "--workers", "1", "--no-progress"]) == 1
    out = capsys.readouterr().out
    assert "FAILED  masks" in out
    assert f"{bench.shard()}, record 5: a special token must not be predicted" in out


def test_what_is_no_corpus_and_what_is_no_share(tmp_path: Path, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CorpusError, match="not a finished corpus"):
        validate_corpus(str(tmp_path))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        validate_corpus(str(make()), max_repeats=2)
    assert main(["validate", str(tmp_path)]) == 2
    assert "manifest.json" in capsys.readouterr().err


def test_options_of_another_version_are_refused(workbench: Bench) -> None:
    bench = workbench()
    bench.rewrite(options={**bench.manifest.options, "pairing": "something else"})
    with pytest.raises(CorpusError, match="options of this version"):
        validate_corpus(str(bench.directory))
