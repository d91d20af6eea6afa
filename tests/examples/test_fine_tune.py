"""The example's own steps; tests/test_end_to_end.py runs it whole, on a model that was pre-trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import load_script

from pipeline.tokenizers import WordPieceTokenizer

SCRIPT = Path(__file__).parents[2] / "examples" / "fine_tune.py"


@pytest.fixture(scope="module")
def fine_tune() -> Any:
    """The script, as a module."""
    return load_script(SCRIPT)


@pytest.fixture(scope="module")
def tokenizer(vocabulary: bytes) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocabulary)


def test_texts_are_cut_and_padded(fine_tune: Any, tokenizer: WordPieceTokenizer) -> None:
    inputs = fine_tune.encode(tokenizer, ["the river", "a " * 9, ""], 6)
    special = tokenizer.special_ids
    the, river, a = (tokenizer.tokens.index(word) for word in ("the", "river", "a"))
    cls, sep, pad = special["cls"], special["sep"], special["pad"]
    assert inputs["input_word_ids"].tolist() == [
        [cls, the, river, sep, pad, pad],
        [cls, a, a, a, a, sep],
        [cls, sep, pad, pad, pad, pad],
    ]
    assert inputs["input_mask"].sum(1).tolist() == [4, 6, 2]
    assert not inputs["input_type_ids"].any()


def test_words_change_places_and_none_is_lost(fine_tune: Any) -> None:
    passage = "one two three four five six seven eight nine ten eleven twelve thirteen"
    for seed in range(50):
        disturbed = fine_tune.disturb(passage, np.random.default_rng(seed)).split()
        assert disturbed != passage.split()
        assert sorted(disturbed) == sorted(passage.split())
        assert disturbed[-1] == "thirteen"
    assert fine_tune.disturb("two words", np.random.default_rng(0)) == "words two"


def test_passages_of_training_and_test_are_of_other_modules(fine_tune: Any, tokenizer: WordPieceTokenizer) -> None:
    packages = ["packaging", "tensorflow-text"]
    train, test = fine_tune.collect(tokenizer, packages, 40, 20, 32)
    for examples, count in ((train, 40), (test, 20)):
        assert examples.labels.tolist() == [0] * count + [1] * count  # In order, and disturbed.
        assert {values.shape for values in examples.inputs.values()} == {(2 * count, 32)}
        assert len(np.unique(examples.inputs["input_word_ids"], axis=0)) > 1.9 * count
    rows = [{tuple(row) for row in part.inputs["input_word_ids"].tolist()} for part in (train, test)]
    assert len(rows[0] & rows[1]) < 5  # Other modules may say the same.
    again, _ = fine_tune.collect(tokenizer, packages, 40, 20, 32)
    np.testing.assert_array_equal(again.inputs["input_word_ids"], train.inputs["input_word_ids"])
    few = fine_tune.first_of_each_class(train, 3)
    assert few.labels.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_array_equal(few.inputs["input_word_ids"][3], train.inputs["input_word_ids"][40])
    with pytest.raises(SystemExit, match=r"packaging has .* passages for test, not 100000"):
        fine_tune.collect(tokenizer, packages, 40, 100_000, 32)
