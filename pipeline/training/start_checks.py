"""What a run needs later on, looked at before its first step."""

from __future__ import annotations

import os
import shutil
from typing import Any

from pipeline.errors import ConfigError, CorpusError, InputError, OutputError
from pipeline.tokenizers import Tokenizer
from pipeline.training.bert import PretrainerConfig
from pipeline.training.configs import ExperimentConfig, TrainerConfig
from pipeline.training.corpora import Corpora
from pipeline.training.exchange.hf_export import describe_folder
from pipeline.training.run_folder import RunFolder

_FLOAT_BYTES = 4


def check_inputs(config: ExperimentConfig, corpora: Corpora, replicas: int) -> None:
    """Makes sure that there are batches to train and to evaluate on.

    Args:
        config: the experiment, resolved.
        corpora: what it is trained on.
        replicas: devices that share a batch.

    Raises:
        ConfigError: if a batch cannot be divided among devices and parts, or is never full.
        CorpusError: if the shards are not what the manifest or the configuration says.
    """
    # Imported here: TensorFlow comes with it.
    from pipeline.training.data.loader import build_dataset

    parts = config.trainer.accumulation_steps or 1
    for name, split, divisor in (
        ("train_data", "train", replicas * parts),
        ("validation_data", "validation", replicas),
    ):
        data = getattr(config.task, name)
        for option, size in data.named_batch_sizes().items():
            if size % divisor:
                raise ConfigError(
                    f"task.{name}.{option} must be a multiple of {divisor},"
                    f" for {replicas} devices" + (f" and {parts} parts" if divisor > replicas else ""),
                    received=size,
                )
        if split == "validation" and not corpora.has_validation():
            continue
        for stage in corpora.stages if split == "train" else corpora.stages[-1:]:
            for directory, manifest in zip(stage.directories, stage.manifests, strict=True):
                shards = manifest.split(split)
                if manifest.spec.masked and shards and not sum(shard.predictions for shard in shards):
                    raise CorpusError(f"The {split} examples of {directory} must contain predictions", received="none")
        build_dataset(data)


def check_example(config: ExperimentConfig, tokenizer: Tokenizer) -> None:
    """Makes sure that there is a sentence to fill in the end.

    Raises:
        ConfigError: if it has no mask, or is longer than the model's sequences.
    """
    from pipeline.training.evaluation.predict import encode_with_masks

    text, limit = config.trainer.example, config.task.model.encoder.max_position_embeddings
    advice = "Set trainer.example to a sentence of the corpus's language with a [MASK] in it"
    try:
        ids, _ = encode_with_masks(tokenizer, text)
    except InputError as error:
        raise ConfigError("trainer.example must contain at least one [MASK]", received=repr(text), do=advice) from error
    if limit is not None and len(ids) > limit:
        raise ConfigError(
            f"trainer.example must have at most the model's {limit} tokens, including special tokens",
            received=f"{len(ids)} tokens",
            do=advice,
        )


def export_notes(
    model: PretrainerConfig, tokenizer: Tokenizer, vocabulary: bytes, architecture: str | None = None
) -> list[str]:
    """Into which formats a model cannot be exported, and why: a sentence for each.

    Args:
        model: the model's configuration, resolved.
        tokenizer: the corpus's.
        vocabulary: the bytes of its file.
        architecture: Hugging Face's model_type of what training started from; None where there is none.
    """
    try:
        describe_folder(model, tokenizer, vocabulary, architecture)
    except ConfigError as error:
        return [f"export --format huggingface will refuse this model. {error}"]
    return []


def check_space(folder: RunFolder, config: TrainerConfig, model: Any) -> None:
    """Makes sure that the checkpoints and the model fit on the disk.

    Raises:
        OutputError: if they do not.
    """
    weights = _FLOAT_BYTES * model.count_params()
    # An old checkpoint goes when the new one is there. Each holds the weights and two moments of them, and
    # their average if one is kept.
    copies = 3 if config.optimizer.ema_decay is None else 4
    kept = min(config.max_to_keep, config.train_steps // config.checkpoint_interval) + 1
    needed = weights * (copies * kept + 2 + 1)  # The best weights, old and new, and the model.
    held = sum(os.path.getsize(os.path.join(place, name)) for place, _, names in os.walk(folder.path) for name in names)
    free = shutil.disk_usage(folder.path).free
    if held + free < needed:
        raise OutputError(
            f"{folder.path} needs {needed / 1e6:,.0f} MB for {kept} checkpoints, the best weights and the model",
            received=f"{free / 1e6:,.0f} MB of free space",
            do="Free some space, lower trainer.max_to_keep, or choose another directory",
        )
