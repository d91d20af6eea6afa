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
from pipeline.training.configs import DataConfig, MaskedLMConfig, parse_checkpoint
from pipeline.training.finite import check_model
from pipeline.training.run_folder import ORIGIN, RunFolder


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
            received="a run that is not finished" if (saved := folder.checkpoint_steps()) else None,
            do="Run the pretrain command again: it continues where it stopped"
            + (
                f". Or name its last checkpoint instead: {files.join(folder.checkpoints, f'step-{saved[-1]}')}"
                if saved
                else ""
            ),
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
    return _trained(model, run)


def describe_checkpoint(path: str) -> FinishedRun | None:
    """What the run of a checkpoint trains, finished or not, without loading the model.

    Args:
        path: RUN/checkpoints/step-N.

    Returns:
        The run; None if the path names no checkpoint of a run.

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
            f"{run_dir} must hold the checkpoint of step {step:,}",
            received=", ".join(f"step-{found}" for found in saved) or "none",
            do="Choose one that is there: a run keeps its last trainer.max_to_keep",
        )
    description = folder.tokenizer()
    tokenizer = load_tokenizer(description, run_dir)
    vocabulary = files.read(files.join(run_dir, description.vocab_file))
    return FinishedRun(folder.held_config().task, tokenizer, vocabulary, folder.architecture())


def load_checkpoint(path: str, run: FinishedRun) -> TrainedModel:
    """The model of a checkpoint of a run; of a run that keeps averages of its weights, with these.

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
            f"{path} must be a whole checkpoint of a run", do="Choose another one, or copy its files again"
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
            raise zipfile.BadZipFile(f"{damaged} in it has another checksum")
        model.load_weights(path)
    except (zipfile.BadZipFile, zlib.error, OSError, KeyError, ValueError) as error:
        raise InputError(
            f"{path} must be the whole model of the run",
            received=str(error).strip().partition("\n")[0][:300],
            do="Remove it and run the pretrain command again: it is written again from the last checkpoint",
        ) from error
