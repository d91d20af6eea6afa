"""An evaluation as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.training.objectives.registry import MASKED_LM, OBJECTIVES


def format_evaluation(results: Mapping[str, Any]) -> str:
    """An evaluation as plain text.

    Args:
        results: `corpus`, of `evaluate_corpus`, or `corpora`, of `evaluate_corpora`; `text`, of `evaluate_text`; each
            may be left out.
    """
    lines = []
    named = {"": results["corpus"]} if "corpus" in results else results.get("corpora", {})
    for name, corpus in named.items():
        if name:
            lines += ["", name, "-" * len(name)]
        lines.append(f"{corpus['examples']:,} validation examples, loss {corpus['loss']:.4f}")
        lines.append("")
        lines.append(_row("masked-LM predictions", "number", "loss", "perplexity", "accuracy", "in best 5"))
        for kind, values in corpus["masked_lm"].items():
            title = {"all": "all", "masked": "[MASK]", "random": "a random token", "kept": "the token itself"}[kind]
            lines.append(
                _row(
                    f"  {title}",
                    f"{values['predictions']:,}",
                    _number(values["loss"], ".4f"),
                    _number(values["perplexity"], ".2f"),
                    *(_number(values[name], ".1%") for name in ("accuracy", "accuracy_at_5")),
                )
            )
        for objective in OBJECTIVES:
            head = corpus.get(objective.name) if objective is not MASKED_LM else None
            if head is not None:
                lines.append(_row(objective.title, "", f"{head['loss']:.4f}", "", f"{head['accuracy']:.1%}", ""))
        if corpus["pseudo_perplexity"] is not None:
            lines += ["", _pseudo_perplexity(corpus["pseudo_perplexity"], "the first examples")]
    if "text" in results:
        lines += ["", _pseudo_perplexity(results["text"], "the text")]
    return "\n".join(lines).strip("\n")


def _pseudo_perplexity(values: Mapping[str, Any], what: str) -> str:
    return (
        f"pseudo-perplexity of {what}, each token masked in turn: {values['value']:.2f}"
        f" ({values['tokens']:,} tokens, {values['texts']:,} sequences)"
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _row(title: str, *cells: str) -> str:
    return (f"{title:<22}" + "".join(f"{cell:>12}" for cell in cells)).rstrip()
