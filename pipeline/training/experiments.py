"""Configurations by name: sizes and recipes of published models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError
from pipeline.manifest import Manifest
from pipeline.training.configs import ExperimentConfig


@dataclass(frozen=True)
class Experiment:
    """A published model's shape and the way it was trained.

    Args:
        description: what it is, and where it was published.
        values: of an `ExperimentConfig`; the vocabulary is the corpus's.
        corpus: the options of the corpus that it was trained on, where they are not the corpus command's own.
    """

    description: str
    values: Mapping[str, Any]
    corpus: Mapping[str, str] = field(default_factory=dict)


def _values(
    encoder: Mapping[str, Any],
    *,
    batch: int,
    steps: int,
    optimizer: Mapping[str, Any],
    head: Mapping[str, Any] | None,
) -> dict[str, Any]:
    heads = [{"name": "next_sentence", "inner_dim": None, **head}] if head is not None else []
    return {
        "task": {
            "model": {"encoder": {"vocab_size": None, **encoder}, "cls_heads": heads},
            "train_data": {"global_batch_size": batch},
            "validation_data": {"global_batch_size": batch},
        },
        "trainer": {"train_steps": steps, "optimizer": optimizer},
    }


def _bert(size: str, source: str, *, layers: int, hidden: int, heads: int) -> Experiment:
    """BERT with the recipe of Devlin et al., 2019: 1M steps of 256 examples."""
    encoder = {
        "num_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
    }
    optimizer = {"type": "adamw", "learning_rate": 1e-4, "warmup_steps": 10_000}
    return Experiment(
        f"BERT-{size}, {layers} layers of {hidden} ({source})",
        _values(encoder, batch=256, steps=1_000_000, optimizer=optimizer, head={"dropout_rate": 0.1}),
        {"pairing": "next-sentence"},
    )


_BASE = {"num_layers": 12, "hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
_TURC, _DEVLIN = "Turc et al., 2019", "Devlin et al., 2019"

EXPERIMENTS: dict[str, Experiment] = {
    "bert-tiny": _bert("Tiny", _TURC, layers=2, hidden=128, heads=2),
    "bert-mini": _bert("Mini", _TURC, layers=4, hidden=256, heads=4),
    "bert-small": _bert("Small", _TURC, layers=4, hidden=512, heads=8),
    "bert-base": _bert("Base", _DEVLIN, layers=12, hidden=768, heads=12),
    "bert-large": _bert("Large", _DEVLIN, layers=24, hidden=1024, heads=16),
    "roberta-like": Experiment(
        "BERT-Base on sentences packed to the full length, masked anew in every epoch, without a next-sentence head"
        " (Liu et al., 2019)",
        _values(
            _BASE,
            batch=8192,
            steps=500_000,
            optimizer={
                "type": "adamw",
                "learning_rate": 6e-4,
                "warmup_steps": 24_000,
                "beta_2": 0.98,
                "epsilon": 1e-6,
                "gradient_clip_norm": 0.0,
            },
            head=None,
        ),
        {"pairing": "full-sentences", "masking": "dynamic"},
    ),
    "albert-like": Experiment(
        "ALBERT-Base: one block applied 12 times, embeddings of 128, sentence-order pairs, n-grams masked, LAMB"
        " (Lan et al., 2020)",
        _values(
            {"type": "albert", **_BASE},
            batch=4096,
            steps=125_000,
            optimizer={"type": "lamb", "learning_rate": 1.76e-3, "warmup_steps": 3125},
            head={"dropout_rate": 0.0},
        ),
        {"pairing": "sentence-order", "masking_unit": "ngram"},
    ),
}


def build_experiment(name: str, manifest: Manifest) -> ExperimentConfig:
    """The configuration that a name stands for, fitted to a corpus.

    The next-sentence head is left out where the corpus has no such labels; positions reach at least as far as
    the corpus's examples.

    Args:
        name: a key of `EXPERIMENTS`.
        manifest: the corpus's.

    Raises:
        ConfigError: if there is no experiment of that name.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(f"There is no experiment {name}", do=f"The experiments are: {', '.join(EXPERIMENTS)}")
    config = from_dict(ExperimentConfig, EXPERIMENTS[name].values)
    model = config.task.model
    encoder, positions = model.encoder, model.encoder.max_position_embeddings
    if positions is not None:
        positions = max(positions, manifest.spec.max_seq_length)
        encoder = dataclasses.replace(encoder, max_position_embeddings=positions)
    model = dataclasses.replace(
        model,
        encoder=encoder,
        cls_heads=model.cls_heads if manifest.spec.next_sentence else (),
    )
    return dataclasses.replace(config, task=dataclasses.replace(config.task, model=model))


def differing_corpus_options(name: str, manifest: Manifest) -> list[str]:
    """In which options the corpus is another one than the experiment was published with, as sentences."""
    return [
        f"{name} was published with a corpus of --{option.replace('_', '-')} {value}; this one has {found}"
        for option, value in EXPERIMENTS[name].corpus.items()
        if (found := manifest.options.get(option)) is not None and found != value
    ]
