"""Loads trained models from any source."""

from __future__ import annotations

import dataclasses

from pipeline import files
from pipeline.errors import InputError
from pipeline.training.bert import build_pretrainer
from pipeline.training.exchange.start import read_source, start_from
from pipeline.training.exchange.trained_model import TrainedModel, describe_checkpoint, load_checkpoint, load_run
from pipeline.training.exchange.vocabularies import read_tokenizer
from pipeline.training.exchange.vocabulary_rows import VocabularyRows
from pipeline.training.run_folder import ORIGIN


def load_trained(path: str) -> TrainedModel:
    """Loads a model with its tokenizer.

    Args:
        path: the directory of a finished run, a checkpoint of a run (RUN/checkpoints/step-N), or any other model with a
            vocabulary that `read_source` reads.

    Raises:
        InputError: if there is no model, or it lacks a vocabulary or a masked-LM head.
    """
    if files.exists(files.join(path, ORIGIN)):
        return load_run(path)
    if (checkpoint := describe_checkpoint(path)) is not None:
        return load_checkpoint(path, checkpoint)
    source = read_source(path)
    tokenizer = read_tokenizer(source)
    if tokenizer is None or source.vocabulary is None:
        raise InputError(f"The model {path} has no vocabulary", do="Copy its vocab.txt to the same directory")
    # The table may have padding rows after the vocabulary.
    rows = VocabularyRows(source.config.encoder.vocab_size or tokenizer.vocab_size, tokenizer.vocab_size)
    encoder = dataclasses.replace(source.config.encoder, vocab_size=tokenizer.vocab_size)
    config = dataclasses.replace(source.config, encoder=encoder)
    model = build_pretrainer(config)
    names = [slot.name for slot in source.family.slots(model)]
    lacking = [name for name in names if name.startswith(source.family.mlm_head) and name not in source.weights]
    if lacking:
        raise InputError(f"The model {path} has no complete masked-LM head", received=f"no {', '.join(lacking)}")
    start_from(model, source, rows)
    return TrainedModel(model, config, tokenizer, source.vocabulary, architecture=source.architecture)
