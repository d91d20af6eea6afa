"""Compares corpora: the table with which the report of several corpora begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.inspection import report_text
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.report_sample import ReportSample
from pipeline.inspection.stats import summarize_manifest
from pipeline.inspection.tables import count, percent, size
from pipeline.tokenizers.base import Tokenizer

_UNKNOWN = "-"  # Manifests of earlier versions lack some counts.


def compare(names: Sequence[str], corpora: Sequence[tuple[Corpus, Tokenizer, ReportSample]]) -> tuple[str, str]:
    """Compares corpora by what they contain.

    Args:
        names: the name of each corpus: the headers of the columns.
        corpora: each corpus with its tokenizer and a sample of its training examples.

    Returns:
        A note on where the numbers come from, and the table, both as HTML.
    """
    columns = [_column(*one) for one in corpora]
    rows = [(label, *(column[label] for column in columns)) for label in columns[0]]
    note = (
        "From the manifests. Tokens per word and the vocabulary used are from samples of training examples;"
        " a larger sample uses more of the vocabulary. Lengths of documents are interpolated between powers of two."
    )
    if len({corpus.manifest.tokenizer.sha256 for corpus, *_ in corpora}) > 1:
        note += " The vocabularies differ, so numbers of tokens cannot be compared."
    return note, f"<div class=numbers>{report_text.table(('', *names), rows)}</div>"


def _column(corpus: Corpus, tokenizer: Tokenizer, sample: ReportSample) -> dict[str, str]:
    manifest = corpus.manifest
    summary = summarize_manifest(manifest)
    documents, splits = summary["documents"], summary["splits"].values()
    totals = {
        name: sum(statistics.get(name, 0) for statistics in splits)
        for name in ("text_tokens", "tokens", "examples", "unknown_tokens", "tokens_truncated", "padding")
    }
    ordinary = sample.token_counts[list(tokenizer.ordinary_ids)]
    lengths = documents["lengths"]
    return {
        "input": size(summary["inputs"]["bytes"]),
        "documents": count(documents.get("documents", 0)),
        "documents dropped": count(sum(documents["dropped"].values())),
        "characters in a document, median": _about(lengths, 0.5),
        "characters in a document, 95th percentile": _about(lengths, 0.95),
        "characters replaced by U+FFFD": _share(documents.get("characters_replaced", 0), documents.get("characters")),
        "vocabulary": f"{manifest.tokenizer.kind}, {count(manifest.tokenizer.vocab_size)}",
        "tokens of the text": count(totals["text_tokens"]) if totals["text_tokens"] else _UNKNOWN,
        "tokens per word": f"{sample.token_counts.sum() / max(1, sample.words):.2f}",
        "[UNK], of tokens": _share(totals["unknown_tokens"], totals["tokens"]),
        "vocabulary used in the sample": percent((ordinary > 0).mean()),
        "tokens in the sample": count(sample.token_counts.sum()),
        "examples": count(totals["examples"]),
        "tokens in examples": count(totals["tokens"]),
        "tokens cut off to fit": _share(totals["tokens_truncated"], totals["tokens"] + totals["tokens_truncated"]),
        "padding, of all positions": _share(totals["padding"], totals["tokens"] + totals["padding"]),
    }


def _share(part: float, whole: float | None) -> str:
    return percent(part / whole) if whole else _UNKNOWN


def _about(lengths: Mapping[str, int], share: float) -> str:
    return f"about {count(float(f'{document_length(lengths, share):.2g}'))}" if lengths else _UNKNOWN


def document_length(lengths: Mapping[str, int], share: float) -> float:
    """Estimates a quantile of the lengths of documents, in characters.

    Within a range of lengths, documents are taken to be spread evenly on a logarithmic scale, so that the estimate is
    off by less than a factor of two.

    Args:
        lengths: documents by the number of binary digits of their characters: "5" has those of 16 to 31.
        share: the share of documents that are at most as long, above 0 and at most 1.
    """
    wanted = share * sum(lengths.values())
    for digits in sorted(map(int, lengths)):
        documents = lengths[str(digits)]
        if wanted <= documents:
            break
        wanted -= documents
    return float(2 ** (digits - 1 + wanted / documents))
