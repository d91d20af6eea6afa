from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.inspection.corpus import changed_options
from pipeline.inspection.stats import render_summary, summarize_manifest
from pipeline.manifest import read_manifest

Make = Callable[..., Path]


def test_the_summary_is_what_the_manifest_says(make: Make) -> None:
    manifest = read_manifest(str(make()))
    summary = summarize_manifest(manifest)
    train = manifest.statistics["train"]
    assert summary["splits"]["train"]["examples"] == train["examples"]
    assert summary["splits"]["train"]["shards"] == len(manifest.split("train"))
    assert summary["documents"]["read"] == 400
    assert not any(summary["documents"]["dropped"].values())
    shares = [
        summary["splits"]["train"][f"{name}_share"] for name in ("replaced_by_mask", "replaced_at_random", "kept")
    ]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert summary["options"]["max_seq_length"] == 64
    assert "masking" not in summary["options"]
    assert summary["inputs"] == {"files": 1, "bytes": manifest.inputs[0]["bytes"]}


def test_nothing_that_was_counted_is_left_out(make: Make) -> None:
    manifest = read_manifest(str(make()))
    text = render_summary(summarize_manifest(manifest))
    for split, statistics in manifest.statistics.items():
        for name, value in statistics.items():
            if name in ("dropped", "documents_read"):
                continue
            shown = f"{value:,}" if isinstance(value, int) and name != "bytes" else ""
            shares = {"padding", "unknown_tokens", "predictions", "replaced_by_mask", "replaced_at_random", "label_1"}
            assert name in shares or shown in text, (split, name)


def test_what_packing_saves_is_shown(make: Make) -> None:
    manifest = read_manifest(str(make(packing="best-fit", pairing="single-sentences")))
    train = manifest.statistics["train"]
    positions = 64 * train["sequences"]
    assert train["padding_unpacked"] == positions - train["tokens"]
    assert train["padding_unpacked_share"] == pytest.approx(1 - train["tokens"] / positions, abs=1e-6)
    assert train["padding_unpacked_share"] > 0.5 > 0.03 > train["padding_share"]
    text = render_summary(summarize_manifest(manifest))
    assert re.search(rf"sequences packed in them +{train['sequences']:,} ", text)
    assert re.search(rf"sequences in an example +{train['sequences'] / train['examples']:.2f} ", text)
    assert re.search(rf"padding without packing +{100 * train['padding_unpacked_share']:.1f} % ", text)


def test_documents_dropped_are_listed_by_reason_of_all_splits(make: Make) -> None:
    import dataclasses

    manifest = read_manifest(str(make()))
    said = manifest.statistics
    counted = {**said, "text": {**said["text"], "dropped": {"too_long": 3}}}
    counted["train"] = {**said["train"], "documents_dropped_without_token": 4}
    counted["validation"] = {**said["validation"], "documents_dropped_without_token": 1}
    summary = summarize_manifest(dataclasses.replace(manifest, statistics=counted))
    assert summary["documents"]["dropped"] == {"too long": 3, "without token": 5}


def test_what_nobody_foresaw_is_shown(make: Make) -> None:
    summary = summarize_manifest(read_manifest(str(make())))
    summary["splits"]["train"]["moon_phases"] = 12345
    summary["documents"]["dropped"]["too long"] = 67
    text = render_summary(summary)
    assert re.search(r"moon phases +12,345\n", text)
    assert re.search(r"dropped: too long +67\n", text)


def test_bins_have_a_table(make: Make) -> None:
    bins = {"pairing": "sentence-order", "masking_unit": "ngram", "bins": (24, 40, 64)}
    manifest = read_manifest(str(make(**bins)))
    summary = summarize_manifest(manifest)
    lengths = [(shape["split"], shape["max_seq_length"]) for shape in summary["shapes"]]
    assert lengths == [(split, length) for split in ("train", "validation") for length in (24, 40, 64)]
    assert sum(shape["examples"] for shape in summary["shapes"]) == sum(shard.examples for shard in manifest.shards)
    rows = re.findall(r"^  (\d+) +(train|validation) ", render_summary(summary), re.MULTILINE)
    assert [(split, int(length)) for length, split in rows] == lengths


def test_options_that_are_not_as_by_default() -> None:
    options = {"seed": 12345, "bins": [], "masking_unit": "word", "input": ["a.txt"], "of_the_future": True}
    assert changed_options(options) == {"input": ["a.txt"], "masking_unit": "word", "of_the_future": True}


def test_the_command(make: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    directory = str(make())
    assert main(["stats", directory]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{directory}: made by mlm-pipeline")
    assert re.search(r"became \[MASK\] +(79|80)\.\d %", out)
    assert main(["stats", directory, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summarize_manifest(read_manifest(directory))
    assert main(["stats", str(tmp_path)]) == 2


def test_what_is_worth_a_look_stands_at_the_end(make: Make) -> None:
    manifest = dataclasses.replace(read_manifest(str(make())), worth_a_look=("The first.", "The second."))
    summary = summarize_manifest(manifest)
    assert summary["worth_a_look"] == ["The first.", "The second."]
    assert render_summary(summary).endswith("\n\nWorth a look\n  - The first.\n  - The second.")
    assert "Worth a look" not in render_summary(summarize_manifest(dataclasses.replace(manifest, worth_a_look=())))
