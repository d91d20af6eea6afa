"""The parts of a report that show text: examples, the vocabulary, documents, tables."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipeline.inspection.corpus import Corpus
from pipeline.inspection.inspect import show_examples
from pipeline.inspection.marked_text import LEGEND
from pipeline.inspection.report_sample import ReportSample
from pipeline.inspection.svg import Axis, bars
from pipeline.inspection.tables import count, percent
from pipeline.tokenizers.base import Tokenizer

_EXAMPLES = 3
_FREQUENT, _UNUSED = 60, 40


def examples(corpus: Corpus) -> str:
    """The first training examples as text, with their masks marked, as preformatted HTML."""
    shard = next(shard for shard in corpus.manifest.split("train") if shard.examples)
    shown = "\n\n".join(show_examples(corpus.path(shard), examples=_EXAMPLES))
    legend = f"<p>{html.escape(LEGEND)}</p>" if corpus.config.masking == "static" else ""
    return f"{legend}<pre>{html.escape(shown)}</pre>"


def vocabulary(sample: ReportSample, tokenizer: Tokenizer) -> str:
    """How the vocabulary is used: shares, the most frequent entries, and entries that never occur, as HTML."""
    counts = sample.token_counts
    tokens = int(counts.sum())
    ordinary = np.asarray(tokenizer.ordinary_ids)
    unused = ordinary[counts[ordinary] == 0]
    frequent = np.argsort(-counts, kind="stable")[:_FREQUENT]
    facts = [
        f"{tokens / max(1, sample.words):.2f} tokens per word",
        f"{count(len(unused))} of {count(len(ordinary))} ordinary entries ({percent(len(unused) / len(ordinary))})"
        " do not occur in the sample",
        f"[UNK] is {percent(counts[tokenizer.special_ids['unk']] / max(1, tokens))} of the tokens",
    ]
    parts = [f"<p>{html.escape('; '.join(facts))}.</p>", "<p>Most frequent, with their shares of the tokens:</p>"]
    parts.append(
        _words((tokenizer.show(int(entry)), percent(counts[entry] / tokens)) for entry in frequent if counts[entry])
    )
    if len(unused):
        # Spread over the vocabulary, whose order often is that of the frequency in another text.
        some = unused[np.linspace(0, len(unused) - 1, min(_UNUSED, len(unused))).astype(int)]
        parts.append("<p>Some that do not occur:</p>")
        parts.append(_words((tokenizer.show(int(entry)), "") for entry in some))
    return "".join(parts)


def _words(items: Iterable[tuple[str, str]]) -> str:
    words = (f"<code>{html.escape(word)}</code> {note}".rstrip() for word, note in items)
    return f"<div>{' &nbsp; '.join(words)}</div>"


def document_lengths(lengths: Mapping[str, int]) -> str:
    """A histogram of the documents' characters.

    Args:
        lengths: documents by the number of binary digits of their characters: "5" has those of 16 to 31.
    """
    documents = sum(lengths.values())
    if not documents:
        return ""
    digits = sorted(map(int, lengths))
    heights = [(float(n), float(n + 1), lengths[str(n)] / documents) for n in digits]
    x = Axis("characters", digits[0], digits[-1] + 1, text=lambda value: count(2 ** (value - 1)))
    return bars(heights, x, Axis("share of documents", 0, max(height for *_, height in heights), text=percent))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as HTML: `header` has the names of the columns, and each of `rows` has as many cells."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{row(header, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"
