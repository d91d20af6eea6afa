"""Summarizes a manifest, as values and as text."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.beam.corpus.parts import SPLITS
from pipeline.inspection.corpus import changed_options
from pipeline.inspection.tables import count, percent, size, table
from pipeline.manifest import Manifest, Shard
from pipeline.worth_a_look import render

_DROPPED = "documents_dropped_"  # Prefix of the splits' counters of dropped documents, before the reason.
# Labels of statistics in the table of splits; all others follow under their own names.
_LABELS = {
    "documents": "documents",
    "examples": "examples",
    "sequences": "sequences packed in them",
    "sequences_per_row": "sequences in an example",
    "tokens": "tokens",
    "padding_share": "padding, of all positions",
    "padding_unpacked_share": "padding without packing",
    "unknown_share": "[UNK], of tokens",
    "masked_share": "predictions, of tokens",
    "replaced_by_mask_share": "  became [MASK]",
    "replaced_at_random_share": "  became a random token",
    "kept_share": "  stayed",
    "label_1_share": "pairs with label 1",
    "shards": "shards",
    "bytes": "bytes on disk",
}
# Counts that the table shows as shares.
_SHOWN_AS_SHARES = (
    *("padding", "padding_unpacked", "unknown_tokens", "predictions", "replaced_by_mask", "replaced_at_random"),
    "label_1",
)


def summarize_manifest(manifest: Manifest) -> dict[str, Any]:
    """Summarizes a manifest as plain values.

    Returns:
        "documents": numbers read, and dropped by reason, with samples; "splits": the manifest's statistics and the
        number of shards, by split; "shapes": the totals of the shards, for each split and length of examples;
        "options": those that differ from the defaults; "tokenizer", "inputs", "versions", "key"; "worth_a_look": the
        notes.
    """
    splits = {}
    for split in SPLITS:
        statistics = dict(manifest.statistics.get(split, {})) | {"shards": len(manifest.split(split))}
        if statistics.get("predictions"):
            statistics["kept_share"] = round(
                1 - statistics["replaced_by_mask_share"] - statistics["replaced_at_random_share"], 6
            )
        if statistics.get("sequences"):
            statistics["sequences_per_row"] = round(statistics["sequences"] / statistics["examples"], 2)
        splits[split] = statistics
    read = dict(manifest.statistics.get("text", {}))
    dropped = Counter({_words(reason): number for reason, number in read.pop("dropped", {}).items()})
    samples = {_words(reason): found for reason, found in read.pop("dropped_samples", {}).items()}
    lengths = read.pop("document_lengths", {})
    for statistics in splits.values():
        for name in [name for name in statistics if name.startswith(_DROPPED)]:
            dropped[_words(name.removeprefix(_DROPPED))] += statistics.pop(name)
    return {
        "documents": {
            "read": read.pop("documents_read", read.get("documents", 0)),
            "dropped": dict(dropped),
            "dropped_samples": samples,
            "lengths": lengths,
            **read,
        },
        "splits": splits,
        "shapes": [_shape(split, length, shards) for split, length, shards in _by_shape(manifest)],
        "options": changed_options(manifest.options),
        "tokenizer": {
            "kind": manifest.tokenizer.kind,
            "vocab_size": manifest.tokenizer.vocab_size,
            "lower_case": manifest.tokenizer.lower_case,
            "casing": manifest.tokenizer.casing,
            "sha256": manifest.tokenizer.sha256,
        },
        "inputs": {
            "files": sum(info.get("files", 1) for info in manifest.inputs),
            "bytes": sum(info["bytes"] for info in manifest.inputs),
        },
        "versions": dict(manifest.versions),
        "key": manifest.key,
        "worth_a_look": list(manifest.worth_a_look),
    }


def _by_shape(manifest: Manifest) -> Iterable[tuple[str, int, list[Shard]]]:
    def shape(shard: Shard) -> tuple[int, int]:
        return SPLITS.index(shard.split), shard.max_seq_length

    for (split, length), shards in itertools.groupby(sorted(manifest.shards, key=shape), shape):
        yield SPLITS[split], length, list(shards)


def _shape(split: str, length: int, shards: Sequence[Shard]) -> dict[str, Any]:
    totals = {name: sum(getattr(shard, name) for shard in shards) for name in ("examples", "tokens", "bytes")}
    positions = totals["examples"] * length
    return {
        "split": split,
        "max_seq_length": length,
        "max_predictions_per_seq": shards[0].max_predictions_per_seq,
        "shards": len(shards),
        **totals,
        "padding_share": round(1 - totals["tokens"] / positions, 6) if positions else 0.0,
    }


def render_summary(summary: Mapping[str, Any]) -> str:
    """Formats a summary as tables."""
    versions = summary["versions"]
    tokenizer = summary["tokenizer"]
    sections = [
        f"made by mlm-pipeline {versions.get('mlm-pipeline', 'of an unknown version')} from"
        f" {count(summary['inputs']['files'])} files, {size(summary['inputs']['bytes'])},"
        f" with a {tokenizer['kind']} vocabulary of {count(tokenizer['vocab_size'])}"
        f" ({'lower' if tokenizer['lower_case'] else 'upper and lower'} case)",
        _documents_table(summary["documents"]),
        _splits_table(summary["splits"]),
    ]
    if len({shape["max_seq_length"] for shape in summary["shapes"]}) > 1:
        sections.append(_shapes_table(summary["shapes"]))
    options = [(name, _plain(value)) for name, value in summary["options"].items()]
    sections.append("Options other than the defaults\n" + "\n".join(f"  {name}: {text}" for name, text in options))
    if summary["worth_a_look"]:
        sections.append(render(summary["worth_a_look"]))
    return "\n\n".join(sections)


def _documents_table(documents: Mapping[str, Any]) -> str:
    rows = [("documents read", count(documents["read"]))]
    rows += [(f"  dropped: {reason}", count(number)) for reason, number in documents["dropped"].items()]
    other = documents.keys() - {"read", "dropped", "dropped_samples", "lengths"}
    rows += [(_words(name), _value(name, value)) for name, value in documents.items() if name in other]
    text = "Documents\n" + table(rows, indent="  ")
    if documents["dropped_samples"]:
        text += "\n\nSamples of dropped documents\n" + dropped_samples(documents["dropped_samples"])
    return text


def dropped_samples(samples: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Formats samples of dropped documents: why they were dropped, where they are, and how they begin."""
    return "\n".join(
        f"  {reason}: {sample['file']}, {sample['place']}: {sample['text']!r}"
        for reason, found in samples.items()
        for sample in found
    )


def _splits_table(splits: Mapping[str, Mapping[str, Any]]) -> str:
    names = [name for name in _LABELS if any(name in statistics for statistics in splits.values())]
    names += sorted({name for statistics in splits.values() for name in statistics} - set(_LABELS))
    rows = [("", *splits)]
    for name in names:
        if name not in _SHOWN_AS_SHARES and any(statistics.get(name) for statistics in splits.values()):
            cells = [_value(name, statistics[name]) if name in statistics else "" for statistics in splits.values()]
            rows.append((_LABELS.get(name, _words(name)), *cells))
    return "Splits\n" + table(rows, indent="  ")


def _shapes_table(shapes: Sequence[Mapping[str, Any]]) -> str:
    rows = [("length", "split", "shards", "examples", "tokens", "padding", "bytes")]
    for shape in shapes:
        numbers = [count(shape[name]) for name in ("shards", "examples", "tokens")]
        row = (shape["split"], *numbers, percent(shape["padding_share"]), size(shape["bytes"]))
        rows.append((count(shape["max_seq_length"]), *row))
    return "Lengths\n" + table(rows, indent="  ")


def _value(name: str, value: Any) -> str:
    if name.endswith("_share"):
        return percent(value)
    if isinstance(value, float):
        return f"{value:,.2f}"
    return size(value) if name == "bytes" else count(value)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
