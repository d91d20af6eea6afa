"""A trained model to use, wherever it came from."""

from __future__ import annotations

from pipeline import files
from pipeline.errors import InputError
from pipeline.tokenizers import make_tokenizer, special_beside
from pipeline.training.bert import build_pretrainer
from pipeline.training.exchange.start import read_source, start_from
from pipeline.training.exchange.trained_model import TrainedModel, load_run
from pipeline.training.run_folder import ORIGIN


def load_trained(path: str) -> TrainedModel:
    """Loads a model with its tokenizer.

    Args:
        path: the directory of a finished run, or anything else that `read_source` reads and that has a vocabulary.

    Raises:
        InputError: if there is no model, or it lacks a vocabulary or a masked-LM head.
    """
    if files.exists(files.join(path, ORIGIN)):
        return load_run(path)
    source = read_source(path)
    if source.vocabulary is None:
        raise InputError(f"Beside the model of {path} must lie its vocab.txt", do="Copy it there")
    model = build_pretrainer(source.config)
    names = [slot.name for slot in source.family.slots(model)]
    lacking = [name for name in names if name.startswith(source.family.mlm_head) and name not in source.weights]
    if lacking:
        raise InputError(f"{path} must hold a masked-LM head", received=f"no {', '.join(lacking)}")
    start_from(model, source)
    tokenizer = make_tokenizer(
        source.vocabulary,
        name=f"the vocabulary of {path}",
        lower_case=source.lower_case,
        special=special_beside(files.join(path, "tokenizer.json")),
    )
    if tokenizer.vocab_size != source.config.encoder.vocab_size:
        raise InputError(
            f"The vocabulary of {path} must have the model's {source.config.encoder.vocab_size:,} entries",
            received=f"{tokenizer.vocab_size:,}",
        )
    return TrainedModel(model, source.config, tokenizer, source.vocabulary, architecture=source.architecture)
