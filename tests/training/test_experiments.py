from __future__ import annotations

import dataclasses
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli import main
from pipeline.commands.pretrain import read_config
from pipeline.config.tree import load_yaml
from pipeline.errors import ConfigError
from pipeline.manifest import Manifest, read_manifest
from pipeline.records.spec import RecordSpec
from pipeline.training.budget_recipes import RECIPES
from pipeline.training.configs import ExperimentConfig
from pipeline.training.encoders import build_encoder
from pipeline.training.experiments import build_experiment, differing_corpus_options, fit_to_corpus
from pipeline.training.modeling.masked_lm import MaskedLM
from pipeline.training.published import EXPERIMENTS

SMALL = [
    "task.model.encoder.hidden_size=16",
    "task.model.encoder.num_layers=2",
    "task.model.encoder.num_attention_heads=2",
    "task.model.encoder.intermediate_size=24",
    "task.train_data.global_batch_size=8",
    "task.validation_data.global_batch_size=16",
    "trainer.train_steps=2",
    "trainer.optimizer.warmup_steps=1",
    "trainer.optimizer.decay_steps=null",
    "trainer.example=w00 [MASK]",
]


@pytest.fixture
def manifest(tiny_corpus: Any) -> Manifest:
    return read_manifest(str(tiny_corpus.directory))


# Encoders with pooler as counted in Hugging Face's models, and with masked-LM head in millions as published:
# Turc et al., 2019, table 1; Devlin et al., 2019, give BERT-Large as 340M; Lan et al., 2020, ALBERT-Base as 12M.
# ModernBERT's are those of transformers' ModernBertModel; Ettin's names give the millions with the head, rounded.
@pytest.mark.parametrize(
    ("name", "vocab_size", "encoder_parameters", "published_millions"),
    [
        ("bert-tiny", 30522, 4_385_920, 4.4),
        ("bert-mini", 30522, 11_170_560, 11.3),
        ("bert-small", 30522, 28_763_648, 29.1),
        ("albert-like", 30000, 11_683_584, None),
        ("ettin-17m", 50368, 16_797_440, 16.9),
        ("ettin-32m", 50368, 31_883_136, 32.1),
        pytest.param("ettin-68m", 50368, 68_144_640, 68.5, marks=pytest.mark.slow),
        pytest.param("modernbert-base", 50368, 149_014_272, 149.7, marks=pytest.mark.slow),
        pytest.param("modernbert-large", 50368, 394_781_696, 395.9, marks=pytest.mark.slow),
        pytest.param("bert-base", 30522, 109_482_240, 110.1, marks=pytest.mark.slow),
        pytest.param("bert-large", 30522, 335_141_888, None, marks=pytest.mark.slow),
    ],
)
def test_parameter_counts(
    name: str, vocab_size: int, encoder_parameters: int, published_millions: float | None, manifest: Manifest
) -> None:
    config = build_experiment(name, manifest).task.model.encoder
    encoder = build_encoder(dataclasses.replace(config, vocab_size=vocab_size))
    assert encoder.count_params() == encoder_parameters
    if published_millions:
        head = MaskedLM(encoder.get_embedding_table(), **config.masked_lm_options)
        head.build((None, None, config.hidden_size))
        assert round((encoder_parameters + head.count_params()) / 1e6, 1) == published_millions


def test_roberta_is_bert_base_without_head(manifest: Manifest) -> None:
    base, roberta = (build_experiment(name, manifest).task.model for name in ("bert-base", "roberta-like"))
    assert roberta.encoder == base.encoder
    assert base.has_head("next_sentence")
    assert not roberta.cls_heads


@pytest.mark.parametrize("name", ["bert-mini", "roberta-like", "albert-like", "cramming", "ettin-17m"])
def test_trains(name: str, tmp_path: Path, tiny_corpus: Any) -> None:
    run = tmp_path / "run"
    arguments = ["pretrain", "--corpus", str(tiny_corpus.directory), "--run", str(run), "--experiment", name]
    assert main([*arguments, "--no-progress", "--params-override", *SMALL]) == 0
    results = json.loads((run / "results.json").read_text())
    assert results["steps"] == 2
    assert ("next_sentence_loss" in results["validation"]) == (name in ("bert-mini", "albert-like"))
    config = load_yaml(ExperimentConfig, str(run / "config.yaml"))
    assert config.task.model.encoder.type == {"albert-like": "albert", "ettin-17m": "modernbert"}.get(name, "bert")
    assert config.task.model.encoder.vocab_size == 50
    types = {"albert-like": "lamb", "ettin-17m": "stable_adamw"}
    assert config.trainer.optimizer.type == types.get(name, "adamw")


def test_a_file_stands_before_the_experiment(tmp_path: Path, tiny_corpus: Any) -> None:
    """What it leaves out stays the experiment's; its classification heads are all that there are."""
    path = tmp_path / "config.yaml"
    encoder = {"hidden_size": 16, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    path.write_text(yaml.safe_dump({"task": {"model": {"encoder": encoder, "cls_heads": []}}}))
    arguments = Namespace(
        corpus=str(tiny_corpus.directory),
        stages=None,
        decay_from=None,
        more_steps=None,
        experiment="bert-base",
        config=[str(path)],
        init_from=None,
        params_override=["trainer.train_steps=20000"],
    )
    config = read_config(arguments)
    assert config.trainer.train_steps == 20000
    assert config.task.model.encoder.num_layers == 1
    assert config.task.model.cls_heads == ()
    assert config.trainer.optimizer.learning_rate == 1e-4


def test_is_fitted_to_the_corpus(manifest: Manifest) -> None:
    long = dataclasses.replace(manifest, spec=RecordSpec(1024, 100))
    assert build_experiment("bert-tiny", long).task.model.encoder.max_position_embeddings == 1024
    assert build_experiment("bert-tiny", manifest).task.model.encoder.max_position_embeddings == 512
    without_labels = dataclasses.replace(manifest, spec=RecordSpec(24, 4, next_sentence=False))
    for name in EXPERIMENTS:
        with_pairs = name in ("albert-like", *(bert for bert in EXPERIMENTS if bert.startswith("bert-")))
        assert build_experiment(name, manifest).task.model.has_head("next_sentence") == with_pairs
        assert not build_experiment(name, without_labels).task.model.cls_heads
    with pytest.raises(ConfigError, match=r"no experiment bert\. The experiments are: bert-tiny, "):
        build_experiment("bert", manifest)


def test_differing_corpora_are_told(manifest: Manifest) -> None:
    options = {"pairing": "sentence-order", "masking_unit": "token", "masking": "static"}
    made = dataclasses.replace(manifest, options=options)
    assert differing_corpus_options("albert-like", made) == [
        "albert-like was published with a corpus of --masking-unit ngram; this one has token"
    ]
    assert len(differing_corpus_options("roberta-like", made)) == 2
    assert differing_corpus_options("albert-like", dataclasses.replace(manifest, options={})) == []  # Nothing is known.


def test_help_and_docs_tell_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    shown = capsys.readouterr().out
    page = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
    for name in EXPERIMENTS:
        assert name in shown
        assert f"`{name}`" in page


def test_a_share_of_predictions_is_for_corpora_that_hold_no_masks(manifest: Manifest) -> None:
    values = RECIPES[0].values
    unmasked = dataclasses.replace(manifest, spec=dataclasses.replace(manifest.spec, masked=False))
    shares = [
        (config.task.train_data.masked_lm_prob, config.task.train_data.final_masked_lm_prob)
        for config in (fit_to_corpus(values, manifest), fit_to_corpus(values, unmasked))
    ]
    assert shares == [(None, None), (0.3, 0.15)]
    assert fit_to_corpus(values, unmasked, manifest).task.train_data.masked_lm_prob is None
