from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.beam.corpus import parts as parts_module
from pipeline.beam.corpus.block import BlockResult, build_block, shard_name
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.job import plan_corpus
from pipeline.errors import InputError
from pipeline.seeding import generator
from pipeline.text.reading.plan import Block

Options = Callable[..., CorpusConfig]


@pytest.fixture
def build(options: Options) -> Callable[..., list[BlockResult]]:
    """Builds the blocks of a small corpus, one by one, without Beam."""

    def run(**values: Any) -> list[BlockResult]:
        job, plan = plan_corpus(options(**values))
        Path(job.config.output).mkdir(exist_ok=True)
        tokenizer = job.tokenizer()
        return [build_block(block, blocks=job.blocks, config=job.config, tokenizer=tokenizer) for block in plan.blocks]

    return run


def test_a_result_survives_its_sidecar(build: Callable[..., list[BlockResult]]) -> None:
    for result in build():
        assert BlockResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_block_built_again_is_the_same(build: Callable[..., list[BlockResult]], options: Options) -> None:
    first = build()
    data = {path.name: path.read_bytes() for path in Path(options().output).iterdir()}
    assert build() == first
    assert {path.name: path.read_bytes() for path in Path(options().output).iterdir()} == data


def test_no_two_draws_share_a_stream(build: Callable[..., list[BlockResult]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs by block, split and copy; masks by block, split, bin and batch."""
    places: list[tuple[object, ...]] = []

    def recorded(*place: Any) -> Any:
        places.append(place)
        return generator(*place)

    monkeypatch.setattr(parts_module, "generator", recorded)
    monkeypatch.setattr(parts_module, "_TOKENS_A_BATCH", 7 * 48)
    monkeypatch.setattr(parts_module, "PART_CHARACTERS", 1500)  # Several parts a block.
    blocks = len(build(bins=(40, 48), dupe_factor=3))
    assert {(seed, purpose) for seed, purpose, *_ in places} == {(12345, p) for p in ("pairs", "shuffle", "mask")}
    assert len(places) == len(set(places))
    parts = {(place[0], place[2]) for _, purpose, *place in places if purpose == "pairs"}
    assert len(parts) > blocks
    assert sum(purpose == "pairs" for _, purpose, *_ in places) == len(parts) * (3 + 1)
    assert sum(purpose == "mask" for _, purpose, *_ in places) > blocks * 3


def test_duplicates_are_numbered_through_the_files_of_a_block(options: Options, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("the river\n\nthe captain\n\nthe garden\n")
    (folder / "b.txt").write_text("the letter\n\nthe doctor\n")
    job, plan = plan_corpus(options(input=(str(folder),), format="bert", validation_fraction=0.0))
    Path(job.config.output).mkdir()
    (block,) = plan.blocks

    def counts(duplicates: dict[int, str]) -> dict[str, int]:
        built = build_block(block, blocks=1, config=job.config, tokenizer=job.tokenizer(), duplicates=duplicates)
        return built.counts["text"]

    whole = counts({})
    assert whole["documents"] == 5
    # The fifth document is the second of the second file.
    found = counts({4: "duplicate"})
    assert (found["documents"], found["dropped/duplicate"]) == (4, 1)
    assert whole["characters"] - found["characters"] == len("the doctor")


def test_blocks_of_the_same_text_differ(
    build: Callable[..., list[BlockResult]], tmp_path: Path, bert_text: str
) -> None:
    twice = tmp_path / "twice"
    twice.mkdir()
    for name in ("a.txt", "b.txt"):
        (twice / name).write_text(bert_text[:5000])
    a, b = build(input=(str(twice),), validation_fraction=0)
    assert a.counts["text"] == b.counts["text"]
    assert a.shards[0].sha256 != b.shards[0].sha256


def test_the_training_text_is_copied_and_the_validation_text_is_not(build: Callable[..., list[BlockResult]]) -> None:
    def examples(dupe_factor: int) -> dict[str, int]:
        totals = {"train": 0, "validation": 0}
        # Packed sentences have nothing to draw: every copy has as many examples.
        for result in build(pairing="doc-sentences", dupe_factor=dupe_factor):
            for shard in result.shards:
                totals[shard.split] += shard.examples
        return totals

    once, thrice = examples(1), examples(3)
    assert thrice["train"] == 3 * once["train"] > 0
    assert thrice["validation"] == once["validation"] > 0


def test_a_document_has_its_split_wherever_it_stands(build: Callable[..., list[BlockResult]]) -> None:
    def documents(**values: Any) -> dict[str, int]:
        results = build(**values)
        return {split: sum(r.counts[split]["documents"] for r in results) for split in ("train", "validation")}

    assert documents(block_bytes=2000) == documents(block_bytes=9000)


def test_batches_bound_memory_and_lose_nothing(
    build: Callable[..., list[BlockResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def totals(results: list[BlockResult]) -> list[tuple[int, int, int]]:
        return [(shard.examples, shard.tokens, shard.predictions) for result in results for shard in result.shards]

    whole = build()
    monkeypatch.setattr(parts_module, "_TOKENS_A_BATCH", 7 * 48)
    assert totals(build()) == totals(whole)


def test_large_blocks_are_made_in_parts(
    build: Callable[..., list[BlockResult]], tmp_path: Path, bert_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "text.txt.gz").write_bytes(gzip.compress(bert_text.encode()))
    # Single documents: what they give does not depend on the others.
    values = {"input": (str(packed),), "pairing": "doc-sentences", "dupe_factor": 1, "bins": (24, 48)}
    (whole,) = build(**values)
    tokenized: list[int] = []
    drop_empty = parts_module.drop_empty

    def counted(ids: Any, row_splits: Any, document_splits: Any) -> Any:
        tokenized.append(len(document_splits) - 1)
        return drop_empty(ids, row_splits, document_splits)

    monkeypatch.setattr(parts_module, "drop_empty", counted)
    monkeypatch.setattr(parts_module, "PART_CHARACTERS", 2048)
    (parts,) = build(**values)
    assert len(tokenized) > 10  # Two splits a part.
    assert max(tokenized) < sum(tokenized) / 3
    assert parts.counts["text"] == whole.counts["text"]
    for shard, other in zip(parts.shards, whole.shards, strict=True):
        assert (shard.name, shard.examples, shard.tokens) == (other.name, other.examples, other.tokens)


def test_a_block_without_documents_gives_empty_shards(options: Options, tmp_path: Path) -> None:
    blank = tmp_path / "blank.txt"
    blank.write_text("\n" * 50)
    for compression, size in (("none", 0), ("gzip", 20)):
        job, plan = plan_corpus(options(input=(str(blank),), format="bert", compression=compression))
        Path(job.config.output).mkdir(exist_ok=True)
        (block,) = plan.blocks
        result = build_block(block, blocks=1, config=job.config, tokenizer=job.tokenizer())
        assert [(shard.split, shard.examples, shard.bytes) for shard in result.shards] == [
            ("train", 0, size),
            ("validation", 0, size),
        ]


def test_a_missing_input_is_an_error_and_leaves_nothing(options: Options, text_files: str) -> None:
    job, plan = plan_corpus(options())
    Path(job.config.output).mkdir()
    block: Block = plan.blocks[0]
    Path(block.segments[0].path).unlink()
    with pytest.raises(InputError, match=r"Cannot read .*one\.txt"):
        build_block(block, blocks=job.blocks, config=job.config, tokenizer=job.tokenizer())
    assert list(Path(job.config.output).iterdir()) == []


def test_names_of_shards(options: Options) -> None:
    assert shard_name("train", 3, 42, options(), 0) == "train-00003-of-00042.tfrecord"
    assert shard_name("train", 3, 123456, options(), 0) == "train-000003-of-123456.tfrecord"
    packed = options(compression="gzip", bins=(24, 48))
    assert shard_name("validation", 0, 1, packed, 0) == "validation-len24-00000-of-00001.tfrecord.gz"
    assert shard_name("validation", 0, 1, packed, 1) == "validation-len48-00000-of-00001.tfrecord.gz"


def test_the_options_decide_the_copies(options: Options) -> None:
    config = options(dupe_factor=0)
    assert config.copies() == 5
    assert dataclasses.replace(config, masking="dynamic").copies() == 1
    assert dataclasses.replace(config, masking="dynamic", dupe_factor=3).copies() == 3
