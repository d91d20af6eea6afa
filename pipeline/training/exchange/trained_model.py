"""A trained model with all that is needed to use it."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline import files
from pipeline.errors import InputError
from pipeline.tokenizers import Tokenizer, load_tokenizer
from pipeline.training.bert import PretrainerConfig, build_pretrainer
from pipeline.training.configs import DataConfig, MaskedLMConfig
from pipeline.training.finite import check_model
from pipeline.training.run_folder import RunFolder


@dataclass(frozen=True)
class TrainedModel:
    """A model, its configuration and its tokenizer.

    Attributes:
        model: a `BertPretrainerV2`.
        config: the configuration that it was built by.
        tokenizer: text to its ids.
        vocabulary: the bytes of the tokenizer's file.
        evaluated_on: of a run, how it reads what it evaluates on: its seed, and how it draws masks.
        architecture: Hugging Face's model_type of what it is, or was trained from; None where there is none.
    """

    model: Any
    config: PretrainerConfig
    tokenizer: Tokenizer
    vocabulary: bytes
    evaluated_on: DataConfig = DataConfig(is_training=False)
    architecture: str | None = None


class FinishedRun(NamedTuple):
    """A finished run, without its weights.

    Attributes:
        config: of its task.
        tokenizer: text to its ids.
        vocabulary: the bytes of the tokenizer's file.
        architecture: Hugging Face's model_type of what it was trained from; None where there is none.
    """

    config: MaskedLMConfig
    tokenizer: Tokenizer
    vocabulary: bytes
    architecture: str | None


def describe_run(run_dir: str) -> FinishedRun:
    """What a finished run has trained, without loading the model.

    Raises:
        InputError: if there is no run, or it is not finished, or damaged.
    """
    folder = RunFolder(run_dir)
    description = folder.tokenizer()
    tokenizer = load_tokenizer(description, run_dir)
    if not files.exists(folder.model):
        raise InputError(
            f"{run_dir} must hold a trained model, {folder.model}",
            do="Run the pretrain command again: it continues where it stopped",
        )
    vocabulary = files.read(files.join(run_dir, description.vocab_file))
    return FinishedRun(folder.held_config().task, tokenizer, vocabulary, folder.architecture())


def load_run(run_dir: str) -> TrainedModel:
    """The model of a finished run.

    Raises:
        InputError: if there is no run, or it is not finished, or damaged, or its weights are NaN or infinite.
    """
    run, path = describe_run(run_dir), RunFolder(run_dir).model
    # Built anew rather than loaded with its weights: it then computes in float32, however it was trained.
    model = build_pretrainer(run.config.model)
    _load_weights(model, path)
    check_model(model, path)
    return TrainedModel(
        model=model,
        config=run.config.model,
        tokenizer=run.tokenizer,
        vocabulary=run.vocabulary,
        evaluated_on=run.config.validation_data,
        architecture=run.architecture,
    )


def _load_weights(model: Any, path: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} in it has another checksum")
        model.load_weights(path)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} must be the whole model of the run",
            received=str(error).strip().partition("\n")[0][:300],
            do="Remove it and run the pretrain command again: it is written again from the last checkpoint",
        ) from error
