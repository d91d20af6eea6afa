from __future__ import annotations

from typing import Any

from pipeline.training.report import format_results

RESULTS: dict[str, Any] = {
    "train": {"loss": 4.5, "lm_example_loss": 4.0, "masked_lm_accuracy": 0.25},
    "validation": {"loss": 5.5, "lm_example_loss": 5.0, "masked_lm_accuracy": 0.125},
    "unigram_cross_entropy": 6.25,
    "steps": 1000,
    "model_step": 900,
    "tokens": 1234567,
    "tokens_per_second": 9876.5,
    "parameters": 4321,
    "example": {"text": "A [MASK].", "guesses": [[["b", 0.5], ["c", 0.125]]]},
}


def test_table() -> None:
    assert format_results(RESULTS).splitlines() == [
        "                                training  validation",
        "loss                              4.5000      5.5000",
        "masked-LM loss                    4.0000      5.0000",
        "masked-LM accuracy                0.2500      0.1250",
        "predicting token frequencies                  6.2500",
        "",
        "1,000 steps, 1,234,567 tokens, 9,876 tokens/s, 4,321 parameters",
        "model.keras holds the weights of step 900, the best on validation",
        "",
        "A [MASK].",
        "  [MASK] = b 50.0%, c 12.5%",
    ]


def test_table_without_validation() -> None:
    shown = format_results({**RESULTS, "validation": None, "unigram_cross_entropy": None})
    assert "loss                    4.5000           -" in shown
    assert "frequencies" not in shown
    assert "best on validation" not in shown
