from __future__ import annotations

import numpy as np
import pytest

from pipeline.masking import UNITS, Masked, MaskingPolicy, mask_examples, prediction_counts
from pipeline.seeding import generator

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = {"pad": PAD, "cls": CLS, "sep": SEP, "mask": MASK}
ORDINARY = np.array([5, 6, *range(10, 50)], np.int32)  # With a gap, as unused tokens leave one.
ALL_UNITS = pytest.mark.parametrize("unit", list(UNITS))


class Batch:
    """Examples to mask: `[CLS] A [SEP] B [SEP]`, padded."""

    def __init__(self, examples: int, seq_length: int = 64, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.lengths = rng.integers(min(5, seq_length), seq_length + 1, examples)
        self.ids = rng.choice([*ORDINARY, UNK], (examples, seq_length)).astype(np.int32)
        rows = np.arange(examples)
        self.ids[:, 0] = CLS
        self.ids[rows, rng.integers(2, self.lengths - 1)] = SEP
        self.ids[rows, self.lengths - 1] = SEP
        self.ids[np.arange(seq_length) >= self.lengths[:, np.newaxis]] = PAD
        self.maskable = ~np.isin(self.ids, [PAD, CLS, SEP])
        self.starts_word = rng.random(self.ids.shape) < 0.7

    def mask(self, policy: MaskingPolicy, seed: int = 1) -> Masked:
        keys = generator(seed, "mask").integers(2**64, size=len(self.ids), dtype=np.uint64)
        starts = self.starts_word.astype(np.int32)
        return mask_examples(self.ids, starts, keys, policy=policy, special_ids=SPECIAL, ordinary_ids=ORDINARY)


def predictions(masked: Masked) -> tuple[np.ndarray, np.ndarray]:
    """Rows and positions of the real predictions."""
    rows, columns = np.nonzero(masked.weights)
    return rows, masked.positions[rows, columns]


@ALL_UNITS
@pytest.mark.parametrize("most", [1, 7, 20, 64, 100])
def test_what_the_record_contract_says(unit: str, most: int) -> None:
    batch = Batch(300)
    before = batch.ids.copy()
    masked = batch.mask(MaskingPolicy(most, masked_lm_prob=0.2, unit=unit))
    assert masked.positions.shape == masked.ids.shape == masked.weights.shape == (300, most)
    assert (masked.input_word_ids.dtype, masked.positions.dtype, masked.ids.dtype) == (np.int32,) * 3
    assert masked.weights.dtype == np.float32
    counts = masked.weights.sum(axis=1).astype(int)
    # Predictions first, padding of zeros behind them.
    assert (masked.weights == (np.arange(most) < counts[:, np.newaxis])).all()
    assert not masked.positions[masked.weights == 0].any()
    assert not masked.ids[masked.weights == 0].any()
    # Strictly ascending, and never a special token's.
    both = (masked.weights[:, 1:] == 1) & (masked.weights[:, :-1] == 1)
    assert (np.diff(masked.positions, axis=1)[both] > 0).all()
    rows, positions = predictions(masked)
    assert batch.maskable[rows, positions].all()
    # As many as BERT's; with whole words fewer, where none fits.
    wanted = np.minimum(prediction_counts(batch.lengths, MaskingPolicy(most, 0.2)), batch.maskable.sum(axis=1))
    if unit == "token":
        assert counts.tolist() == wanted.tolist()
    assert (counts <= wanted).all()
    # Undoing the mask gives the text back.
    undone = masked.input_word_ids.copy()
    undone[rows, positions] = masked.ids[masked.weights == 1]
    assert (undone == batch.ids).all()
    assert (batch.ids == before).all()


@ALL_UNITS
def test_eighty_ten_ten(unit: str) -> None:
    batch = Batch(20_000)
    masked = batch.mask(MaskingPolicy(64, masked_lm_prob=0.3, unit=unit))
    rows, positions = predictions(masked)
    total = len(rows)
    assert total > 150_000
    now, was = masked.input_word_ids[rows, positions], batch.ids[rows, positions]
    by_mask = int((now == MASK).sum())
    assert masked.replaced_by_mask == by_mask
    # A random id is now and then the one that stood there.
    changed = int(((now != MASK) & (now != was)).sum())
    assert changed <= masked.replaced_at_random <= changed * 1.05
    # Tokens of a unit share their fate: that widens the distribution, by less than ten tokens a unit.
    units = total if unit == "token" else total / 10
    for count, share in ((by_mask, 0.8), (masked.replaced_at_random, 0.1)):
        assert abs(count / total - share) < 5 * np.sqrt(share * (1 - share) / units)


@ALL_UNITS
@pytest.mark.parametrize(("mask_prob", "random_prob"), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_rates_of_nought_and_one(unit: str, mask_prob: float, random_prob: float) -> None:
    batch = Batch(300)
    masked = batch.mask(MaskingPolicy(20, unit=unit, mask_prob=mask_prob, random_prob=random_prob))
    rows, positions = predictions(masked)
    now, was = masked.input_word_ids[rows, positions], batch.ids[rows, positions]
    assert (masked.replaced_by_mask, masked.replaced_at_random) == (len(rows) * mask_prob, len(rows) * random_prob)
    if mask_prob:
        assert (now == MASK).all()
    elif random_prob:
        assert np.isin(now, ORDINARY).all()
        assert (now != was).mean() > 0.9
    else:
        assert (now == was).all()


def test_random_ids_are_ordinary_and_evenly_drawn() -> None:
    batch = Batch(5000)
    masked = batch.mask(MaskingPolicy(64, masked_lm_prob=1.0, mask_prob=0.0, random_prob=1.0))
    drawn = masked.input_word_ids[batch.maskable]
    counts = np.array([(drawn == ordinary).sum() for ordinary in ORDINARY])
    assert counts.sum() == len(drawn)  # And no other id.
    expected, freedom = len(drawn) / len(ORDINARY), len(ORDINARY) - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert abs(statistic - freedom) < 5 * np.sqrt(2 * freedom)


def test_tokens_of_a_word_share_their_fate() -> None:
    batch = Batch(2000)
    batch.starts_word[:, 1:] = np.arange(1, 64) % 3 == 1  # Words of three tokens.
    masked = batch.mask(MaskingPolicy(64, masked_lm_prob=0.3, unit="word", mask_prob=0.5, random_prob=0.0))
    rows, positions = predictions(masked)
    replaced = np.full(batch.ids.shape, -1)
    replaced[rows, positions] = masked.input_word_ids[rows, positions] == MASK
    selected = replaced >= 0
    within = ~batch.starts_word[:, 1:] & selected[:, 1:] & selected[:, :-1] & batch.maskable[:, :-1]
    assert within.sum() > 1000
    assert (replaced[:, 1:][within] == replaced[:, :-1][within]).all()
    assert 0.4 < replaced[selected].mean() < 0.6


@ALL_UNITS
def test_the_seed_decides_all(unit: str) -> None:
    batch, policy = Batch(50), MaskingPolicy(20, unit=unit)
    first, again, other = batch.mask(policy, 1), batch.mask(policy, 1), batch.mask(policy, 2)
    for name, column in first._asdict().items():
        assert np.array_equal(column, getattr(again, name))
    assert not np.array_equal(first.positions, other.positions)
    assert not np.array_equal(first.input_word_ids, other.input_word_ids)


@ALL_UNITS
@pytest.mark.parametrize("most", [5, 6, 50])
def test_room_for_more_predictions_than_tokens(unit: str, most: int) -> None:
    batch = Batch(200, seq_length=5)  # Two tokens, three specials.
    masked = batch.mask(MaskingPolicy(most, masked_lm_prob=1.0, unit=unit))
    assert masked.positions.shape == (200, most)
    assert masked.weights.sum(axis=1).tolist() == batch.maskable.sum(axis=1).tolist()


@ALL_UNITS
def test_nothing_to_mask(unit: str) -> None:
    batch = Batch(10)
    batch.ids[3] = SEP
    masked = batch.mask(MaskingPolicy(20, unit=unit))
    assert not masked.weights[3].any()
    assert (masked.input_word_ids[3] == batch.ids[3]).all()
    empty = Batch(0).mask(MaskingPolicy(20, unit=unit))
    assert empty.input_word_ids.shape == (0, 64)
    assert empty.positions.shape == (0, 20)


def test_the_choice_of_positions_does_not_hang_on_the_rates() -> None:
    batch = Batch(100)
    positions = [batch.mask(MaskingPolicy(20, mask_prob=p)).positions.tolist() for p in (0.0, 0.5, 0.9)]
    assert positions[0] == positions[1] == positions[2]
