"""What continued training did to a model: the same evaluation before the first step and at the end, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.tokenizers import Tokenizer
from pipeline.training.configs import ExperimentConfig
from pipeline.training.evaluation.evaluate import evaluate_corpora
from pipeline.training.exchange.trained_model import TrainedModel
from pipeline.training.report import Measures, measured_cells

_BATCH = 64


def measure_model(
    model: Any, config: ExperimentConfig, tokenizer: Tokenizer, corpora: Sequence[str], *, batch_size: int = _BATCH
) -> Measures:
    """Measures a model on the validation examples of each corpus.

    Args:
        model: a `BertPretrainerV2`.
        config: the experiment, resolved; `trainer.pseudo_tokens` of it.
        tokenizer: the corpora's.
        corpora: their directories.
        batch_size: largest number of examples of a batch.

    Returns:
        By the corpora's names, and of several of all together: masked-LM `loss`, `accuracy`, and `pseudo_perplexity`,
        which is None where none was measured.

    Raises:
        CorpusError: if a record cannot be read.
    """
    trained = TrainedModel(model, config.task.model, tokenizer, b"", evaluated_on=config.task.validation_data)
    found = evaluate_corpora(
        trained,
        list(corpora),
        batch_size=min(batch_size, _BATCH),
        pseudo_tokens=config.trainer.pseudo_tokens,
        show_progress=False,
    )
    return {
        name: {
            "loss": of["masked_lm"]["all"]["loss"],
            "accuracy": of["masked_lm"]["all"]["accuracy"],
            "pseudo_perplexity": of["pseudo_perplexity"]["value"] if of["pseudo_perplexity"] else None,
        }
        for name, of in found.items()
    }


def describe_measures(measures: Measures) -> str:
    """Measures in a line, for printing before the first step."""
    return "; ".join(
        f"{name}: " + ", ".join(f"{title} {text}" for title, text in measured_cells(of) if text != "-")
        for name, of in measures.items()
    )
