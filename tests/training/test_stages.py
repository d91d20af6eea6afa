"""Plans of stages: where each ends, and how batches grow."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config.tree import from_dict, to_dict
from pipeline.errors import ConfigError
from pipeline.training.configs import DataConfig
from pipeline.training.stages import (
    PlannedStage,
    StageConfig,
    describe_plan,
    first_steps,
    format_stages,
    parse_until,
    plan_stages,
)


def plan(
    *stages: dict[str, Any], batch_size: int = 64, means: tuple[float, ...] | None = None, train_steps: int = 1000
) -> list[PlannedStage]:
    data = DataConfig(stages=tuple(StageConfig(**stage) for stage in stages), global_batch_size=batch_size)
    means = means or (20.0,) * len(stages)
    return plan_stages(data.stages, batch_size=batch_size, mean_tokens=means, train_steps=train_steps)


def shape(planned: list[PlannedStage]) -> list[tuple[int, int, int | None]]:
    return [(stage.first_step, stage.last_step, stage.config.global_batch_size) for stage in planned]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("90%", (90, "%")),
        ("12.5 %", (12.5, "%")),
        ("2e9 tokens", (2e9, "tokens")),
        ("5_000_000 tokens", (5e6, "tokens")),
        ("1000 Steps", (1000, "steps")),
    ],
)
def test_an_end_is_parsed(text: str, found: tuple[float, str]) -> None:
    assert parse_until(text) == found


@pytest.mark.parametrize(
    "text", ["", "0.9", "0%", "100%", "1.5 steps", "-3 steps", "9 epochs", "many tokens", "0 steps"]
)
def test_what_is_no_end_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="until must state where a stage ends"):
        StageConfig(until=text)


def test_bert_reads_short_rows_for_nine_tenths() -> None:
    planned = plan({"until": "90%"}, {"input_path": "long", "global_batch_size": 16}, means=(100.0, 400.0))
    assert shape(planned) == [(0, 900, 64), (900, 1000, 16)]
    assert [stage.tokens for stage in planned] == [900 * 64 * 100, 100 * 16 * 400]
    assert [stage.config.until for stage in planned] == ["900 steps", None]


def test_batches_grow_evenly_by_steps() -> None:
    planned = plan({"until": "60%", "initial_batch_size": 16}, {})
    assert shape(planned) == [(0, 150, 16), (150, 300, 32), (300, 450, 48), (450, 600, 64), (600, 1000, 64)]
    # To the end of the run, in fewer sizes.
    planned = plan({"initial_batch_size": 16, "batch_sizes": 3})
    assert shape(planned) == [(0, 333, 16), (333, 666, 48), (666, 1000, 64)]


def test_batches_grow_evenly_by_tokens() -> None:
    """ModernBERT's 768 to 4,608, in shorter: each size has the same tokens, to a batch."""
    planned = plan({"until": "3e6 tokens", "initial_batch_size": 768}, {}, batch_size=4608, train_steps=10_000)
    sizes = [768, 1536, 2304, 3072, 3840, 4608]
    assert [stage.config.global_batch_size for stage in planned] == [*sizes, 4608]
    total = 0.0
    for number, stage in enumerate(planned[:-1], start=1):
        total += stage.tokens
        assert stage.tokens == (stage.last_step - stage.first_step) * sizes[number - 1] * 20
        assert number * 5e5 <= total < number * 5e5 + sizes[number - 1] * 20
    # A later stage's tokens count from the start of the run, with the examples of each stage in their own length.
    planned = plan({"until": "100 steps"}, {"until": "228_000 tokens"}, {}, means=(20.0, 50.0, 5.0))
    assert shape(planned)[1] == (
        100,
        132,
        64,
    )  # 128,000 tokens, then 32 steps of 3,200, of which the last begins below.


@pytest.mark.parametrize(
    ("initial", "final", "count"), [(8, 64, 8), (48, 4096, 8), (1, 3, 8), (7, 1024, 5), (96, 128, 2)]
)
def test_what_divides_both_sizes_divides_all(initial: int, final: int, count: int) -> None:
    planned = plan({"initial_batch_size": initial, "batch_sizes": count}, batch_size=final)
    sizes = [stage.config.global_batch_size or 0 for stage in planned]
    assert sizes[0] == initial
    assert sizes[-1] == final
    assert len(set(sizes)) == len(sizes) <= count
    assert sizes == sorted(sizes)
    for divisor in range(1, initial + 1):
        if initial % divisor == 0 == final % divisor:
            assert not any(size % divisor for size in sizes)


def test_a_plan_planned_again_is_the_same() -> None:
    planned = plan(
        {"until": "3e5 tokens", "initial_batch_size": 8},
        {"until": "81%"},
        {"input_path": "long"},
        means=(20.0, 20.0, 90.0),
    )
    again = plan_stages(
        [stage.config for stage in planned],
        batch_size=64,
        mean_tokens=[90.0 if stage.config.input_path else 20.0 for stage in planned],
        train_steps=1000,
    )
    assert again == planned
    config = DataConfig(stages=tuple(stage.config for stage in planned))
    assert from_dict(DataConfig, to_dict(config)) == config
    assert first_steps(config.stages) == [stage.first_step for stage in planned]


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{}, {}], "Stage 1 needs an until"),
        ([{"until": "50%"}], "The last stage must not have an until"),
        ([{"until": "50%"}, {"until": "40%"}, {}], "Stage 2 must end after step 500"),
        ([{"until": "50%"}, {"until": "1000 tokens"}, {}], "Stage 2 must end after step 500"),
        (
            [{"until": "1.5e6 tokens"}, {}],
            r"Stage 1 must end before the run does, after 1,000 steps\. Received: 1\.5e6 tokens, about step 1,172",
        ),
        ([{"until": "1000 steps"}, {}], "Stage 1 must end before the run does"),
        ([{"until": "0.01%"}, {}], "Stage 1 must end after step 0"),
        ([{"initial_batch_size": 64}], "initial_batch_size of stage 1 must be less than its global_batch_size of 64"),
        ([{"weights": (1.0,)}], "weights of a stage must be given together with its input_path"),
        ([{"global_batch_size": 0}], "global_batch_size must be between"),
    ],
)
def test_stages_that_contradict_one_another_are_refused(stages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(*stages)


def test_a_stage_of_fewer_steps_than_sizes_has_some_of_them() -> None:
    assert shape(plan({"initial_batch_size": 8}, train_steps=3)) == [(0, 1, 24), (1, 2, 48), (2, 3, 64)]


def test_the_table_shows_the_plan() -> None:
    planned = plan({"input_path": ("a", "b"), "until": "90%"}, {"input_path": "c", "global_batch_size": 1024})
    described = describe_plan(planned, {"a": "general", "b": "domain", "c": "long"})
    assert described[1] == {
        "first_step": 901,
        "last_step": 1000,
        "batch_size": 1024,
        "tokens": 2_048_000,
        "corpora": ["long"],
    }
    assert format_stages(described).splitlines() == [
        "stage         steps  examples per batch  tokens (about)  corpus",
        "    1      1 to 900                  64       1,152,000  general, domain",
        "    2  901 to 1,000               1,024       2,048,000  long",
    ]
