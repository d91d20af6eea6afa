"""The order's arithmetic: permutations, lanes, windows, turns."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reader.order import LANES, Order, Turns, width_of

# Full windows, a small one, chunks that no lane gets, a chunk that is not full: what an epoch may consist of.
SIZES = {
    "one example": 1,
    "less than a chunk": 63,
    "a chunk": 64,
    "less than the lanes": 64 * 40 + 17,
    "as many chunks as lanes": 64 * 64,
    "a small window": 64 * 64 * 2 + 64 * 5 + 3,
    "full windows": 64 * 64 * 4 * 2,
    "everything": 64 * 64 * 4 * 2 + 64 * 64 * 3 + 64 * 63 + 1,
}


def stored(order: Order, positions: np.ndarray) -> np.ndarray:
    located = order.locate(positions)
    numbers: np.ndarray = located.chunks * order.per_chunk + located.records
    return numbers


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("width", [1, 4, 1000])
def test_an_epoch_has_every_example_once(size: str, width: int) -> None:
    examples = SIZES[size]
    order = Order(examples, 64, width, seed=2**64 - 3)
    located = order.locate(np.arange(3 * examples))
    np.testing.assert_array_equal(located.epochs, np.repeat(np.arange(3), examples))
    found = stored(order, np.arange(3 * examples)).reshape(3, examples)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(examples), (3, 1)))
    if examples > 64:
        assert (found[0] != found[1]).mean() > 0.9
        assert (np.diff(located.windows) >= 0).all()


@given(st.data())
@settings(max_examples=150)
def test_any_sizes(data: st.DataObject) -> None:
    examples = data.draw(st.integers(1, 30_000))
    order = Order(
        examples, data.draw(st.integers(1, 64)), data.draw(st.integers(1, 9)), data.draw(st.integers(0, 2**64 - 1))
    )
    epoch = data.draw(st.integers(0, 2**20))
    found = stored(order, epoch * examples + np.arange(examples))
    np.testing.assert_array_equal(np.sort(found), np.arange(examples))


def test_a_position_is_the_same_with_whatever_it_is_asked_for() -> None:
    order = Order(SIZES["everything"], 64, 4, seed=5)
    positions = np.random.default_rng(0).integers(0, 10 * order.examples, 5000)
    one_by_one = [stored(order, positions[i : i + 1])[0] for i in range(len(positions))]
    np.testing.assert_array_equal(stored(order, positions), one_by_one)


def test_seeds_and_epochs_give_other_orders() -> None:
    orders = [Order(SIZES["everything"], 64, 4, seed) for seed in (0, 1)]
    positions = np.arange(orders[0].examples)
    found = [stored(order, epoch * order.examples + positions) for order in orders for epoch in (0, 1)]
    for i in range(4):
        for j in range(i):
            assert (found[i] == found[j]).mean() < 0.001


def test_a_lane_reads_its_own_chunks() -> None:
    """But for the last window, whose chunks are fewer than the lanes."""
    order = Order(SIZES["everything"], 64, 4, seed=1)
    located = order.locate(np.arange(order.examples))
    dealt = located.windows < located.windows.max()
    assert (~dealt).sum() < 64 * 64
    lanes = np.arange(order.examples) % LANES
    owner: dict[int, int] = {}
    for chunk, lane in zip(located.chunks[dealt].tolist(), lanes[dealt].tolist(), strict=True):
        assert owner.setdefault(chunk, lane) == lane
    # A window has `width` chunks of each lane, no more.
    for window in range(2):
        here = located.windows == window
        assert len(np.unique(located.chunks[here])) == LANES * 4
        assert here.sum() == order.window_size


def test_nothing_grows_with_the_corpus() -> None:
    order = Order(10**10 + 7, 64, 4, seed=9)
    positions = np.concatenate([np.arange(256), np.arange(10**10, 10**10 + 64), [2**61]])
    located = order.locate(positions)
    assert (located.chunks * 64 + located.records).max() < order.examples
    assert located.epochs[0] == 0
    assert located.epochs[-1] == 2**61 // order.examples


def test_permutations_are_even() -> None:
    """Where one example comes, over many seeds: every tenth of the epoch as often as the others."""
    examples = SIZES["a small window"]
    places = []
    for seed in range(400):
        found = stored(Order(examples, 64, 4, seed), np.arange(examples))
        places.append(int(np.flatnonzero(found == 4321)[0]))
    counts = np.bincount(np.array(places) * 10 // examples, minlength=10)
    # Chi-square of 9 degrees of freedom: 27.9 is passed by chance once in 1,000 times.
    assert ((counts - 40) ** 2 / 40).sum() < 27.9


def test_neighbours_come_apart() -> None:
    examples = 64 * LANES * 8 * 10
    found = stored(Order(examples, 64, 8, 3), np.arange(examples))
    place = np.empty(examples, np.int64)
    place[found] = np.arange(examples)
    distance = np.abs(np.diff(place))
    assert (distance < 256).mean() < 0.02  # In one batch of 256; of a buffer of 10,000, one in forty is.
    assert abs(np.corrcoef(found, np.arange(examples))[0, 1]) < 0.1


def test_widths() -> None:
    assert [width_of(window, 64) for window in (1, 4096, 16_384, 10**6)] == [1, 1, 4, 244]
    assert width_of(16_384, 16) == 16


@pytest.mark.parametrize(
    "shares", [[1], [1, 1], [0.8, 0.2], [3, 1, 1], [0.5, 0.3, 0.15, 0.05], [1, 1000], [Fraction(1, 3), Fraction(2, 3)]]
)
def test_turns_are_exact_over_any_stretch(shares: list[float]) -> None:
    turns = Turns(shares)
    owner, number = turns.at(np.arange(30_000))
    for who, share in enumerate(shares):
        mine = owner == who
        np.testing.assert_array_equal(number[mine], np.arange(mine.sum()))
        counts = np.concatenate([[0], np.cumsum(mine)])
        expected = float(share) / float(sum(shares))
        for width in (1, 7, 100, 1024, 20_000):
            assert np.abs(counts[width:] - counts[:-width] - width * expected).max() <= 2


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=6), st.integers(0, 10**11))
def test_turns_at_any_position(shares: list[int], first: int) -> None:
    turns = Turns(shares)
    owner, number = turns.at(np.arange(first, first + 200))
    for who in range(len(shares)):
        mine = number[owner == who]
        if len(mine):
            np.testing.assert_array_equal(mine, np.arange(mine[0], mine[0] + len(mine)))
            assert abs(mine[0] - first * shares[who] / sum(shares)) <= 2 + first * 1e-5


def test_shares_of_very_different_sizes_are_rounded() -> None:
    turns = Turns([10**12 + 1, 3])
    assert turns.shares == [1 << 20, 1]
    assert Turns([33, 33, 33]).shares == [1, 1, 1]
    assert Turns([0.8, 0.2]).shares == [4, 1]
