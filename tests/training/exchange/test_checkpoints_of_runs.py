"""Models of runs that are not finished: their checkpoints are evaluated, exported and started from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.cli import main
from pipeline.errors import InputError
from pipeline.training.exchange.families.bert import Bert
from pipeline.training.exchange.load import load_trained
from pipeline.training.exchange.start import read_source, start_from
from pipeline.training.exchange.weights import read_weights
from pipeline.training.run import pretrain


@pytest.fixture(scope="module")
def stopped(tiny_corpus: Any, tmp_path_factory: pytest.TempPathFactory, tiny_config: Any) -> Path:
    """A run as a kill leaves it, which keeps averages of its weights."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    config = tiny_config(optimizer={"learning_rate": 5e-3, "warmup_steps": 4, "ema_decay": 0.9})
    pretrain(config, str(tiny_corpus.directory), str(run), show_progress=False)
    for path in (run / "results.json", run / "model.keras"):
        path.unlink()
    return run


def held(path: Path) -> dict[str, np.ndarray]:
    """The averages that a checkpoint holds, by the ends of their paths."""
    reader = tf.train.load_checkpoint(str(path))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith("averages/")]
    return {name.split("/")[1].replace(".S", "/").partition("/")[2]: reader.get_tensor(name) for name in names}


@pytest.mark.parametrize("step", [15, 24])
def test_a_checkpoint_is_a_model(stopped: Path, step: int) -> None:
    trained = load_trained(str(stopped / "checkpoints" / f"step-{step}"))
    expected = held(stopped / "checkpoints" / f"step-{step}")
    weights = {weight.path.partition("/")[2]: np.asarray(weight) for weight in trained.model.weights}
    assert weights.keys() == expected.keys()
    assert len(weights) > 20
    for name, value in expected.items():
        np.testing.assert_array_equal(weights[name], value, err_msg=name)


def test_the_commands_take_the_last_one(stopped: Path, tmp_path: Path, capsys: Any) -> None:
    last, out = str(stopped / "checkpoints" / "step-24"), str(tmp_path / "out")
    assert main(["export", "--run", str(stopped), "--output", out]) == 2
    said = capsys.readouterr().err
    assert "a run that is not finished. Run the pretrain command again" in said
    assert f"Or use its last checkpoint: {last}" in said
    assert main(["export", "--run", last, "--output", out]) == 0
    found, expected = read_source(out), load_trained(last)
    for name, value in read_weights(found.family, expected.model).items():
        np.testing.assert_array_equal(found.weights[name], value, err_msg=name)
    capsys.readouterr()
    assert main(["evaluate", "--run", last, "--json", "--pseudo-tokens", "0", "--no-progress"]) == 0
    loss = json.loads(capsys.readouterr().out)["corpus"]["loss"]
    rows = map(json.loads, (stopped / "log.jsonl").read_text().splitlines())
    np.testing.assert_allclose(loss, [row["loss"] for row in rows if row["split"] == "validation"][-1], rtol=1e-5)
    assert main(["predict", "--run", last, "w00 [MASK] w00"]) == 0


def test_another_run_starts_from_one(stopped: Path) -> None:
    last = str(stopped / "checkpoints" / "step-24")
    first, second = load_trained(last).model, load_trained(str(stopped / "checkpoints" / "step-15")).model
    assert start_from(second, read_source(last)).description == f"starting from {last}"
    mine, theirs = (read_weights(Bert(), model) for model in (second, first))
    for name, value in theirs.items():
        np.testing.assert_array_equal(mine[name], value, err_msg=name)


def test_what_is_not_there_is_refused(stopped: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no checkpoint of step 7. Received: step-15, step-20, step-24"):
        load_trained(str(stopped / "checkpoints" / "step-7"))
    run = Path(shutil.copytree(stopped, tmp_path / "run"))
    data = next((run / "checkpoints").glob("step-24.data*"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(InputError, match=r"step-24 is not a complete checkpoint of a run"):
        load_trained(str(run / "checkpoints" / "step-24"))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(InputError, match=r"has no checkpoint of step 24. Received: none"):
        load_trained(str(run / "checkpoints" / "step-24"))
