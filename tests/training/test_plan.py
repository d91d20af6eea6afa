"""What a run tells before its first step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config.tree import apply_overrides
from pipeline.training import plan as plan_module
from pipeline.training.configs import ExperimentConfig
from pipeline.training.corpora import open_corpora
from pipeline.training.memory import Fit
from pipeline.training.plan import format_plan
from pipeline.training.run import resolve

MODEL = SimpleNamespace(
    trainable_variables=[
        SimpleNamespace(path="bert/bert_encoder/word_embeddings/embeddings", shape=(30_000, 64)),
        SimpleNamespace(path="bert/bert_encoder/embeddings_layer_norm/gamma", shape=(64,)),
        SimpleNamespace(path="bert/bert_encoder/transformer_layer_0/output/kernel", shape=(256, 64)),
    ]
)
WHOLE = Fit(1, 2.5e9, 8e9)


@pytest.fixture(autouse=True)
def _cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "_devices", lambda config: "CPU, 2 cores")


def told(config: ExperimentConfig, directories: list[str], fit: Fit = WHOLE, step: int = 0) -> dict[str, str]:
    """The rows of a plan by their names, each checked to be no wider than a terminal."""
    corpora = open_corpora(directories, config.task.train_data.stages)
    text = format_plan(resolve(config, corpora), MODEL, fit, step=step, names=corpora.names)
    assert max(map(len, text.splitlines())) <= 80
    rows: dict[str, str] = {}
    for line in text.splitlines():
        name, rest = line[:15].strip(), line[15:]
        last = name or list(rows)[-1]
        rows[last] = rest if name else f"{rows[last]} {rest}"
    return rows


def test_a_run_of_the_defaults(tiny_corpus: Any, tiny_config: Any) -> None:
    """160 examples; the rows say what was not asked for, and by which flag it is."""
    tokens = int(tiny_corpus.split("train")["input_mask"].sum())
    config = apply_overrides(
        tiny_config(),
        [
            "task.train_data.global_batch_size=512",
            "trainer.train_steps=1000000",
            "trainer.optimizer.learning_rate=0.0001",
        ],
    )
    assert told(config, [str(tiny_corpus.directory)], Fit(4, 2.5e9, 8e9)) == {
        "device": "CPU, 2 cores",
        "parameters": "1,936,448, of which 16,448 outside the embeddings",
        "examples": f"160 of {tokens / 160:.0f} tokens on average, at most 24",
        "batch": f"512 examples (default; --batch-size), about {512 * tokens / 160:,.0f} tokens, in 4 parts, one after"
        " another (trainer.accumulation_steps)",
        "steps": "1,000,000 (default; --steps)",
        "epochs": f"3,200,000.00; {512e6 * tokens / 160 / 1e9:.3g} billion tokens",
        "learning rate": "0.0001 (default; --learning-rate), linear, warm-up of 4",
        "memory": "about 2.5 GB, of up to 8.0 GB for this run",
        "time": "shown after the first steps",
    }


def test_a_run_that_goes_on(tiny_corpus: Any, tiny_config: Any) -> None:
    rows = told(tiny_config(), [str(tiny_corpus.directory)], Fit(1, None, None), step=10)
    assert rows["steps"] == "24; continues after step 10"
    assert rows["epochs"].startswith("2.40; ")
    assert rows["learning rate"].startswith("0.005, ")
    assert rows["batch"].startswith("16 examples, about ")
    assert "memory" not in rows
    assert told(tiny_config(), [str(tiny_corpus.directory)], Fit(1, 2.5e9, None))["memory"] == "about 2.5 GB"


def test_mixtures_and_stages(write_corpus: Any, tiny_config: Any, tmp_path: Any) -> None:
    """A corpus's epochs are its own; the batch grows."""
    general, domain = (
        str(write_corpus(tmp_path / name, train=(count,)).directory)
        for name, count in (("general", 90), ("domain", 40))
    )
    rows = told(tiny_config(), [f"{general}:0.5", f"{domain}:0.5"])
    assert "general: 90 of" in rows["examples"]
    assert "domain: 40 of" in rows["examples"]
    general_epochs, domain_epochs = (float(part.split(": ")[1]) for part in rows["epochs"].split("; ")[0].split(", "))
    assert general_epochs * 90 + domain_epochs * 40 == pytest.approx(24 * 16, abs=1)
    assert domain_epochs > general_epochs
    stages = "task.train_data.stages=[{initial_batch_size: 8, global_batch_size: 16, until: 50%}, {}]"
    rows = told(apply_overrides(tiny_config(), [stages]), [general])
    assert rows["batch"].startswith("8 to 16 examples, about ")
