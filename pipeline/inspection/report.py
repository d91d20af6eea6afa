"""Makes the report of a corpus, or of several side by side: one self-contained HTML page."""

from __future__ import annotations

import html

import numpy as np

from pipeline import files
from pipeline.beam.corpus.parts import SPLITS
from pipeline.inspection import report_text
from pipeline.inspection.corpus import Corpus, open_corpus
from pipeline.inspection.report_comparison import compare
from pipeline.inspection.report_sample import ReportSample, read_sample
from pipeline.inspection.stats import dropped_samples, summarize_manifest
from pipeline.inspection.svg import Axis, bars, named_bars, series
from pipeline.inspection.tables import count, percent, size
from pipeline.tokenizers import load_tokenizer
from pipeline.tokenizers.base import Tokenizer

_GENERATOR = '<meta name="generator" content="mlm-pipeline">'
_MOST_SHARDS_LISTED = 200
_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --faint: #59636e; --grid: #d1d9e0; --back: #fff; --card: #f6f8fa;
  --mark: #2a6fbb; --expected: #c2410c; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --faint: #9198a1; --grid: #3d444d; --back: #0d1117;
  --card: #151b23; --mark: #58a6ff; --expected: #ffa657; } }
body { margin: 0 auto; max-width: 1120px; padding: 24px; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 16px; margin: 0 0 4px; }
p { margin: 4px 0 12px; color: var(--faint); }
.facts { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }
.facts div { background: var(--card); border-radius: 8px; padding: 10px 16px; }
.facts b { display: block; font-size: 20px; } .facts span { color: var(--faint); font-size: 13px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; }
section { background: var(--card); border-radius: 8px; padding: 16px; margin-bottom: 16px; }
.charts section { margin: 0; } .wide { margin-top: 16px; overflow-x: auto; }
svg { width: 100%; height: auto; display: block; font: 12px system-ui, sans-serif; }
svg text { fill: var(--faint); } .name { text-anchor: end; } .tick { text-anchor: middle; }
.mark { fill: var(--mark); } .grid { stroke: var(--grid); }
.expected { stroke: var(--expected); stroke-width: 2; fill: none; }
pre { white-space: pre-wrap; font-size: 13px; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
td, th { padding: 3px 10px 3px 0; border-bottom: 1px solid var(--grid); text-align: right; font-weight: normal; }
td:first-child, th:first-child { text-align: left; } th { color: var(--faint); } td { overflow-wrap: anywhere; }
.numbers td { overflow-wrap: normal; } .numbers td + td { white-space: nowrap; }
details { border-top: 1px solid var(--grid); padding: 12px 0; } details > h1 { margin-top: 12px; }
summary { cursor: pointer; font-size: 16px; overflow-wrap: anywhere; }
.key i { display: inline-block; width: 14px; height: 3px; background: var(--expected); vertical-align: middle; }
"""


def is_report(path: str) -> bool:
    """Whether a file is a report, which another report may replace."""
    with files.open_read(path) as stream:
        return _GENERATOR.encode() in stream.read(1000)


def make_report(directory: str, *others: str, sample_examples: int = 20_000) -> str:
    """Makes the page.

    The page of several corpora begins with a table that has a column for each; the report of each one follows, folded.

    Args:
        directory: the directory of the corpus.
        others: the directories of more corpora.
        sample_examples: approximate number of training examples to read of each corpus for what its manifest does not
            hold.

    Raises:
        UserError: if a corpus is unfinished, or a shard is missing or damaged.
    """
    directories = (directory, *others)
    compared, bodies = [], []
    for corpus in map(open_corpus, directories):
        tokenizer = load_tokenizer(corpus.manifest.tokenizer, corpus.directory)
        sample = read_sample(corpus, tokenizer, sample_examples)
        compared.append((corpus, tokenizer, sample))
        bodies.append(_body(corpus, tokenizer, sample))
    title, body = f"Corpus {directory}", bodies[0]
    if others:
        title = f"{len(directories)} corpora side by side"
        names = files.short_names(directories)
        body = f"<h1>{title}</h1>" + _section("Comparison", *compare(names, compared), wide=True)
        for name, one in zip(names, bodies, strict=True):
            body += f"<details><summary>{html.escape(name)}</summary>{one}</details>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{_GENERATOR}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _body(corpus: Corpus, tokenizer: Tokenizer, sample: ReportSample) -> str:
    return "".join(
        [
            _head(corpus),
            _notes(corpus),
            '<div class="charts">',
            _lengths(corpus, sample),
            _padding(corpus),
            _zipf(sample),
            *([_positions(corpus, sample), _replacements(corpus)] if corpus.config.masking == "static" else []),
            _document_lengths(corpus),
            _documents(corpus),
            "</div>",
            _section("Examples", "The first of the training shards.", report_text.examples(corpus), wide=True),
            _section("Vocabulary", _sampled(sample), report_text.vocabulary(sample, tokenizer), wide=True),
            _options(corpus),
            _shards(corpus),
        ]
    )


def _section(title: str, note: str, content: str, *, wide: bool = False) -> str:
    return f"<section{' class=wide' * wide}><h2>{html.escape(title)}</h2><p>{note}</p>{content}</section>"


def _sampled(sample: ReportSample) -> str:
    return (
        f"From {count(sample.examples)} training examples of {count(sample.shards)} shard{'s' * (sample.shards != 1)}."
    )


def _head(corpus: Corpus) -> str:
    summary = summarize_manifest(corpus.manifest)
    splits = summary["splits"]
    what = "rows" if corpus.manifest.spec.packed else "examples"
    facts = [
        (count(summary["documents"]["read"]), "documents read"),
        *((count(splits[split].get("examples", 0)), f"{split} {what}") for split in splits),
        (count(sum(shard.tokens for shard in corpus.manifest.shards)), "tokens in examples"),
        (percent(splits["train"].get("unknown_share", 0)), "[UNK], of tokens"),
        (size(sum(shard.bytes for shard in corpus.manifest.shards)), f"in {count(len(corpus.manifest.shards))} shards"),
    ]
    text, train = corpus.manifest.statistics.get("text", {}), splits["train"]
    if tokens := sum(statistics.get("text_tokens", 0) for statistics in splits.values()):
        facts.append((f"{text.get('characters', 0) / tokens:.2f}", "characters per token"))
    if replaced := text.get("characters_replaced", 0):
        facts.append((count(replaced), "characters replaced by U+FFFD"))
    if truncated := train.get("tokens_truncated", 0):
        facts.append((percent(truncated / (train["tokens"] + truncated)), "tokens cut off to fit, of train"))
    if corpus.manifest.spec.next_sentence:
        facts.append((percent(splits["train"]["label_1_share"]), "pairs with label 1"))
    if corpus.manifest.spec.packed:
        facts.append((f"{splits['train'].get('sequences_per_row', 0):.2f}", "sequences in a row"))
    config = corpus.config
    cells = "".join(f"<div><b>{value}</b><span>{html.escape(name)}</span></div>" for value, name in facts)
    made = f"{config.pairing}, {config.masking} masking ({config.masking_unit}), up to {config.max_seq_length} tokens"
    return f'<h1>{html.escape(corpus.directory)}</h1><p>{html.escape(made)}</p><div class="facts">{cells}</div>'


def _notes(corpus: Corpus) -> str:
    if not corpus.manifest.worth_a_look:
        return ""
    items = "".join(f"<li>{html.escape(note)}</li>" for note in corpus.manifest.worth_a_look)
    return f"<section><h2>Worth a look</h2><ul>{items}</ul></section>"


def _lengths(corpus: Corpus, sample: ReportSample) -> str:
    most, sequences = len(sample.lengths) - 1, max(1, int(sample.lengths.sum()))
    width = max(1, -(-most // 32))
    heights = [
        (low - 1, min(low - 1 + width, most), float(sample.lengths[low : low + width].sum() / sequences))
        for low in range(1, most + 1, width)
    ]
    what = "sequences" if corpus.manifest.spec.packed else "examples"
    y = Axis(f"share of {what}", 0, max(height for *_, height in heights) or 1, text=percent)
    x = Axis("tokens, including special tokens", 0, most, text=count)
    return _section(f"Length of {what}", _sampled(sample), bars(heights, x, y))


def _padding(corpus: Corpus) -> str:
    shapes = summarize_manifest(corpus.manifest)["shapes"]
    values = [
        (f"{shape['split']}, {shape['max_seq_length']} tokens", shape["padding_share"], None)
        for shape in shapes
        if shape["examples"]
    ]
    for split, statistics in corpus.manifest.statistics.items():
        if "padding_unpacked_share" in statistics:
            values.append((f"{split}, not packed", statistics["padding_unpacked_share"], None))
    return _section("Padding", "Share of all positions, from the manifest.", named_bars(values, percent))


def _zipf(sample: ReportSample) -> str:
    counts = np.sort(sample.token_counts[sample.token_counts > 0])[::-1]
    if len(counts) < 2:
        return ""
    ranks = np.unique(np.geomspace(1, len(counts), 160).round().astype(np.int64))
    points = [(float(rank), float(counts[rank - 1])) for rank in ranks]
    largest = counts.sum() / (1 / np.arange(1, len(counts) + 1)).sum()
    line = [(1.0, float(largest)), (float(len(counts)), float(largest / len(counts)))]
    low = 10.0 ** np.floor(np.log10(min(line[1][1], 1)))
    x = Axis("rank of the token", 1, len(counts), logarithmic=True, text=_short)
    y = Axis("occurrences in the text", low, float(max(counts[0], largest)), logarithmic=True, text=_short)
    note = f'{_sampled(sample)} <span class="key"><i></i> Zipf: frequency proportional to 1 / rank</span>'
    return _section("Frequency of tokens", note, series(points, line, x, y))


def _short(value: float) -> str:
    return next((f"{value / n:g} {u}" for n, u in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= n), f"{value:g}")


def _positions(corpus: Corpus, sample: ReportSample) -> str:
    width = max(1, -(-len(sample.tokens_at) // 32))
    edges = np.arange(0, len(sample.tokens_at), width)
    predicted, tokens = (np.add.reduceat(values, edges) for values in (sample.predicted_at, sample.tokens_at))
    heights = [
        (float(edge), float(edge + width), float(part / whole) if whole else 0.0)
        for edge, part, whole in zip(edges, predicted, tokens, strict=True)
    ]
    y = Axis("share of tokens", 0, 1.1 * max(height for *_, height in heights) or 1, text=percent)
    x = Axis("position", 0, len(sample.tokens_at), text=count)
    asked = f"Share of maskable tokens; masked_lm_prob is {percent(corpus.config.masked_lm_prob)} of all tokens."
    return _section("Predictions by position", f"{_sampled(sample)} {asked}", bars(heights, x, y))


def _replacements(corpus: Corpus) -> str:
    config, train = corpus.config, corpus.manifest.statistics.get("train", {})
    by_mask, at_random = (float(train.get(f"replaced_{name}_share", 0)) for name in ("by_mask", "at_random"))
    values = [
        ("became [MASK]", by_mask, config.mask_prob),
        ("became a random token", at_random, config.random_prob),
        ("stayed", 1 - by_mask - at_random, 1 - config.mask_prob - config.random_prob),
    ]
    note = '<span class="key">Training predictions, from the manifest. <i></i> expected</span>'
    return _section("Replacement of predicted tokens", note, named_bars(values, lambda share: f"{share:.2%}"))


def _document_lengths(corpus: Corpus) -> str:
    text = corpus.manifest.statistics.get("text", {})
    documents = text.get("documents", 0)
    if not documents or not text.get("document_lengths"):  # Manifests of earlier versions have none.
        return ""
    note = (
        f"On average, {count(text['characters'] / documents)} characters and {text['sentences'] / documents:.1f}"
        " sentences, from the manifest. Each bar covers a range twice as long as the one before."
    )
    return _section("Length of documents", note, report_text.document_lengths(text["document_lengths"]))


def _documents(corpus: Corpus) -> str:
    documents = summarize_manifest(corpus.manifest)["documents"]
    dropped = {reason: number for reason, number in documents["dropped"].items() if number}
    note = f"Of {count(documents['read'])} documents read, from the manifest."
    if not dropped:
        return _section("Documents dropped", note, "None were dropped.")
    values = [(reason, float(number), None) for reason, number in sorted(dropped.items(), key=lambda item: -item[1])]
    samples = html.escape(dropped_samples(documents["dropped_samples"]))
    return _section("Documents dropped", note, named_bars(values, count) + (f"<pre>{samples}</pre>" * bool(samples)))


def _options(corpus: Corpus) -> str:
    changed = summarize_manifest(corpus.manifest)["options"]
    rows = [
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value), "changed" * (name in changed))
        for name, value in corpus.manifest.options.items()
    ]
    note = f"Made by mlm-pipeline {html.escape(corpus.manifest.versions.get('mlm-pipeline', '?'))}."
    return _section("Options", note, report_text.table(("option", "value", ""), rows), wide=True)


def _shards(corpus: Corpus) -> str:
    shards = sorted(corpus.manifest.shards, key=lambda s: (SPLITS.index(s.split), s.max_seq_length))
    rows = [
        (s.name, count(s.examples), count(s.tokens), count(s.predictions), size(s.bytes), s.sha256[:16])
        for s in shards[:_MOST_SHARDS_LISTED]
    ]
    more = f"The first {_MOST_SHARDS_LISTED} of {count(len(shards))}." if len(shards) > _MOST_SHARDS_LISTED else ""
    header = ("shard", "examples", "tokens", "predictions", "bytes", "SHA-256")
    return _section("Shards", more, report_text.table(header, rows), wide=True)
