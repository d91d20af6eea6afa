"""Configurations by the names of published models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError
from pipeline.manifest import Manifest
from pipeline.training.configs import ExperimentConfig
from pipeline.training.published import EXPERIMENTS


def build_experiment(name: str, manifest: Manifest, *later: Manifest) -> ExperimentConfig:
    """The configuration that a name stands for, fitted to a corpus; see `fit_to_corpus`.

    Args:
        name: a key of `EXPERIMENTS`.
        manifest: the corpus's.
        later: those of the corpora of later stages.

    Raises:
        ConfigError: if there is no experiment of that name.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(f"There is no experiment {name}", do=f"The experiments are: {', '.join(EXPERIMENTS)}")
    return fit_to_corpus(EXPERIMENTS[name].values, manifest, *later)


def fit_to_corpus(values: Mapping[str, Any], manifest: Manifest, *later: Manifest) -> ExperimentConfig:
    """The configuration of these values, fitted to a corpus.

    The next-sentence head is left out where the corpus has no such labels, the share of predictions where it holds its
    masks already; positions reach at least as far as the examples of all stages.

    Args:
        values: as a YAML file has them.
        manifest: the corpus's.
        later: those of the corpora of later stages.

    Raises:
        ConfigError: if a value is not possible.
    """
    config = from_dict(ExperimentConfig, values)
    model = config.task.model
    encoder, positions = model.encoder, model.encoder.max_position_embeddings
    if positions is not None:
        positions = max(positions, *(read.spec.max_seq_length for read in (manifest, *later)))
        encoder = dataclasses.replace(encoder, max_position_embeddings=positions)
    model = dataclasses.replace(
        model,
        encoder=encoder,
        cls_heads=model.cls_heads if manifest.spec.next_sentence else (),
    )
    data = config.task.train_data
    if any(read.spec.masked for read in (manifest, *later)):
        data = dataclasses.replace(data, masked_lm_prob=None, final_masked_lm_prob=None)
    return dataclasses.replace(config, task=dataclasses.replace(config.task, model=model, train_data=data))


def differing_corpus_options(name: str, manifest: Manifest) -> list[str]:
    """In which options the corpus is another one than the experiment was published with, as sentences."""
    return [
        f"{name} was published with a corpus of --{option.replace('_', '-')} {value}; this one has {found}"
        for option, value in EXPERIMENTS[name].corpus.items()
        if (found := manifest.options.get(option)) is not None and found != value
    ]
