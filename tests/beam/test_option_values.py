"""Every number among the options of the Beam jobs has bounds; a value beyond them is refused by the option's name."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.vocab.config import VocabConfig
from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError

NEEDED = {"input": ["text.txt"], "output": "out", "vocab": "vocab.txt"}


def _make(kind: Any, **values: Any) -> Any:
    needed = {name: value for name, value in NEEDED.items() if name in {f.name for f in dataclasses.fields(kind)}}
    return from_dict(kind, {**needed, **values})


def _numbers() -> Iterator[Any]:
    for kind in (CorpusConfig, VocabConfig):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            types = {hints[field.name], *typing.get_args(hints[field.name])}
            if types & {int, float} and tuple not in {typing.get_origin(t) for t in types}:
                yield pytest.param(kind, field, types, id=f"{kind.__name__}.{field.name}")


@pytest.mark.parametrize(("kind", "field", "types"), _numbers())
def test_every_number_has_bounds(kind: Any, field: Any, types: Any) -> None:
    low, high = field.metadata["minimum"], field.metadata["maximum"]
    assert None not in (low, high)
    assert low < high < math.inf
    beyond: list[Any] = [low - 1, high * 2 + 1, 10**400]
    for value in beyond + [math.nan, math.inf, -math.inf] * (float in types):
        with pytest.raises(ConfigError, match=rf"^{field.name} must be"):
            _make(kind, **{field.name: value})
    for value in ("many", [1], True):
        with pytest.raises(ConfigError, match=rf"^{field.name} must be of type"):
            _make(kind, **{field.name: value})


@pytest.mark.parametrize("kind", [CorpusConfig, VocabConfig])
def test_a_single_string_is_no_list_of_inputs(kind: Any) -> None:
    """Its characters would be: "/" among them names the whole disk."""
    with pytest.raises(ConfigError, match="input must be a list"):
        _make(kind, input="/some/folder")
    with pytest.raises(ConfigError, match="input must be a list"):
        kind(
            **{name: value for name, value in NEEDED.items() if name != "vocab" or kind is CorpusConfig}
            | {"input": "folder"}
        )


@pytest.mark.parametrize(
    ("options", "room"),
    [
        ({}, 20),
        ({"max_seq_length": 32}, 5),
        ({"max_seq_length": 512}, 77),
        ({"max_seq_length": 512, "masked_lm_prob": 0.3}, 154),
        ({"max_seq_length": 100, "masked_lm_prob": 0.07}, 7),
        ({"max_seq_length": 8, "masked_lm_prob": 0.01}, 1),
        ({"max_seq_length": 64, "masked_lm_prob": 1.0}, 64),
        ({"max_seq_length": 512, "max_predictions_per_seq": 20}, 20),
    ],
)
def test_the_room_for_predictions_follows_from_length_and_share(options: dict[str, Any], room: int) -> None:
    config = _make(CorpusConfig, **options)
    assert config.prediction_room() == room
    assert config.specs()[-1].max_predictions_per_seq == room
    assert config.masking_policy().max_predictions_per_seq == room


def test_the_longest_ngrams_are_drawn() -> None:
    high = next(f for f in dataclasses.fields(CorpusConfig) if f.name == "max_ngram_size").metadata["maximum"]
    lengths = _make(CorpusConfig, masking_unit="ngram", max_ngram_size=high).masking_policy().unit_lengths()
    assert len(lengths) == high
    assert lengths.sum() == pytest.approx(1)
