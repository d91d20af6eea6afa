"""A run on two corpora: what each gave, evaluations of each and of both, and restarts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.config.tree import apply_overrides
from pipeline.errors import CorpusError, OutputError
from pipeline.records.spec import RecordSpec
from pipeline.training.run import pretrain

STEPS = {"train_steps": 12, "summary_interval": 4, "validation_interval": 6, "checkpoint_interval": 6}


@pytest.fixture(scope="module")
def corpora(write_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("corpora")
    sizes = {"general": ((90, 70), (21, 12)), "domain": ((40,), (9,)), "more": ((30,), ())}
    return [
        str(write_corpus(folder / name, train=train, validation=validation).directory)
        for name, (train, validation) in sizes.items()
    ]


def config(tiny_config: Any, **trainer: Any) -> Any:
    return apply_overrides(tiny_config(**{**STEPS, **trainer}), ["task.validation_data.global_batch_size=8"])


def rows(run: Path, split: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [row for row in found if row["split"] == split]


def test_what_each_gave_is_told(corpora: list[str], tiny_config: Any, tmp_path: Path, capsys: Any) -> None:
    general, domain, more = corpora
    run = tmp_path / "run"
    named = [f"{general}:0.5", f"{domain}:0.3", f"{more}:0.2"]
    results = pretrain(config(tiny_config), named, str(run), show_progress=False)
    train, validation = rows(run, "train"), rows(run, "validation")
    size = config(tiny_config).task.train_data.global_batch_size
    for row in train:
        given = row["sources"]
        assert list(given) == ["general", "domain", "more"]
        assert sum(of["examples"] for of in given.values()) == size * row["step"]
        assert given["domain"]["epochs"] == given["domain"]["examples"] / 40
    assert [train[-1]["sources"][name]["token_share"] for name in ("general", "domain", "more")] == pytest.approx(
        [0.5, 0.3, 0.2], abs=0.01
    )
    for row in validation:
        assert list(row["sources"]) == ["general", "domain"]  # The third has no validation examples.
        losses = [row["sources"][name]["next_sentence_loss"] for name in ("general", "domain")]
        assert row["next_sentence_loss"] == pytest.approx((33 * losses[0] + 9 * losses[1]) / 42, rel=1e-5)
    table = capsys.readouterr().out
    assert "general: share of tokens, loss" in table
    assert f"domain: {train[-1]['sources']['domain']['examples']} examples, " in table
    assert results["validation"]["sources"] == validation[-1]["sources"]

    # The command evaluates each, and both together, as the run did.
    assert main(["evaluate", "--run", str(run), "--pseudo-tokens", "0", "--json", "--no-progress"]) == 0
    found = json.loads(capsys.readouterr().out)["corpora"]
    best = next(row for row in validation if row["step"] == results["model_step"])
    for name in ("general", "domain"):
        assert found[name]["loss"] == pytest.approx(best["sources"][name]["loss"], rel=1e-4)
    assert found["together"]["loss"] == pytest.approx(best["loss"], rel=1e-4)
    assert found["together"]["examples"] == 42


def test_a_restart_changes_nothing(corpora: list[str], tiny_config: Any, tmp_path: Path) -> None:
    named = [f"{corpora[0]}:3", f"{corpora[1]}:1"]
    options = {"optimizer": {"decay": "constant", "warmup_steps": 0}, "summary_interval": 3}
    pretrain(config(tiny_config, **options), named, str(tmp_path / "whole"), show_progress=False)
    pretrain(config(tiny_config, **options, train_steps=6), named, str(tmp_path / "parts"), show_progress=False)
    pretrain(config(tiny_config, **options), named, str(tmp_path / "parts"), show_progress=False)
    for split in ("train", "validation"):
        whole, parts = ({row["step"]: row for row in rows(tmp_path / name, split)} for name in ("whole", "parts"))
        for step in whole:
            assert parts[step] == whole[step]


def test_another_mixture_is_another_run(corpora: list[str], tiny_config: Any, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    pretrain(config(tiny_config), [f"{corpora[0]}:3", f"{corpora[1]}:1"], run, show_progress=False)
    with pytest.raises(OutputError, match=r"task\.train_data\.weights"):
        pretrain(config(tiny_config), [f"{corpora[0]}:1", f"{corpora[1]}:1"], run, show_progress=False)
    for named in (corpora[:1], corpora[1::-1], [*corpora[:2], corpora[2]]):
        with pytest.raises(OutputError, match="the corpus differs"):
            pretrain(config(tiny_config), named, run, show_progress=False)


def test_other_shapes_are_refused_before_anything_is_written(
    corpora: list[str], write_corpus: Any, tiny_config: Any, tmp_path: Path
) -> None:
    other = write_corpus(tmp_path / "other", spec=RecordSpec(24, 3))
    with pytest.raises(CorpusError, match=r"same shapes, but .*general and .*other differ"):
        pretrain(config(tiny_config), [corpora[0], str(other.directory)], str(tmp_path / "run"), show_progress=False)
    assert not (tmp_path / "run").exists()
