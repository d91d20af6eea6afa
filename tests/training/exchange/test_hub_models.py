"""Models of the hub wherever a model's folder is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from oracles.hub import Hub, serving_hub, use_hub

from pipeline.cli import main
from pipeline.training.exchange.hf_export import export_huggingface
from pipeline.training.exchange.load import load_trained

NAME = "someone/tiny"


@pytest.fixture(scope="module")
def source(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Hugging Face's."""
    folder = tmp_path_factory.mktemp("models") / "source"
    export_huggingface(trained, str(folder))
    return folder


@pytest.fixture
def hub(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a model; the working directory is a temporary one."""
    monkeypatch.chdir(tmp_path)
    with serving_hub() as served:
        served.commit_folder(NAME, source)
        use_hub(served.endpoint, tmp_path, monkeypatch)
        yield served


def pretrain(*options: str) -> int:
    command = ["pretrain", "--corpus", "corpus", "--run", "run", "--no-progress", "--batch-size", "4", "--steps", "1"]
    return main([*command, "--trainer.example", "a [MASK]", "--trainer.checkpoint-interval", "1", *options])


@pytest.mark.slow
def test_a_run_notes_the_commit_and_goes_on_with_it(hub: Hub, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit = hub.commit_folder(NAME, source)
    Path("text.txt").write_text("\n\n".join(f"The sea is wide.\nThe sea {'is ' * n}the sea." for n in range(20)))
    command = ["corpus", "--input", "text.txt", "--vocab", NAME, "--max-seq-length", "16", "--output", "corpus"]
    assert main([*command, "--format", "bert", "--no-progress", "--workers", "1", "--validation-fraction", "0.2"]) == 0
    assert pretrain("--init-from", NAME) == 0
    assert f"starting from {NAME}@{commit}" in capsys.readouterr().out
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    assert config["task"]["init_checkpoint"] == f"{NAME}@{commit}"
    # The branch moves on: the run does not.
    changed = {path.name: path.read_bytes() for path in source.iterdir()}
    hub.commit(NAME, changed | {"config.json": changed["config.json"] + b"\n"})
    hub.asked.clear()
    assert pretrain("--init-from", NAME) == 0
    assert "already finished" in capsys.readouterr().out
    # Without its checkpoints, it starts from the same commit again, which is in the cache.
    shutil.rmtree("run/checkpoints")
    for name in ("results.json", "log.jsonl"):
        Path("run", name).unlink()
    assert pretrain("--init-from", NAME) == 0
    assert f"starting from {NAME}@{commit}" in capsys.readouterr().out
    assert hub.asked == []
    assert pretrain("--init-from", f"{NAME}@main") == 2
    assert "contains a run with another configuration" in capsys.readouterr().err


def test_a_model_of_the_hub_is_used_by_its_name(hub: Hub, trained: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = load_trained(NAME)
    ours, theirs = (np.asarray(each.model.masked_lm.embedding_table) for each in (found, trained))
    np.testing.assert_array_equal(ours, theirs)
    assert list(found.tokenizer.tokens) == list(trained.tokenizer.tokens)
    assert main(["predict", "--run", "no/such", "[MASK]"]) == 2
    assert "no/such is neither a local directory nor a model of the hub" in capsys.readouterr().err
