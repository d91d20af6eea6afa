"""When a run is told that it does not get beyond the unigram baseline."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.training.loop.plateau import ADVICE, Plateau


def said_at(losses: Sequence[float], *, every: int = 1000, warmup: int = 0, steps: int = 1_000_000) -> list[int]:
    """The steps of the evaluations that call for advice, against a baseline of 7."""
    plateau = Plateau(7.0, warmup_steps=warmup, train_steps=steps)
    said = [(step, plateau.note(step, loss)) for step, loss in zip(range(every, 10**9, every), losses, strict=False)]
    assert {advice for _, advice in said} <= {None, ADVICE}
    return [step for step, advice in said if advice]


def test_three_evaluations_without_progress() -> None:
    assert said_at([7.0, 6.99, 6.98, 6.98, 6.98]) == [3000]  # Once.
    assert said_at([7.0, 6.95, 6.9, 6.88, 6.88]) == [5000]
    assert said_at([9.0, 8.99, 8.985]) == [3000]  # It learns not even frequencies.


def test_not_while_it_falls_or_has_left_the_baseline() -> None:
    assert said_at([8.0, 7.5, 7.0, 6.9, 6.8, 6.75, 6.69]) == []
    assert said_at([6.69, 6.69, 6.69, 6.69]) == []
    assert said_at([6.71, 6.71, 6.71]) == [3000]


def test_not_before_the_end_of_the_warm_up() -> None:
    assert said_at([7.0] * 6, warmup=3000) == [5000]


def test_evaluations_that_are_close_to_one_another() -> None:
    """They must span a thousand steps, or a tenth of a short run."""
    assert said_at([7.0] * 30, every=100) == [1100]
    assert said_at([7.0] * 30, every=100, steps=5000) == [600]


def test_history_counts_and_is_not_said_again() -> None:
    history = [(1000, 7.0), (2000, 7.0)]
    plateau = Plateau(7.0, warmup_steps=0, train_steps=10**6, history=history)
    assert plateau.note(3000, 7.0) == ADVICE
    again = Plateau(7.0, warmup_steps=0, train_steps=10**6, history=[*history, (3000, 7.0)])
    assert again.note(4000, 7.0) is None


def test_comparison() -> None:
    plateau = Plateau(6.574, warmup_steps=0, train_steps=100)
    assert plateau.compare(5.123) == ", 1.45 nats below the unigram baseline of 6.57"
    assert plateau.compare(7.0) == ", 0.43 nats above the unigram baseline of 6.57"
    unknown = Plateau(None, warmup_steps=0, train_steps=100)
    assert unknown.compare(5.0) == ""
    assert [unknown.note(step, 7.0) for step in range(1000, 9000, 1000)] == [None] * 8
