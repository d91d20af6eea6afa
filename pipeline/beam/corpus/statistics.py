"""Adds up the counts of a corpus's blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.beam.corpus.block import BlockResult
from pipeline.beam.corpus.parts import LENGTHS, SPLITS
from pipeline.manifest import Shard
from pipeline.text.reading.document import Samples, add_samples


def summarize(shards: Iterable[Shard], results: Sequence[BlockResult]) -> dict[str, Any]:
    """Adds up the counts of the blocks, by split, and computes shares."""
    totals: dict[str, Counter[str]] = {name: Counter() for name in ("text", *SPLITS)}
    for result in results:
        for name, counts in result.counts.items():
            totals[name].update(counts)
    statistics: dict[str, Any] = {name: dict(sorted(counts.items())) for name, counts in totals.items()}
    samples: Samples = {}
    for result in results:
        add_samples(samples, result.dropped)
    statistics["text"] = _with_drops(statistics["text"]) | {"dropped_samples": samples}
    bytes_of = Counter[str]()
    for shard in shards:
        bytes_of[shard.split] += shard.bytes
    for split in SPLITS:
        counts = totals[split]
        examples, predictions = counts["examples"], counts["predictions"]
        sequences = counts["sequences"] or examples
        statistics[split] |= {
            "examples": examples,
            "bytes": bytes_of[split],
            "padding_share": _share(counts["padding"], counts["padding"] + counts["tokens"]),
            "unknown_share": _share(counts["unknown_tokens"], counts["tokens"]),
            "masked_share": _share(predictions, counts["tokens"]),
            "replaced_by_mask_share": _share(counts["replaced_by_mask"], predictions),
            "replaced_at_random_share": _share(counts["replaced_at_random"], predictions),
            "label_1_share": _share(counts["label_1"], sequences),
        }
        if counts["sequences"]:
            padding = counts["padding_unpacked"]
            statistics[split]["padding_unpacked_share"] = _share(padding, padding + counts["tokens"])
    return statistics


def _with_drops(counts: dict[str, int]) -> dict[str, Any]:
    """Collects the counts of dropped documents, by reason, under "dropped", and of lengths under "document_lengths"."""
    kept = {name: count for name, count in counts.items() if not name.startswith(("dropped/", LENGTHS))}
    dropped, lengths = (
        {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
        for prefix in ("dropped/", LENGTHS)
    )
    read = kept.get("documents", 0) + sum(dropped.values())
    return kept | {"documents_read": read, "dropped": dropped, "document_lengths": lengths}


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def where_it_went(statistics: dict[str, Any]) -> str:
    """Explains why a corpus has no training examples, for a message."""
    text, train = statistics["text"], statistics["train"]
    if not text["documents_read"]:
        return "the input contains no documents, only white space"
    if train.get("documents"):
        return f"{train['documents']:,} documents yielded no examples"
    lost = [f"{count:,} were dropped ({reason})" for reason, count in text["dropped"].items()]
    lost.append(f"{train.get('documents_dropped_without_token', 0):,} contain no tokens")
    lost.append(f"{statistics['validation'].get('documents', 0):,} were selected for validation")
    return f"of {text['documents_read']:,} documents, {', '.join(lost[:-1])} and {lost[-1]}"
