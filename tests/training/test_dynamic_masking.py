"""Masks drawn when examples are read, against the rules that masks are written by."""

import numpy as np
import pytest
import tensorflow as tf

from pipeline.masking import UNITS, MaskingPolicy, prediction_counts
from pipeline.training.dynamic_masking import DynamicMasking

SPECIAL = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
ORDINARY = np.arange(5, 1000)
SEQ_LENGTH, BATCH = 64, 400


def _batch(seed: int = 0, *, word_rate: float = 0.7) -> tuple[dict[str, tf.Tensor], tf.Tensor, np.ndarray]:
    """Examples of two segments of many lengths; their bytes; their lengths."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, 1000, (BATCH, SEQ_LENGTH), np.int32)
    lengths = rng.integers(5, SEQ_LENGTH, BATCH, endpoint=True)
    for row, length in enumerate(lengths):
        ids[row, 0], ids[row, length // 2], ids[row, length - 1] = SPECIAL["cls"], SPECIAL["sep"], SPECIAL["sep"]
        ids[row, length:] = SPECIAL["pad"]
    starts = (rng.random(ids.shape) < word_rate).astype(np.int32)
    batch = {
        "input_word_ids": tf.constant(ids),
        "input_type_ids": tf.zeros_like(ids),
        "word_starts": tf.constant(starts),
    }
    return batch, tf.constant([row.tobytes() for row in ids]), lengths


def _mask(policy: MaskingPolicy, batch: dict, serialized: tf.Tensor, *, seed: int = 7, epoch: int = 0) -> dict:
    masking = DynamicMasking(policy, SPECIAL, ORDINARY, seed)
    epochs = tf.fill(tf.shape(serialized), tf.constant(epoch, tf.int64))
    compute = tf.function(masking.__call__)
    masked = compute(batch, serialized, epochs, tf.constant(policy.masked_lm_prob, tf.float64))
    return {name: tensor.numpy() for name, tensor in masked.items()}


@pytest.mark.parametrize("unit", UNITS)
def test_what_the_record_contract_says(unit: str) -> None:
    policy = MaskingPolicy(10, unit=unit)
    batch, serialized, lengths = _batch()
    ids = batch["input_word_ids"].numpy()

    masked = _mask(policy, batch, serialized)

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
        batch, serialized, _ = _batch(seed, word_rate=1.0)
        masked = _mask(MaskingPolicy(10, unit=unit), batch, serialized)
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
    batch = {"input_word_ids": tf.constant(ids), "word_starts": tf.ones_like(ids)}
    serialized = tf.constant([str(row) for row in range(len(ids))])
    for unit in ("token", "word"):
        masked = _mask(MaskingPolicy(3, unit=unit), batch, serialized)
        chosen = np.bincount(masked["masked_lm_positions"][masked["masked_lm_weights"] > 0], minlength=length)[1:-1]
        expected = 4000 * 3 / 20
        # Chi-square of 19 degrees of freedom: 49.6 is passed by chance once in 5,000 times.
        assert ((chosen - expected) ** 2 / expected).sum() < 49.6


def test_tokens_of_a_word_are_predicted_together() -> None:
    batch, serialized, _ = _batch()
    ids, starts = batch["input_word_ids"].numpy(), batch["word_starts"].numpy() > 0
    masked = _mask(MaskingPolicy(12, unit="word"), batch, serialized)
    selected = np.zeros(ids.shape, bool)
    rows, columns = np.nonzero(masked["masked_lm_weights"])
    selected[rows, masked["masked_lm_positions"][rows, columns]] = True

    ordinary = ids >= 5
    continues = ordinary[:, 1:] & ordinary[:, :-1] & ~starts[:, 1:]
    np.testing.assert_array_equal(selected[:, 1:][continues], selected[:, :-1][continues])


@pytest.mark.parametrize("unit", UNITS)
def test_an_example_has_its_mask_wherever_it_stands(unit: str) -> None:
    policy = MaskingPolicy(10, unit=unit)
    batch, serialized, _ = _batch()
    order = np.random.default_rng(1).permutation(BATCH)[:50]

    whole = _mask(policy, batch, serialized)
    part = _mask(policy, {name: tf.gather(value, order) for name, value in batch.items()}, tf.gather(serialized, order))

    for name, value in part.items():
        np.testing.assert_array_equal(value, whole[name][order])


def test_seed_and_epoch_draw_anew() -> None:
    policy = MaskingPolicy(10)
    batch, serialized, _ = _batch()
    first = _mask(policy, batch, serialized)["masked_lm_positions"]

    for other in ({"seed": 8}, {"epoch": 1}):
        positions = _mask(policy, batch, serialized, **other)["masked_lm_positions"]
        assert (positions != first).any(axis=1).mean() > 0.9


def test_rates_of_nought_and_one() -> None:
    batch, serialized, _ = _batch()
    ids = batch["input_word_ids"].numpy()
    stays = _mask(MaskingPolicy(10, mask_prob=0.0, random_prob=0.0), batch, serialized)
    np.testing.assert_array_equal(stays["input_word_ids"], ids)

    all_masked = _mask(MaskingPolicy(SEQ_LENGTH, masked_lm_prob=1.0, mask_prob=1.0, random_prob=0.0), batch, serialized)
    np.testing.assert_array_equal(all_masked["input_word_ids"] == SPECIAL["mask"], ids >= 5)
