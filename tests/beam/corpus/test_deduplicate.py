from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.beam.corpus import deduplicate
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.corpus.deduplicate import Deduplication
from pipeline.beam.corpus.job import plan_corpus
from pipeline.beam.corpus.make import make_corpus
from pipeline.beam.running.plan_file import PlanFile
from pipeline.errors import CorpusError
from pipeline.text.documents import clean_documents
from pipeline.text.duplicates import key_columns
from pipeline.text.reading.document import TextCounts

Make = Callable[..., CorpusConfig]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Texts of which 30 occur again as they are (but for case and line ends), and 20 with a word or two changed."""
    draw = random.Random(7)
    words = [f"word{i}" for i in range(2000)]
    texts = [" ".join(draw.choices(words, k=draw.randint(80, 200))) for _ in range(150)]
    same = [text.upper().replace(" ", "\n", 3) for text in texts[:30]]
    near = [text.replace(text.split()[40], "changed", 1) + " more" for text in texts[20:40]]
    shuffled = [*texts, *same, *near]
    draw.shuffle(shuffled)
    return shuffled


@pytest.fixture
def configure(tmp_path: Path, vocabulary_path: str, texts: list[str]) -> Make:
    """Options for a corpus of the texts, in blocks of a few each."""
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

    def make(**values: Any) -> CorpusConfig:
        options = {"input": (str(path),), "output": str(tmp_path / "out"), "vocab": vocabulary_path}
        return CorpusConfig(**(options | {"block_bytes": 16_384, "dupe_factor": 1, "validation_fraction": 0} | values))

    return make


def first_by(texts: list[str], *, near: bool) -> tuple[set[int], set[int]]:
    """The duplicates and the near duplicates, by comparing all with all."""
    exact, similar = set(), set()
    for i, text in enumerate(texts):
        words = text.lower().split()
        for other in texts[:i]:
            earlier = other.lower().split()
            if words == earlier:
                exact.add(i)
            elif near:
                a, b = ({tuple(w[j : j + 5]) for j in range(len(w) - 4)} for w in (words, earlier))
                if len(a & b) / len(a | b) > 0.75:
                    similar.add(i)
    return exact, similar - exact


@pytest.mark.parametrize("dedup", ["exact", "near"])
@pytest.mark.parametrize("documents_a_comparison", [1 << 22, 37])
def test_all_but_the_first_are_dropped(
    configure: Make, texts: list[str], dedup: str, documents_a_comparison: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deduplicate, "_DOCUMENTS_A_COMPARISON", documents_a_comparison)
    config = configure(dedup=dedup)
    job, plan = plan_corpus(config)
    assert len(plan.blocks) > 5
    job.begin()
    job.plan.write(plan.blocks)
    deduplication = Deduplication(job.config, job.plan)
    deduplication.run(plan.blocks, beam_args=(), workers=1, show_progress=False)
    dropped: dict[str, set[int]] = {"duplicate": set(), "near_duplicate": set()}
    start = 0
    for block in plan.blocks:
        documents = [d for segment in block.segments for d in clean_documents(segment, config, TextCounts())]
        for number, reason in deduplication.of_block(block.index).items():
            assert number < len(documents)
            dropped[reason].add(start + number)
        start += len(documents)
    assert start == len(texts)
    assert (dropped["duplicate"], dropped["near_duplicate"]) == first_by(texts, near=dedup == "near")


def test_a_corpus_without_duplicates(configure: Make, texts: list[str], tmp_path: Path) -> None:
    exact, similar = first_by(texts, near=True)
    whole = make_corpus(configure(dedup="near"), show_progress=False)
    text = whole.statistics["text"]
    assert (
        text["dropped"]
        == {"duplicate": len(exact), "near_duplicate": len(similar)}
        == {
            "duplicate": 30,
            "near_duplicate": 20,
        }
    )
    assert text["documents"] == 150
    assert not (tmp_path / "out" / ".blocks").exists()
    more = make_corpus(configure(dedup="near", output=str(tmp_path / "two")), workers=2, show_progress=False)
    assert [shard.sha256 for shard in more.shards] == [shard.sha256 for shard in whole.shards]


def test_what_is_finished_is_not_redone(configure: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = make_corpus(configure(dedup="near"), show_progress=False)
    config = configure(dedup="near", output=configure().output + "-2")
    calls: list[str] = []

    def counted(name: str, function: Callable[..., Any], fail_at: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            if calls.count(name) == fail_at:
                raise OSError("full")
            return function(*arguments, **options)

        return call

    equal_keys = deduplicate.equal_keys
    blocks = len(reference.split("train"))
    with monkeypatch.context() as patch:
        patch.setattr(deduplicate, "key_columns", counted("keys", key_columns, 3))
        patch.setattr(deduplicate, "equal_keys", counted("compare", equal_keys, 5))
        with pytest.raises(CorpusError, match=rf"1 of {blocks} fingerprints failed: fingerprint 2: OSError: full"):
            make_corpus(config, show_progress=False)
        assert calls == ["keys"] * blocks
        with pytest.raises(CorpusError, match="1 of 21 comparisons failed: comparison 4: OSError: full"):
            make_corpus(config, show_progress=False)
        assert calls == ["keys"] * (blocks + 1) + ["compare"] * 21
        assert make_corpus(config, show_progress=False).shards == reference.shards
        assert calls == ["keys"] * (blocks + 1) + ["compare"] * 22


def test_no_document_at_all(configure: Make, tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    path.write_text("\n \n")
    config = configure(input=(str(path),), dedup="near")
    job, plan = plan_corpus(config)
    job.begin()
    job.plan.write(plan.blocks)
    deduplication = Deduplication(job.config, job.plan)
    deduplication.run(plan.blocks, beam_args=(), workers=1, show_progress=False)
    assert deduplication.of_block(0) == {}


@pytest.mark.parametrize("dedup", ["exact", "near"])
def test_blocks_in_which_no_document_begins(
    configure: Make, texts: list[str], dedup: str, tmp_path: Path, vocabulary_path: str
) -> None:
    path = tmp_path / "long.jsonl"
    long = json.dumps({"text": " ".join(texts)}) + "\n"
    path.write_text(long + json.dumps({"text": texts[0]}) + "\n" + long)
    manifest = make_corpus(configure(input=(str(path),), dedup=dedup), show_progress=False)
    assert [shard.examples > 0 for shard in manifest.shards].count(False) > 5
    assert manifest.statistics["text"]["dropped"] == {"duplicate": 1}


def test_on_an_object_store(configure: Make, object_store: dict[str, bytes]) -> None:
    local = configure(dedup="near")
    found = []
    object_store["teststore://bucket/texts.jsonl"] = Path(local.input[0]).read_bytes()
    for config, work in (
        (local, f"{local.output}-work"),
        (configure(dedup="near", input=("teststore://bucket/*.jsonl",)), "teststore://bucket/work"),
    ):
        _, plan = plan_corpus(config)
        deduplication = Deduplication(config, PlanFile(work))
        deduplication.keys.begin({"run": deduplication.plan.key})
        deduplication.plan.write(plan.blocks)
        deduplication.run(plan.blocks, beam_args=(), workers=1, show_progress=False)
        found.append([deduplication.of_block(block.index) for block in plan.blocks])
    assert found[0] == found[1]
    assert sum(map(len, found[0])) == 50
