"""Batch sizes by step, against counting step by step."""

from __future__ import annotations

import pytest

from pipeline.reader.sizes import BatchSizes

SIZES = BatchSizes((0, 3, 4, 10), (2, 5, 3, 8))
BY_STEP = [2, 2, 2, 5, *[3] * 6, *[8] * 20]


def test_each_step_has_its_size() -> None:
    assert [SIZES.at(step) for step in range(30)] == BY_STEP
    assert [SIZES.number(step) for step in (0, 2, 3, 4, 9, 10, 10**9)] == [0, 0, 1, 2, 2, 3, 3]
    assert SIZES.largest == 8


def test_examples_and_steps_are_counted() -> None:
    sums = [sum(BY_STEP[:step]) for step in range(31)]
    assert [SIZES.examples_before(step) for step in range(31)] == sums
    for examples in range(sums[-1]):
        assert SIZES.steps_within(examples) == max(step for step, total in enumerate(sums) if total <= examples)


@pytest.mark.parametrize("first_steps", [(), (1,), (0, 3), (0, 3, 3, 4), (0, 5, 4, 6)])
def test_steps_that_do_not_rise_are_refused(first_steps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rising first steps"):
        BatchSizes(first_steps, (2, 5, 3, 8))
