"""Starts training from an existing model: one of another project, or of a run."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pipeline import files
from pipeline.config.tree import merged, parse_overrides, to_dict
from pipeline.errors import ConfigError, InputError
from pipeline.hub import fetch, is_hub_name
from pipeline.manifest import TokenizerDescription
from pipeline.training.bert import PretrainerConfig
from pipeline.training.encoders import EncoderConfig
from pipeline.training.exchange.families.registry import family_of_encoder
from pipeline.training.exchange.hf_import import CONFIG, read_huggingface
from pipeline.training.exchange.positions import describe_positions, extends_positions, longer_table, scaled_rotary
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.tf_checkpoint import find_checkpoint, read_checkpoint
from pipeline.training.exchange.trained_model import (
    FinishedRun,
    describe_checkpoint,
    describe_run,
    load_checkpoint,
    load_run,
)
from pipeline.training.exchange.vocabularies import check_size, compare_vocabulary, read_tokenizer
from pipeline.training.exchange.vocabulary_rows import VocabularyRows
from pipeline.training.exchange.weights import SHAPE_ADVICE, assign_weights, read_weights, use_trained_pooler
from pipeline.training.run_folder import ORIGIN, RunFolder

logger = logging.getLogger(__name__)

# Options that may differ from those of the model that training starts from.
_FREE: dict[str, Any] = {
    "vocab_size": None,  # That of the corpus, checked with the vocabulary.
    "dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
    "initializer_range": 0.0,
    "return_all_encoder_outputs": False,
}


class Started(NamedTuple):
    """The result of starting from a model.

    Attributes:
        description: where the weights come from, which remain random, and which are not used, as text.
        lacked: the paths of the model's variables that remain random.
    """

    description: str
    lacked: tuple[str, ...]


def read_source(path: str) -> SourceModel:
    """Reads the description of a model in any supported format; its weights are read when they are first used.

    Args:
        path: a run's directory, or one of its checkpoints, RUN/checkpoints/step-N; a Hugging Face folder; a TensorFlow
            checkpoint of google-research/bert or tensorflow/models (its prefix or its directory); or a model of the
            Hugging Face hub, owner/name or owner/name@revision, which is downloaded.

    Raises:
        InputError: if it is none of these, or cannot be read.
        ConfigError: if it is a model of the hub and `huggingface_hub` is not installed.
    """
    if files.exists(files.join(path, ORIGIN)):
        return _source_of(path, describe_run(path), lambda: load_run(path).model)
    if (checkpoint := describe_checkpoint(path)) is not None:
        return _source_of(path, checkpoint, lambda: load_checkpoint(path, checkpoint).model)
    if files.exists(files.join(path, CONFIG)):
        return read_huggingface(path)
    prefix = find_checkpoint(path)
    if prefix is not None:
        return read_checkpoint(prefix)
    if is_hub_name(path):
        found = fetch(path)
        return dataclasses.replace(read_huggingface(found.folder), path=found.name)
    names = files.list_names(path)
    is_there = os.path.isdir(path)
    what = f"the directory contains {', '.join(names[:5]) or 'nothing'}" if is_there else "no such file or directory"
    raise InputError(
        f"No model found at {path}: {what}",
        do="Give a run's directory, a Hugging Face folder (config.json, model.safetensors), a TensorFlow checkpoint"
        " (the prefix of its .index file), or a model of the Hugging Face hub (owner/name)",
    )


def _source_of(path: str, run: FinishedRun, load: Callable[[], Any]) -> SourceModel:
    config = run.config.model
    return SourceModel(
        path=path,
        config=config,
        read_weights=lambda: read_weights(family_of_encoder(config.encoder, run.architecture), load()),
        architecture=run.architecture,
        vocabulary=run.vocabulary,
        lower_case=run.tokenizer.lower_case,
        special=run.tokenizer.special_ids,
        load_model=load,
    )


def fill_in_model(
    values: Mapping[str, Any], path: str, run_dir: str | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Fills in the options of the model from the one that training starts from.

    Options that the user has set are kept, and checked later. If they set a longer `max_position_embeddings`, rotary
    positions are scaled to it.

    Args:
        values: the options of an `ExperimentConfig`, as in YAML.
        path: what training starts from; see `read_source`.
        run_dir: the run's directory, if it may have begun: such a run contains its model's configuration, and the
            original model is no longer needed.
        overrides: options of the form `a.b=c` that are applied to the result later, and count as set by the user.

    Returns:
        The options. The name of a hub model includes its commit.

    Raises:
        InputError: if the model cannot be read.
        ConfigError: if an override does not have this form.
    """
    task = dict(values.get("task") or {})
    model = dict(task.get("model") or {})
    folder = RunFolder(run_dir) if run_dir is not None else None
    path = folder.start_as_held(path) if folder is not None else path
    begun = folder.begun_from(path) if folder is not None else None
    if begun is None:
        read = read_source(path)
        source, path = read.config, read.path if is_hub_name(path) else path
    else:
        source = begun
    derived = to_dict(source)
    stated = _stated_encoder(values, source)
    if begun is None:
        # That of the corpus, whose vocabulary may extend the model's; the model's table may be padded.
        derived["encoder"]["vocab_size"] = None
        later = _stated_encoder(merged(values, parse_overrides(overrides)), source)
        derived["encoder"] |= scaled_rotary(source.encoder, later.get("max_position_embeddings"))
    model["encoder"] = {**derived["encoder"], **stated}
    return {**values, "task": {**task, "model": {**derived, **model}, "init_checkpoint": path}}


def _stated_encoder(values: Mapping[str, Any], source: PretrainerConfig) -> Mapping[str, Any]:
    stated = ((values.get("task") or {}).get("model") or {}).get("encoder") or {}
    if isinstance(source.encoder, EncoderConfig):
        stated = EncoderConfig.canonical_values(stated, whole=False)  # type: ignore[attr-defined]
    return dict(stated)


def check_start(
    config: PretrainerConfig, tokenizer: TokenizerDescription, source: SourceModel, vocab_dir: str
) -> VocabularyRows | None:
    """Checks that a model and a corpus match the model that training starts from, and that its weights can be read.

    The corpus's vocabulary may extend that of the model; see `pipeline.tokenizers.growth`.

    Args:
        config: the configuration of the model to train.
        tokenizer: the corpus's tokenizer.
        source: the model that training starts from.
        vocab_dir: the directory of the corpus's vocabulary.

    Returns:
        How the rows of the model's vocabulary change, for `start_from`; None if the model has no vocabulary to compare
        with.

    Raises:
        CorpusError: if the vocabularies do not match.
        ConfigError: if the configurations do not match.
        InputError: if the weights cannot be read, or are NaN or infinite.
    """
    rows: VocabularyRows | None = None
    theirs = read_tokenizer(source)
    if theirs is not None:
        rows = compare_vocabulary(tokenizer, vocab_dir, theirs, source)
    else:
        check_size(tokenizer, source.config.encoder.vocab_size, source.path)
        logger.warning(
            f"note: {source.path} has no readable vocabulary: only its size was compared with that of the corpus"
        )
    stated, wanted = to_dict(_comparable(config)), to_dict(_comparable(source.config))
    if extends_positions(config, source.config):
        for name in ("max_position_embeddings", "rotary_theta"):
            wanted["encoder"].pop(name, None)
    differing = [
        f"{name} {stated['encoder'].get(name)!r} instead of {value!r}"
        for name, value in wanted["encoder"].items()
        if stated["encoder"].get(name) != value
    ]
    if stated["mlm_activation"] != wanted["mlm_activation"]:
        differing.append(f"mlm_activation {stated['mlm_activation']!r} instead of {wanted['mlm_activation']!r}")
    if differing:
        raise ConfigError(
            f"The model's configuration differs from that of {source.path}",
            received="; ".join(differing),
            do="Leave these options out: they are then taken from that model",
        )
    _ = source.model or source.weights  # Reads them before anything is written.
    return rows


def start_from(
    model: Any, source: SourceModel, rows: VocabularyRows | None = None, *, positions: str = "repeat"
) -> Started:
    """Sets a model's weights to those of `source`.

    Args:
        model: a `BertPretrainerV2`.
        source: the model that it starts from.
        rows: how the rows of the vocabulary change; None if the vocabulary is the same.
        positions: how a table of learned positions is made longer; see `longer_table`.

    Raises:
        InputError: if the shapes do not match, or weights of the encoder are missing.
    """
    rows = rows if rows is not None and rows.changes else None
    if source.model is not None:
        return _start_from_run(model, source.model, source.path, rows, positions)
    family, weights = source.family, source.weights
    if rows is not None:
        of_vocabulary = {name: rows.of(weights[name]) for name in family.vocabulary_rows if name in weights}
        weights = {**weights, **of_vocabulary}
    longer = ""
    name = f"{family.prefix}embeddings.position_embeddings.weight"
    if name in weights and (wanted := _positions(model)) is not None and wanted.shape[0] > len(weights[name]):
        longer = describe_positions(len(weights[name]), wanted.shape[0], positions)
        weights = {**weights, name: longer_table(weights[name], wanted.shape[0], positions)}
    assigned = assign_weights(family, model, weights, source=source.path)
    lacking = [name for name in assigned.missing if family.is_encoders(name)]
    if lacking:
        raise InputError(f"The encoder in {source.path} is incomplete", received=f"no {', '.join(lacking[:5])}")
    return Started(_describe(source.path, assigned.missing, assigned.unused, rows, longer), assigned.lacked)


def _start_from_run(model: Any, trained: Any, path: str, rows: VocabularyRows | None, positions: str) -> Started:
    """Copies the weights of a run's model by their paths, for any encoder."""
    use_trained_pooler(trained)
    held: dict[str, Any] = {weight.path: weight for weight in trained.weights}
    wanted = {weight.path: weight for weight in model.weights}
    if rows is not None:
        for weight in (trained.masked_lm.embedding_table, trained.masked_lm.bias):
            held[weight.path] = rows.of(np.asarray(weight))
    longer = ""
    table, places = _positions(trained), _positions(model)
    if table is not None and places is not None and places.shape[0] > table.shape[0]:
        longer = describe_positions(table.shape[0], places.shape[0], positions)
        held[table.path] = longer_table(np.asarray(table), places.shape[0], positions)
    shared = sorted(wanted.keys() & held.keys())
    for name in shared:
        if wanted[name].shape != held[name].shape:
            raise InputError(
                f"{name} of {path} must have the shape {tuple(wanted[name].shape)}, as in the model",
                received=tuple(held[name].shape),
                do=SHAPE_ADVICE,
            )
    for name in shared:
        wanted[name].assign(held[name])
    lacked, unused = sorted(wanted.keys() - held.keys()), sorted(held.keys() - wanted.keys())
    return Started(_describe(path, lacked, unused, rows, longer), tuple(lacked))


def _positions(model: Any) -> Any:
    """Returns a model's table of learned positions; None if it has none."""
    layer = getattr(model.encoder_network, "position_embedding", None)
    return getattr(layer, "embeddings", None)


def _describe(
    path: str, missing: Sequence[str], unused: Sequence[str], rows: VocabularyRows | None, longer: str
) -> str:
    words = [f"starting from {path}"]
    if rows is not None:
        words.append(rows.describe())
    if longer:
        words.append(longer)
    if missing:
        words.append(f"random at first: {', '.join(missing)}")
    if unused:
        words.append(f"not used: {', '.join(unused)}")
    return "; ".join(words)


def _comparable(config: PretrainerConfig) -> PretrainerConfig:
    """Returns a configuration without the options that may differ."""
    encoder = config.encoder
    same = {name: value for name, value in _FREE.items() if hasattr(encoder, name)}
    if isinstance(encoder, EncoderConfig):
        same["embedding_size"] = encoder.embedding_size or encoder.hidden_size
    return dataclasses.replace(config.with_head(), encoder=dataclasses.replace(encoder, **same))
