"""Our numbers are tensorflow/models' own, as `make parity-fixture` recorded them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from loading import load_script

SCRIPT = Path(__file__).parents[2] / "bench" / "parity.py"
parity = load_script(SCRIPT)


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    return dict(np.load(parity.FIXTURE))


@pytest.mark.parametrize("case", parity.CASES)
def test_numbers_are_those_of_tensorflow_models(case: str, recorded: dict[str, np.ndarray]) -> None:
    given = parity.of_case(recorded, case)
    found = parity.differences(parity.ours(given), given)
    assert set(found) == {"output", "loss", "metric", "gradient", "losses"}
    for kind, difference in found.items():
        assert difference <= parity.TOLERANCES[kind], kind


@pytest.mark.parametrize("case", parity.CASES)
def test_what_was_recorded_says_something(case: str, recorded: dict[str, np.ndarray]) -> None:
    given = parity.of_case(recorded, case)
    gradients = [value for name, value in given.items() if name.startswith("gradient/")]
    assert all(np.abs(gradient).max() > 1e-3 for gradient in gradients if gradient.size > 16)
    assert np.sqrt(sum((gradient.astype(float) ** 2).sum() for gradient in gradients)) > 1  # Clipping has its part.
    weights = [name for name in given if name.startswith("weight/")]
    assert len(weights) - len(gradients) == 2  # The encoder's own pooler takes no part in pre-training.
    assert len(given["losses"]) == 10
    assert len(set(given["losses"])) == 10
    names = {name.partition("/")[2] for name in given if name.startswith("metric/")}
    masked, sentence = {"masked_lm_accuracy", "lm_example_loss"}, {"next_sentence_accuracy", "next_sentence_loss"}
    assert names == (masked if case == "variant" else masked | sentence)


def test_differences_are_seen() -> None:
    expected = {"loss": np.array(2.0), "output/a": np.array([1.0, 30.0]), "losses": np.array([4.0]), "weight/b": 0}
    found = {"loss": np.array(2.5), "output/a": np.array([1.0, 33.0]), "losses": np.array([3.0])}
    differing = parity.differences(found, expected)
    assert differing == {"loss": 0.25, "output": pytest.approx(0.1), "losses": 0.25, "metric": 0.0, "gradient": 0.0}
    with pytest.raises(AssertionError, match="output/a"):
        parity.differences({"loss": np.array(2.5), "losses": np.array([3.0])}, expected)
