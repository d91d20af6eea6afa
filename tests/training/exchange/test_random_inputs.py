from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.training.exchange.random_inputs import random_inputs

NAMES = ("input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions")


def model(names: tuple[str, ...] = NAMES, **encoder: Any) -> Any:
    encoder = {"vocab_size": 7, "type_vocab_size": 2, "max_sequence_length": 40, "position_embedding": 1, **encoder}
    return SimpleNamespace(inputs=names, encoder_network=SimpleNamespace(**encoder))


def test_the_longest_and_shorter_sequences_with_positions_inside() -> None:
    inputs = random_inputs(model())
    assert {name: value.dtype for name, value in inputs.items()} == dict.fromkeys(NAMES, np.dtype(np.int32))
    lengths = inputs["input_mask"].sum(axis=1)
    assert lengths[0] == 40
    assert len(set(lengths)) == 3
    assert (inputs["masked_lm_positions"] < lengths[:, None]).all()
    assert set(inputs["input_word_ids"].flat) == set(range(7))
    assert set(inputs["input_type_ids"].flat) == {0, 1}
    np.testing.assert_array_equal(inputs["input_word_ids"], random_inputs(model())["input_word_ids"])


@pytest.mark.parametrize("token", [0, 3, 6])
def test_a_token_that_is_left_out(token: int) -> None:
    assert set(random_inputs(model(), without=token)["input_word_ids"].flat) == set(range(7)) - {token}


def test_only_the_inputs_of_the_model() -> None:
    assert list(random_inputs(model(NAMES[:2], type_vocab_size=None))) == list(NAMES[:2])


@pytest.mark.parametrize(
    ("encoder", "longest"),
    [
        ({"max_sequence_length": 600}, 600),  # Every position has weights to look at.
        ({"max_sequence_length": None}, 512),
        ({"max_sequence_length": 8192, "position_embedding": None}, 512),
        ({"max_sequence_length": 30, "position_embedding": None}, 30),
    ],
)
def test_the_length(encoder: dict[str, Any], longest: int) -> None:
    assert random_inputs(model(**encoder))["input_mask"].shape == (3, longest)
