from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipeline.beam.running.plan_file import PlanFile
from pipeline.errors import InputError
from pipeline.text.reading.plan import Block, InputFile, plan_blocks


@pytest.fixture
def blocks() -> list[Block]:
    """Blocks of one segment and of many, of names that JSON must escape."""
    many = [InputFile(f'gs://bucket/ä "{i}"\n.txt', 300 + i) for i in range(50)]
    large = [InputFile("large.txt", 10_000, "wrapped"), InputFile("a.jsonl.gz", 9000, "jsonl", "gzip")]
    parquet = InputFile("p.parquet", 9000, "parquet", "", (700, 800, 900))
    return plan_blocks([*many, *large, parquet], 1000)


def test_each_block_is_read_back_alone(tmp_path: Path, blocks: list[Block]) -> None:
    plan = PlanFile(str(tmp_path))
    plan.write(blocks)
    plan = pickle.loads(pickle.dumps(plan))
    assert len(blocks) > 20
    assert [plan.block(index) for index in reversed(range(len(blocks)))] == blocks[::-1]


def test_on_an_object_store(blocks: list[Block], object_store: dict[str, bytes]) -> None:
    plan = PlanFile("teststore://bucket/work")
    plan.write(blocks)
    assert plan.block(7) == blocks[7]
    assert sorted(object_store) == ["teststore://bucket/work/plan.jsonl", "teststore://bucket/work/plan.table"]


def test_a_plan_that_has_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*plan\.table"):
        PlanFile(str(tmp_path)).block(0)
