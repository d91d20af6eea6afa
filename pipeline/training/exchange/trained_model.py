"""Trained models with what is needed to use them."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline import files
from pipeline.errors import InputError
from pipeline.tokenizers import Tokenizer, load_tokenizer
from pipeline.training.bert import PretrainerConfig, build_pretrainer
from pipeline.training.configs import DataConfig, MaskedLMConfig, parse_checkpoint
from pipeline.training.finite import check_model
from pipeline.training.run_folder import ORIGIN, RunFolder


@dataclass(frozen=True)
class TrainedModel:
    """A model, its configuration and its tokenizer.

    Attributes:
        model: a `BertPretrainerV2`.
        config: its configuration.
        tokenizer: its tokenizer.
        vocabulary: the bytes of the tokenizer's file.
        evaluated_on: how a run reads its validation data: the seed, and how masks are drawn.
        architecture: Hugging Face's model_type of the model, or of the one that its training started from; None if
            there is none.
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
        config: the configuration of its task.
        tokenizer: its tokenizer.
        vocabulary: the bytes of the tokenizer's file.
        architecture: Hugging Face's model_type of the model that training started from; None if there is none.
    """

    config: MaskedLMConfig
    tokenizer: Tokenizer
    vocabulary: bytes
    architecture: str | None


def describe_run(run_dir: str) -> FinishedRun:
    """Describes a finished run, without loading its model.

    Raises:
        InputError: if there is no run, or it is unfinished or damaged.
    """
    folder = RunFolder(run_dir)
    description = folder.tokenizer()
    tokenizer = load_tokenizer(description, run_dir)
    if not files.exists(folder.model):
        raise InputError(
            f"No trained model in {run_dir}: {folder.model} does not exist",
            received="a run that is not finished" if (saved := folder.checkpoint_steps()) else None,
            do="Run the pretrain command again: it continues where it stopped"
            + (f". Or use its last checkpoint: {files.join(folder.checkpoints, f'step-{saved[-1]}')}" if saved else ""),
        )
    vocabulary = files.read(files.join(run_dir, description.vocab_file))
    return FinishedRun(folder.held_config().task, tokenizer, vocabulary, folder.architecture())


def load_run(run_dir: str) -> TrainedModel:
    """Loads the model of a finished run.

    Raises:
        InputError: if there is no run, it is unfinished or damaged, or its weights are NaN or infinite.
    """
    run, path = describe_run(run_dir), RunFolder(run_dir).model
    # Built from its configuration instead of loaded whole, so that it computes in float32 even after mixed precision.
    model = build_pretrainer(run.config.model)
    _load_weights(model, path)
    check_model(model, path)
    return _trained(model, run)


def describe_checkpoint(path: str) -> FinishedRun | None:
    """Describes the run of a checkpoint, finished or not, without loading the model.

    Args:
        path: RUN/checkpoints/step-N.

    Returns:
        The run; None if the path is not a checkpoint of a run.

    Raises:
        InputError: if there is no such run or checkpoint, or it is damaged.
    """
    named = parse_checkpoint(path.rstrip("/"))
    if named is None or not files.exists(files.join(named[0], ORIGIN)):
        return None
    run_dir, step = named
    folder = RunFolder(run_dir)
    if step not in (saved := folder.checkpoint_steps()):
        raise InputError(
            f"{run_dir} has no checkpoint of step {step:,}",
            received=", ".join(f"step-{found}" for found in saved) or "none",
            do="Choose one of these: a run keeps only the last trainer.max_to_keep checkpoints",
        )
    description = folder.tokenizer()
    tokenizer = load_tokenizer(description, run_dir)
    vocabulary = files.read(files.join(run_dir, description.vocab_file))
    return FinishedRun(folder.held_config().task, tokenizer, vocabulary, folder.architecture())


def load_checkpoint(path: str, run: FinishedRun) -> TrainedModel:
    """Loads the model of a run's checkpoint, with averaged weights if the run averages them.

    Args:
        path: RUN/checkpoints/step-N.
        run: what `describe_checkpoint` returned for it.

    Raises:
        InputError: if it is damaged, or its weights are NaN or infinite.
    """
    from pipeline.training.exchange.own_checkpoint import start_from_own

    model = build_pretrainer(run.config.model)
    if start_from_own(model, path.rstrip("/")) is None:
        raise InputError(
            f"{path} is not a complete checkpoint of a run", do="Choose another one, or copy its files again"
        )
    return _trained(model, run)


def _trained(model: Any, run: FinishedRun) -> TrainedModel:
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
            raise zipfile.BadZipFile(f"the checksum of {damaged} in it is wrong")
        model.load_weights(path)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} is damaged, or is not the model of this run",
            received=str(error).strip().partition("\n")[0][:300],
            do="Remove it and run the pretrain command again, which writes it from the last checkpoint",
        ) from error
