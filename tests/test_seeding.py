from __future__ import annotations

import numpy as np
import pytest

from pipeline.seeding import LARGEST_SEED, generator


def draws(*arguments: object) -> list[int]:
    return generator(*arguments).integers(0, 1 << 62, 4).tolist()  # type: ignore[arg-type]


def test_same_place_draws_the_same() -> None:
    assert draws(7, "mask", 3, 1) == draws(7, "mask", 3, 1)
    assert draws(7, "mask", 3, 1) == draws(np.int64(7), "mask", np.int32(3), np.uint8(1))


def test_no_two_places_share_a_stream() -> None:
    places = [(s, p, *w) for s in (0, 1, -1, 12, 1 << 70) for p in ("mask", "pairs") for w in ((), (0,), (1,), (0, 0))]
    # Digits must not run into one another.
    places += [(1, "mask", 23), (1, "mask", 2, 3), (12, "mask", 3), (1, "mask2", 3)]
    streams = {tuple(draws(*place)) for place in places}
    assert len(streams) == len(set(places))


def test_generator_is_philox_and_leaves_the_global_state_alone() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert isinstance(generator(1, "x").bit_generator, np.random.Philox)
    draws(1, "x")
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_streams_never_change() -> None:
    """A change here changes every corpus that was ever made; it needs a new format version."""
    assert generator(12345, "mask", 0, 1).integers(0, 1000, 8).tolist() == [899, 246, 380, 335, 693, 570, 653, 966]


def test_place_must_be_integers() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        generator(1, "mask", "first")  # type: ignore[arg-type]


def test_the_largest_seed_is_a_signed_number_of_64_bits() -> None:
    assert np.iinfo(np.int64).max == LARGEST_SEED
