"""Formats the result of a validation as text."""

from __future__ import annotations

from pipeline.inspection.tables import count, size
from pipeline.inspection.validation.problems import CHECKS
from pipeline.inspection.validation.validate import Validation

_SHOWN = 8  # Problems per check.


def render_validation(result: Validation) -> str:
    """Formats a line for each check, followed by its problems."""
    lines = [f"{count(result.shards)} shards, {count(result.examples)} examples, {size(result.bytes)} read"]
    width = max(map(len, CHECKS))
    for check, description in CHECKS.items():
        problems = [problem for problem in result.problems if problem.check == check]
        note = f" ({result.notes[check]})" if check in result.notes else ""
        if check in result.skipped and not problems:
            lines.append(f"{'skipped':<7} {check:<{width}}  {result.skipped[check]}")
            continue
        lines.append(f"{'FAILED' if problems else 'ok':<7} {check:<{width}}  {description}{note}")
        lines += [f"        {problem}" for problem in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"        and {count(len(problems) - _SHOWN)} more")
    if result.problems:
        lines.append(f"{count(len(result.problems))} problem{'s' * (len(result.problems) != 1)}")
    return "\n".join(lines)
