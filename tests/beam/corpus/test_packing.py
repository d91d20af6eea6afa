"""Corpora of packed rows, made by the job."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.inspection.validation.validate import validate_corpus
from pipeline.manifest import Manifest, read_manifest
from pipeline.records.decoding import decode_examples, read_serialized

Make = Callable[..., Manifest]
Contents = Callable[[str | Path], dict[str, str]]
ROOT = Path(__file__).parents[3]
ROWS: dict[str, Any] = {"packing": "best-fit", "max_seq_length": 96, "short_seq_prob": 0.5}


def decoded(manifest: Manifest, folder: Path, split: str = "train") -> Iterator[dict[str, np.ndarray]]:
    for shard in manifest.split(split):
        yield decode_examples(manifest.shard_spec(shard), list(read_serialized(str(folder / shard.name))))


def sequences(manifest: Manifest, folder: Path, split: str = "train") -> Counter[tuple[int, ...]]:
    """The ids, type ids, word starts and label of every sequence, packed or not."""
    found: Counter[tuple[int, ...]] = Counter()
    for columns in decoded(manifest, folder, split):
        ids = columns["input_word_ids"]
        for row in range(len(ids)):
            sequence_ids = columns["input_sequence_ids"][row] if "input_sequence_ids" in columns else ids[row] > 0
            for number in range(1, int(sequence_ids.max()) + 1):
                ours = sequence_ids == number
                values = [columns[name][row, ours] for name in ("input_word_ids", "input_type_ids", "word_starts")]
                label = columns.get("next_sentence_labels", np.zeros((len(ids), number), np.int64))[row, number - 1]
                found[*np.concatenate(values).tolist(), int(label)] += 1
    return found


@pytest.mark.parametrize("bins", [(), (24, 96)])
def test_packed_sequences_are_the_examples_that_would_not_be_packed(
    make: Make, tmp_path: Path, bins: tuple[int, ...]
) -> None:
    options: dict[str, Any] = ROWS | {"pairing": "single-sentences", "masking": "dynamic", "bins": bins}
    packed = make(output=str(tmp_path / "packed"), **options)
    single = make(output=str(tmp_path / "single"), **options | {"packing": "none"})
    for split in ("train", "validation"):
        found = sequences(packed, tmp_path / "packed", split)
        assert found == sequences(single, tmp_path / "single", split)
        statistics, of_single = packed.statistics[split], single.statistics[split]
        assert statistics["sequences"] == found.total() == of_single["examples"]
        assert statistics["tokens"] == of_single["tokens"]
        assert statistics["padding_unpacked"] == of_single["padding"]
        assert statistics["padding_unpacked_share"] == of_single["padding_share"]
        assert statistics["padding"] < of_single["padding"]
    assert packed.options["max_sequences_per_row"] == packed.spec.max_sequences_per_row == 12
    assert (single.spec.packed, single.options["max_sequences_per_row"]) == (False, None)
    assert {shard.max_seq_length for shard in packed.shards} == set(bins or (96,))


@pytest.mark.parametrize("pairing", ["next-sentence", "sentence-order"])
def test_the_manifest_counts_packed_pairs(make: Make, tmp_path: Path, pairing: str) -> None:
    manifest = make(output=str(tmp_path / "rows"), **ROWS, pairing=pairing)
    counts: Counter[str] = Counter()
    for columns in decoded(manifest, tmp_path / "rows"):
        counts["examples"] += len(columns["input_word_ids"])
        counts["sequences"] += int(columns["next_sentence_weights"].sum())
        counts["label_1"] += int(columns["next_sentence_labels"].sum())
        counts["tokens"] += int(columns["input_mask"].sum())
        counts["predictions"] += int(columns["masked_lm_weights"].sum())
    train = manifest.statistics["train"]
    assert {name: train[name] for name in counts} == dict(counts)
    assert train["sequences"] > train["examples"]
    assert train["label_1_share"] == pytest.approx(counts["label_1"] / counts["sequences"], abs=1e-6)
    assert train["padding"] == 96 * counts["examples"] - counts["tokens"]
    assert train["padding_share"] < train["padding_unpacked_share"]


@pytest.mark.parametrize("pairing", ["doc-sentences", "full-sentences"])
def test_documents_fill_rows_and_lose_no_token(make: Make, tmp_path: Path, pairing: str) -> None:
    options: dict[str, Any] = ROWS | {"pairing": pairing, "masking": "dynamic", "dupe_factor": 1}
    packed = make(output=str(tmp_path / "packed"), **options)
    single = make(output=str(tmp_path / "single"), **options | {"packing": "none"})

    def tokens(manifest: Manifest, folder: Path) -> Counter[int]:
        special = manifest.tokenizer.special_ids
        found: Counter[int] = Counter()
        for columns in decoded(manifest, folder):
            ids = columns["input_word_ids"]
            found.update(ids[~np.isin(ids, [special[name] for name in ("pad", "cls", "sep")])].tolist())
        return found

    assert tokens(packed, tmp_path / "packed") == tokens(single, tmp_path / "single")
    assert packed.statistics["train"]["examples"] < single.statistics["train"]["examples"]
    lengths = [(c["input_word_ids"] != 0).sum(axis=1) for c in decoded(packed, tmp_path / "packed")]
    # But for the last rows of each block, of which there are several small ones here.
    assert (np.concatenate(lengths) >= 94).mean() > 0.6


def test_a_row_holds_no_example_twice(make: Make, tmp_path: Path) -> None:
    manifest = make(output=str(tmp_path / "rows"), **ROWS, pairing="single-sentences", masking="dynamic", dupe_factor=5)
    rows = 0
    for columns in decoded(manifest, tmp_path / "rows"):
        for ids, sequence_ids in zip(columns["input_word_ids"], columns["input_sequence_ids"], strict=True):
            held = [tuple(ids[sequence_ids == number].tolist()) for number in range(1, int(sequence_ids.max()) + 1)]
            assert len(held) == len(set(held)), "the text repeats no sentence"
            rows += len(held) > 1
    assert rows > 100


@pytest.mark.parametrize(
    "kind",
    [
        {"bins": (24, 96), "feature_names": "v1", "masking_unit": "ngram"},
        {"pairing": "doc-sentences", "masking": "dynamic", "max_sequences_per_row": 2},
    ],
)
def test_the_same_bytes_in_any_way(make: Make, tmp_path: Path, contents: Contents, kind: dict[str, Any]) -> None:
    """With one and two workers, and if a shard is made again; the same records if compressed; and all is valid."""
    options = ROWS | kind
    manifest = make(output=str(tmp_path / "one"), **options)
    made = contents(tmp_path / "one")
    assert len(manifest.split("train")) > 3
    make(output=str(tmp_path / "two"), workers=2, **options)
    two = contents(tmp_path / "two")
    assert {name: two[name] for name in two if ".tfrecord" in name} == {n: made[n] for n in made if ".tfrecord" in n}
    (tmp_path / "one" / manifest.shards[1].name).unlink()
    make(output=str(tmp_path / "one"), **options)
    assert contents(tmp_path / "one") == made
    compressed = make(output=str(tmp_path / "gzip"), compression="gzip", **options)
    for plain, packed in zip(manifest.shards, compressed.shards, strict=True):
        data = gzip.decompress((tmp_path / "gzip" / packed.name).read_bytes())
        assert hashlib.sha256(data).hexdigest() == plain.sha256
    for folder in ("one", "gzip"):
        found = [p for p in validate_corpus(str(tmp_path / folder)).problems if p.check not in ("duplicates", "split")]
        assert found == []
    assert max(c["input_sequence_ids"].max(initial=0) for c in decoded(manifest, tmp_path / "one")) > 1


@pytest.mark.slow
@pytest.mark.parametrize(("length", "most"), [(128, 0.02), (512, 0.01)])
def test_rows_of_real_text_are_full(tmp_path_factory: pytest.TempPathFactory, length: int, most: float) -> None:
    """By the public commands, ten megabytes of the documentation of installed packages."""
    folder = tmp_path_factory.mktemp("real")

    def mlm(*arguments: object) -> str:
        command = [sys.executable, "-m", "pipeline", *map(str, arguments), "--no-progress"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    mlm("sample-corpus", "--output", folder / "sample.txt")
    for pairing in ("next-sentence", "sentence-order", "full-sentences", "doc-sentences", "single-sentences"):
        arguments = ["--input", folder / "sample.txt", "--format", "lines", "--vocab", "vocab/sample-uncased-8k.txt"]
        arguments += ["--pairing", pairing, "--max-seq-length", length, "--dupe-factor", 1, "--packing", "best-fit"]
        mlm("corpus", *arguments, "--output", folder / pairing, "--workers", 2)
        # Passages repeat in documentation more often than validate allows by default.
        mlm("validate", folder / pairing, "--max-repeats", "0.1", "--workers", 2)
        train = read_manifest(str(folder / pairing)).statistics["train"]
        assert train["padding_share"] < most, pairing
