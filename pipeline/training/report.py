"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.training.objectives.registry import OBJECTIVES
from pipeline.training.stages import format_stages


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
    if "stages" in results:
        lines += ["", format_stages(results["stages"]), ""]
    if validation:
        lines.append(f"model.keras holds the weights of step {results['model_step']:,}, the best on validation")
    lines.append("")
    lines.append(results["example"]["text"])
    for guesses in results["example"]["guesses"]:
        lines.append("  [MASK] = " + ", ".join(f"{token} {share:.1%}" for token, share in guesses))
    return "\n".join(lines)
