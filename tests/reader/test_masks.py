"""Masks drawn when examples are read, against the rules that masks are written by."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loading import load_script

from pipeline.masking import UNITS, MaskingPolicy, prediction_counts
from pipeline.reader.masks import ReadingMasks

SPECIAL = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
ORDINARY = np.arange(5, 1000)
SEQ_LENGTH, BATCH = 64, 400


Batch = dict[str, np.ndarray]


def _batch(seed: int = 0, *, word_rate: float = 0.7) -> tuple[Batch, np.ndarray, np.ndarray]:
    """Examples of two segments of many lengths; their numbers; their lengths."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, 1000, (BATCH, SEQ_LENGTH), np.int32)
    lengths = rng.integers(5, SEQ_LENGTH, BATCH, endpoint=True)
    for row, length in enumerate(lengths):
        ids[row, 0], ids[row, length // 2], ids[row, length - 1] = SPECIAL["cls"], SPECIAL["sep"], SPECIAL["sep"]
        ids[row, length:] = SPECIAL["pad"]
    starts = (rng.random(ids.shape) < word_rate).astype(np.int32)
    batch = {"input_word_ids": ids, "input_type_ids": np.zeros_like(ids), "word_starts": starts}
    return batch, np.arange(seed * BATCH, (seed + 1) * BATCH, dtype=np.uint64), lengths


def _mask(policy: MaskingPolicy, batch: Batch, numbers: np.ndarray, *, seed: int = 7, epoch: int = 0) -> Batch:
    return ReadingMasks(policy, SPECIAL, ORDINARY, seed).draw(batch, numbers, np.full(len(numbers), epoch))


reference = load_script(Path(__file__).with_name("reference_masking.py"))  # The masking in TensorFlow ops.


def _check_against_reference(policy: MaskingPolicy, ordinary: np.ndarray, seed: int, *arguments: Any) -> None:
    found = ReadingMasks(policy, SPECIAL, ordinary, seed).draw(*arguments)
    expected = reference.mask_batch(policy, SPECIAL, ordinary, seed, *arguments)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == np.asarray(tensor).dtype
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize(
    ("room", "rate", "word_rate", "seed"),
    [(10, 0.15, 0.7, 7), (1, 0.4, 1.0, -1), (64, 0.6, 0.4, 2**40), (64, 1.0, 0.9, 0)],
)
def test_masks_are_those_of_the_reference(unit: str, room: int, rate: float, word_rate: float, seed: int) -> None:
    batch, numbers, _ = _batch(3, word_rate=word_rate)
    epochs = np.random.default_rng(0).integers(0, 50, BATCH)
    _check_against_reference(MaskingPolicy(room, unit=unit), ORDINARY, seed, batch, numbers, epochs, rate)


_IDS = st.sampled_from([0, 1, 2, 3, 4, 5, 6, 999, -1, 2**31 - 1, -(2**31)])  # Such as damaged records may hold.
_RATES = [(0.8, 0.1), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]


@pytest.mark.parametrize("unit", UNITS)
@given(data=st.data())
@settings(max_examples=60)
def test_rows_of_any_shape_are_masked_as_in_the_reference(unit: str, data: st.DataObject) -> None:
    rows, seq_length = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 24))
    cells = st.lists(_IDS, min_size=seq_length, max_size=seq_length)
    alike = st.sampled_from([0, 2, 5]).map(lambda token: [token] * seq_length)
    ids = np.array(data.draw(st.lists(cells | alike, min_size=rows, max_size=rows)), np.int32)
    starts = np.random.default_rng(data.draw(st.integers(0, 99))).integers(-1, 3, ids.shape, np.int32)
    mask_prob, random_prob = data.draw(st.sampled_from(_RATES))
    policy = MaskingPolicy(
        data.draw(st.integers(1, seq_length + 2)),
        unit=unit,
        max_ngram_size=data.draw(st.integers(1, 6)),
        mask_prob=mask_prob,
        random_prob=random_prob,
    )
    _check_against_reference(
        policy,
        ORDINARY[: data.draw(st.sampled_from([1, 7, len(ORDINARY)]))],
        data.draw(st.integers(-(2**63), 2**64)),
        {"input_word_ids": ids, "word_starts": starts},
        np.array(data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=rows, max_size=rows)), np.uint64),
        np.array(data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows)), np.int64),
        data.draw(st.floats(0.0, 1.0)),
    )


@pytest.mark.parametrize("unit", UNITS)
def test_what_the_record_contract_says(unit: str) -> None:
    policy = MaskingPolicy(10, unit=unit)
    batch, numbers, lengths = _batch()
    ids = batch["input_word_ids"]

    masked = _mask(policy, batch, numbers)

    real = masked["masked_lm_weights"] == 1.0
    positions, originals = masked["masked_lm_positions"], masked["masked_lm_ids"]
    np.testing.assert_array_equal(masked["input_mask"].sum(axis=1), lengths)
    assert set(masked) == {
        "input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights",
    }  # fmt: skip
    wanted = prediction_counts(lengths, policy)
    if unit == "token":
        np.testing.assert_array_equal(real.sum(axis=1), wanted)
    else:  # A word that is too long for what is left is passed over.
        assert (real.sum(axis=1) <= wanted).all()
        assert (real.sum(axis=1) == wanted).mean() > 0.95
    # Predictions come first, at ascending places, none of them a special token's; the rest is zeros.
    assert (real[:, :-1] >= real[:, 1:]).all()
    assert (np.diff(positions, axis=1)[real[:, 1:]] > 0).all()
    assert not positions[~real].any()
    assert not originals[~real].any()
    assert (originals[real] >= 5).all()
    # Undone, the mask gives the text back.
    undone = masked["input_word_ids"].copy()
    rows, columns = np.nonzero(real)
    undone[rows, positions[rows, columns]] = originals[rows, columns]
    np.testing.assert_array_equal(undone, ids)


@pytest.mark.parametrize("unit", UNITS)
def test_eighty_ten_ten(unit: str) -> None:
    counts = np.zeros(3)
    total = 0
    for seed in range(5):
        batch, numbers, _ = _batch(seed, word_rate=1.0)
        masked = _mask(MaskingPolicy(10, unit=unit), batch, numbers)
        real = masked["masked_lm_weights"] == 1.0
        inputs = np.take_along_axis(masked["input_word_ids"], masked["masked_lm_positions"], axis=1)[real]
        kept = inputs == masked["masked_lm_ids"][real]
        counts += [(inputs == SPECIAL["mask"]).sum(), (~kept & (inputs != SPECIAL["mask"])).sum(), kept.sum()]
        total += real.sum()
        assert (inputs >= 4).all()  # Random ids are ordinary.
    # Spans of up to ten tokens share one draw: a tolerance of five standard deviations, of units that large.
    spread = 5 * np.sqrt(np.array([0.8, 0.1, 0.1]) * np.array([0.2, 0.9, 0.9]) * (5 if unit == "span" else 2) / total)
    assert (np.abs(counts / total - [0.8, 0.1, 0.1]) < spread).all(), counts / total


def test_places_are_chosen_uniformly() -> None:
    length = 22
    ids = np.full((4000, length), 9, np.int32)
    ids[:, 0], ids[:, -1] = SPECIAL["cls"], SPECIAL["sep"]
    batch = {"input_word_ids": ids, "word_starts": np.ones_like(ids)}
    numbers = np.arange(len(ids), dtype=np.uint64)
    for unit in ("token", "word"):
        masked = _mask(MaskingPolicy(3, unit=unit), batch, numbers)
        chosen = np.bincount(masked["masked_lm_positions"][masked["masked_lm_weights"] > 0], minlength=length)[1:-1]
        expected = 4000 * 3 / 20
        # Chi-square of 19 degrees of freedom: 49.6 is passed by chance once in 5,000 times.
        assert ((chosen - expected) ** 2 / expected).sum() < 49.6


def test_tokens_of_a_word_are_predicted_together() -> None:
    batch, numbers, _ = _batch()
    ids, starts = batch["input_word_ids"], batch["word_starts"] > 0
    masked = _mask(MaskingPolicy(12, unit="word"), batch, numbers)
    selected = np.zeros(ids.shape, bool)
    rows, columns = np.nonzero(masked["masked_lm_weights"])
    selected[rows, masked["masked_lm_positions"][rows, columns]] = True

    ordinary = ids >= 5
    continues = ordinary[:, 1:] & ordinary[:, :-1] & ~starts[:, 1:]
    np.testing.assert_array_equal(selected[:, 1:][continues], selected[:, :-1][continues])


@pytest.mark.parametrize("unit", UNITS)
def test_an_example_has_its_mask_wherever_it_stands(unit: str) -> None:
    policy = MaskingPolicy(10, unit=unit)
    batch, numbers, _ = _batch()
    order = np.random.default_rng(1).permutation(BATCH)[:50]

    whole = _mask(policy, batch, numbers)
    part = _mask(policy, {name: value[order] for name, value in batch.items()}, numbers[order])

    for name, value in part.items():
        np.testing.assert_array_equal(value, whole[name][order])


def test_seed_and_epoch_draw_anew() -> None:
    policy = MaskingPolicy(10)
    batch, numbers, _ = _batch()
    first = _mask(policy, batch, numbers)["masked_lm_positions"]

    for other in ({"seed": 8}, {"epoch": 1}):
        positions = _mask(policy, batch, numbers, **other)["masked_lm_positions"]
        assert (positions != first).any(axis=1).mean() > 0.9


def test_rates_of_nought_and_one() -> None:
    batch, numbers, _ = _batch()
    ids = batch["input_word_ids"]
    stays = _mask(MaskingPolicy(10, mask_prob=0.0, random_prob=0.0), batch, numbers)
    np.testing.assert_array_equal(stays["input_word_ids"], ids)

    all_masked = _mask(MaskingPolicy(SEQ_LENGTH, masked_lm_prob=1.0, mask_prob=1.0, random_prob=0.0), batch, numbers)
    np.testing.assert_array_equal(all_masked["input_word_ids"] == SPECIAL["mask"], ids >= 5)
