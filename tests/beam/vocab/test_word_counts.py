from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.beam.vocab.config import VocabConfig
from pipeline.beam.vocab.word_counts import WordCounts
from pipeline.text.inputs import plan_inputs
from pipeline.text.split import is_set_apart

WORDS = [f"word{i:03d}" for i in range(200)]
DOCUMENTS = [" ".join(WORDS[i % 7 :: 1 + i % 5]) for i in range(60)]


def count(tmp_path: Path, **options: object) -> tuple[WordCounts, dict[str, int], dict[str, int]]:
    """The job, and the counts to learn from and held out, summed in an order of no meaning."""
    (tmp_path / "a.txt").write_text("\n\n".join(DOCUMENTS))
    values = {"input": (str(tmp_path / "*.txt"),), "output": str(tmp_path / "v"), "format": "lines"} | options
    config = VocabConfig(**{"held_out_fraction": 0.3, "block_bytes": 3000} | values)
    plan = plan_inputs(config)
    job = WordCounts(config, str(tmp_path / "work"), len(plan.blocks))
    job.counted.begin({"run": job.key})
    job.plan.write(plan.blocks)
    for block in reversed(range(job.blocks)):
        job.counted.mark_done(block, job.count_block(block))
    for part in reversed(range(job.parts)):
        job.summed.mark_done(part, job.sum_part(part))
    return (job, *job.most_frequent_words())


def test_the_sums_are_those_of_the_text(tmp_path: Path) -> None:
    job, learned, held_out = count(tmp_path)
    assert 3 < job.parts == job.blocks < 64
    for found, apart in ((learned, False), (held_out, True)):
        texts = [text for text in DOCUMENTS if is_set_apart(text, 0.3, job.config.seed) is apart]
        assert len(texts) > 5
        assert found == Counter(" ".join(texts).split())
        assert list(found) == sorted(found)
    results = job.counted.results(range(job.blocks)).values()
    assert [sum(result["words"][i] for result in results) for i in (0, 1)] == [
        sum(learned.values()),
        sum(held_out.values()),
    ]


def test_every_word_is_in_one_part(tmp_path: Path) -> None:
    job, learned, _ = count(tmp_path, block_bytes=1024)
    parts = [
        {line.split("\t")[0] for line in path.read_text().splitlines()}
        for path in sorted((tmp_path / "work").glob("sums-*.tsv"))
    ]
    assert len(parts) == job.parts
    assert sum(map(len, parts)) == len(set.union(*parts)) >= len(learned)
    assert all(len(part) < 60 for part in parts)


@pytest.mark.parametrize("word", ["ünïcode", "\ud800lone"])
def test_any_word_comes_back(tmp_path: Path, word: str) -> None:
    from pipeline.beam.vocab.word_counts import _from_lines, _to_lines

    assert list(_from_lines(_to_lines([(word, 3), ("b", 1)]))) == [(word.replace("\ud800", "?"), 3), ("b", 1)]
