"""What a run that starts from a model says of it before the first step and at the end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.cli import main
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.report import format_before_after


def evaluated(path: str, corpora: list[str], capsys: Any) -> dict[str, Any]:
    """What `evaluate` says of a model."""
    capsys.readouterr()
    named = [part for corpus in corpora for part in ("--corpus", corpus)]
    assert main(["evaluate", "--run", path, *named, "--json", "--pseudo-tokens", "300", "--no-progress"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture(scope="module")
def corpora(write_corpus: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("two")
    write_corpus(folder / "domain", train=(60,), validation=(21,))
    write_corpus(folder / "general", train=(40,), validation=(12, 9))
    return [str(folder / "domain"), str(folder / "general")]


@pytest.fixture
def start(trained: Any, tmp_path: Path) -> list[str]:
    """A command that continues a model for eight steps."""
    export_huggingface(trained, str(tmp_path / "model"))
    options = {
        "task": {"train_data": {"global_batch_size": 16}, "validation_data": {"global_batch_size": 16}},
        "trainer": {
            "train_steps": 8,
            "validation_interval": 4,
            "checkpoint_interval": 2,
            "max_to_keep": 9,
            "pseudo_tokens": 300,
            "optimizer": {"learning_rate": 5e-3, "warmup_steps": 2},
            "example": "w01 [MASK]",
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(options))
    command = ["pretrain", "--config", str(tmp_path / "config.yaml"), "--no-progress"]
    return [*command, "--init-from", str(tmp_path / "model"), "--run", str(tmp_path / "run")]


def check(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["loss"] == pytest.approx(expected["masked_lm"]["all"]["loss"], rel=1e-4)
    assert found["accuracy"] == pytest.approx(expected["masked_lm"]["all"]["accuracy"])
    likelihood = expected["pseudo_perplexity"]
    assert found["pseudo_perplexity"] == (None if likelihood is None else pytest.approx(likelihood["value"], rel=1e-3))


def test_a_mixture_is_measured_source_by_source(
    corpora: list[str], start: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the numbers of `evaluate`, of the model that it starts from and of the one that it makes."""
    mixture = ["--corpus", f"{corpora[0]}:0.7", "--corpus", f"{corpora[1]}:0.3"]
    assert main([*start, *mixture]) == 0
    shown = capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["before"]) == ["domain", "general", "together"]
    for place, path in (("before", "model"), ("after", "run")):
        expected = evaluated(str(tmp_path / path), corpora, capsys)["corpora"]
        for name in ("domain", "general", "together"):
            check(results[place][name], expected[name])
    assert results["after"]["domain"]["loss"] < results["before"]["domain"]["loss"] - 0.05
    assert format_before_after(results["before"], results["after"]) in shown
    value = results["before"]["general"]["pseudo_perplexity"]
    assert f"before the first step: domain: masked-LM loss {results['before']['domain']['loss']:.4f}, accuracy" in shown
    assert f"pseudo-perplexity {value:.2f}" in shown.partition("step 1 of")[0].partition("before the first step")[2]


def test_a_resumed_run_remembers_what_was_before(
    corpora: list[str], start: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command, run = [*start, "--corpus", corpora[0], "--trainer.pseudo-tokens", "0"], tmp_path / "run"
    assert main(command) == 0
    whole = json.loads((run / "results.json").read_text())
    assert list(whole["before"]) == ["domain"]
    assert whole["before"]["domain"]["pseudo_perplexity"] is None
    for path in [run / "results.json", run / "model.keras", *(run / "checkpoints").glob("step-[68]*")]:
        path.unlink()
    shutil.rmtree(tmp_path / "model")
    capsys.readouterr()
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "continuing from step 4" in shown
    assert "before the first step" not in shown
    again = json.loads((run / "results.json").read_text())
    assert again["before"] == whole["before"]
    np.testing.assert_allclose(again["after"]["domain"]["loss"], whole["after"]["domain"]["loss"], rtol=1e-6)
    # It is shown again with the table of a finished run.
    assert main(command) == 0
    assert format_before_after(whole["before"], again["after"]) in capsys.readouterr().out


def test_the_table() -> None:
    before: Any = {"books": {"loss": 3.5, "accuracy": 0.25, "pseudo_perplexity": 12.345}}
    after: Any = {"books": {"loss": 2.25, "accuracy": 0.5, "pseudo_perplexity": None}}
    assert format_before_after(before, after).splitlines() == [
        "                         before       after",
        "books",
        "  masked-LM loss         3.5000      2.2500",
        "  accuracy                25.0%       50.0%",
        "  pseudo-perplexity       12.35           -",
    ]
