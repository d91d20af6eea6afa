"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.training.objectives.registry import OBJECTIVES
from pipeline.training.stages import format_stages

# By corpus: masked-LM `loss`, `accuracy`, `pseudo_perplexity`.
Measures = dict[str, dict[str, float | None]]


def format_results(results: Mapping[str, Any]) -> str:
    """A run's results as a table in plain text.

    Args:
        results: what `results.json` holds.
    """
    train, validation = results["train"] or {}, results["validation"] or {}
    rows = [("", "training", "validation")]
    named = [("loss", "loss")]
    for objective in OBJECTIVES:
        named.append((f"{objective.title} loss", objective.loss_name))
        named.append((f"{objective.title} accuracy", objective.accuracy_name))
    for title, name in named:
        left, right = (f"{part[name]:.4f}" if name in part else "-" for part in (train, validation))
        if name in train or name in validation:
            rows.append((title, left, right))
    baseline = results["unigram_cross_entropy"]
    if baseline is not None:
        rows.append(("predicting token frequencies", "", f"{baseline:.4f}"))
    given, held_out = train.get("sources", {}), validation.get("sources", {})
    for name in dict.fromkeys([*given, *held_out]):
        left = f"{given[name]['token_share']:.1%}" if name in given else ""
        right = f"{held_out[name]['loss']:.4f}" if name in held_out else "-"
        rows.append((f"{name}: share of tokens, loss", left, right))
    width = max(len(row[0]) for row in rows)
    lines = [f"{title:<{width}}  {left:>10}  {right:>10}" for title, left, right in rows]
    lines.append("")
    lines.append(
        f"{results['steps']:,} steps, {results['tokens']:,} tokens,"
        f" {results['tokens_per_second']:,.0f} tokens/s, {results['parameters']:,} parameters"
    )
    lines += [f"{name}: {of['examples']:,} examples, {of['epochs']:.2f} epochs" for name, of in given.items()]
    if early := results.get("stopped_early"):
        lines.append(
            f"stopped early, after {early['evaluations']:,} evaluations without a lower masked-LM loss; "
            f"{early['planned_steps']:,} steps were planned"
        )
    if "before" in results and "after" in results:
        lines += ["", format_before_after(results["before"], results["after"]), ""]
    if "stages" in results:
        lines += ["", format_stages(results["stages"]), ""]
    if validation:
        lines.append(f"model.keras holds the weights of step {results['model_step']:,}, the best on validation")
    lines.append("")
    lines.append(results["example"]["text"])
    for guesses in results["example"]["guesses"]:
        lines.append("  [MASK] = " + ", ".join(f"{token} {share:.1%}" for token, share in guesses))
    return "\n".join(lines)


def format_before_after(before: Measures, after: Measures) -> str:
    """A table of both, a group of rows for each corpus."""
    rows = [("", "before", "after")]
    for name in after:
        held = measured_cells(before.get(name, {}))
        rows.append((name, "", ""))
        for (title, was), (_, value) in zip(held, measured_cells(after[name]), strict=True):
            if (was, value) != ("-", "-"):
                rows.append((f"  {title}", was, value))
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{title:<{width}}  {was:>10}  {value:>10}".rstrip() for title, was, value in rows)


def measured_cells(of: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """What `pretrain` tells of one corpus before and after: titles and formatted numbers, "-" where there is none."""
    forms = [
        ("masked-LM loss", "loss", ".4f"),
        ("accuracy", "accuracy", ".1%"),
        ("pseudo-perplexity", "pseudo_perplexity", ".2f"),
    ]
    return [(title, "-" if (value := of.get(name)) is None else format(value, form)) for title, name, form in forms]
