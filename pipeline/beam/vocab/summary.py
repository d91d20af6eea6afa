"""What the vocabulary job says of the text that it read, and of how well a vocabulary covers held-out text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.tokenizers.learning.coverage import CoverageReport

_SHOWN_CHARACTERS = 20  # Maximum number of characters listed that a vocabulary cannot spell.


@dataclass(frozen=True)
class TextCounts:
    """Counts of a text.

    Attributes:
        documents: number of documents.
        words: number of words.
        word_counts: how often each word occurs; without the rarest, if there are more than `max_words`.
    """

    documents: int
    words: int
    word_counts: Mapping[str, int]

    def describe(self) -> dict[str, int]:
        """Returns the counts for the vocabulary's .json."""
        return {
            "documents": self.documents,
            "words": self.words,
            "distinct_words": len(self.word_counts),
            "words_dropped_by_max_words": self.words - sum(self.word_counts.values()),
        }

    def summary(self) -> str:
        """Returns the counts for printing."""
        dropped = self.describe()["words_dropped_by_max_words"]
        return (
            f"{self.words:,} words ({len(self.word_counts):,} distinct"
            f"{f'; {dropped:,} rare ones dropped by --max-words' * bool(dropped)}) of {self.documents:,} documents"
        )


def measures(report: CoverageReport) -> dict[str, Any]:
    """Returns a report for the vocabulary's .json."""
    return {
        "tokens_per_word": round(report.tokens_per_word, 4),
        "unknown_share": round(report.unknown_share, 8),
        "lost_characters_share": round(report.lost_share, 8),
        "lost_characters": dict(list(report.unknown_characters.items())[:_SHOWN_CHARACTERS]),
    }


def readable(held_out: TextCounts, report: CoverageReport | None, before: CoverageReport | None = None) -> str:
    """Formats the coverage of held-out text for printing.

    Args:
        held_out: the text.
        report: how the vocabulary covers it; None if there is none.
        before: how the vocabulary that was extended covers it; None if none was.
    """
    if report is None:
        return "No text was held out to evaluate the vocabulary; --held-out-fraction sets how much is held out."
    rows = [
        ("tokens per word", f"{report.tokens_per_word:.4f}", f"{before.tokens_per_word:.4f}" if before else ""),
        ("[UNK] tokens", f"{report.unknown_share:.4%}", f"{before.unknown_share:.4%}" if before else ""),
        ("characters lost", f"{report.lost_share:.4%}", f"{before.lost_share:.4%}" if before else ""),
    ]
    lost = "  ".join(
        f"{char!r} {count:,}" for char, count in list(report.unknown_characters.items())[:_SHOWN_CHARACTERS]
    )
    lines = [f"On held-out text, {held_out.summary()}:"]
    if before is None:
        lines += [f"  {name:<16} {value}" for name, value, _ in rows]
    else:
        saved = f"  ({report.tokens / before.tokens - 1:+.1%} tokens)"
        lines.append(f"  {'':<16} {'before':>9} {'after':>9}")
        lines += [f"  {name:<16} {old:>9} {new:>9}{saved * (not at)}" for at, (name, new, old) in enumerate(rows)]
    lines[-1] += f"{': ' * bool(lost)}{lost}"
    return "\n".join(lines)
