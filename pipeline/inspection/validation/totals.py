"""Checks the statistics of a manifest against its shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.beam.corpus.block import BlockResult
from pipeline.beam.corpus.parts import SPLITS
from pipeline.beam.corpus.statistics import summarize
from pipeline.inspection.corpus import Corpus
from pipeline.inspection.validation.problems import Problem
from pipeline.inspection.validation.rates import largest_deviation
from pipeline.inspection.validation.shard import ShardFindings
from pipeline.inspection.validation.tally import Tally

# A random token that equals the original cannot be recognized, so these are tested, not compared.
_TESTED = ("replaced_at_random", "replaced_at_random_share")


def add_up(corpus: Corpus, findings: Sequence[ShardFindings]) -> dict[str, Tally]:
    """Adds up the counts of the shards, by split."""
    tallies = {split: Tally(corpus.config.max_seq_length) for split in SPLITS}
    for found in findings:
        tallies[found.shard.split].add(found.tally)
    return tallies


def check_totals(corpus: Corpus, findings: Sequence[ShardFindings], tallies: dict[str, Tally]) -> Iterator[Problem]:
    """Checks those statistics of the splits that shards show; all shards must be valid."""
    counted = {split: dict(tally.counts) for split, tally in tallies.items()}
    recounted = summarize([found.shard for found in findings], [BlockResult((), counted)])
    for split in SPLITS:
        said = corpus.manifest.statistics.get(split, {})
        for name, value in recounted[split].items():
            if name not in _TESTED and said.get(name, 0) != value:
                yield Problem("totals", f"{split}: the manifest says {name} {said.get(name)}; counted {value}")
        yield from _check_random(split, said.get("replaced_at_random", 0), tallies[split], corpus.config.random_prob)
    documents = Counter(corpus.manifest.statistics.get("text", {}))["documents"]
    in_splits = sum(corpus.manifest.statistics.get(split, {}).get("documents", 0) for split in SPLITS)
    if in_splits > documents:
        yield Problem("totals", f"the manifest says {documents:,} documents; the splits have {in_splits:,}")


def _check_random(split: str, said: int, tally: Tally, random_prob: float) -> Iterator[Problem]:
    """Checks the number of random replacements, a few of which equal the original and cannot be counted."""
    counted = tally.counts["replaced_at_random"]
    expected = random_prob * tally.coincidence
    if not 0 <= said - counted <= expected + largest_deviation(expected):
        message = (
            f"{split}: the manifest says replaced_at_random {said:,}; counted {counted:,}, and about"
            f" {expected:,.0f} more may equal the original"
        )
        yield Problem("totals", message)
