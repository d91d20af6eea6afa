"""Exports a trained model as a Hugging Face folder, and verifies it first."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

import numpy as np

from pipeline import files
from pipeline.errors import ConfigError, OutputError
from pipeline.tokenizers import Tokenizer
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange import transformers_check
from pipeline.training.exchange.families.base import Family
from pipeline.training.exchange.families.registry import family_of_config, family_of_encoder
from pipeline.training.exchange.hf_tokenizer import tokenizer_files, write_tokenizer
from pipeline.training.exchange.output_folder import new_folder
from pipeline.training.exchange.random_inputs import random_inputs
from pipeline.training.exchange.safetensors_file import read_safetensors, write_safetensors
from pipeline.training.exchange.trained_model import TrainedModel
from pipeline.training.exchange.weights import read_weights

_TOKENIZER_CONFIG = "tokenizer_config.json"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
TOLERANCE = 1e-4  # Largest difference between the logits of the model and of the export.
_INPUTS = {"input_ids": "input_word_ids", "attention_mask": "input_mask", "token_type_ids": "input_type_ids"}


class FolderDescription(NamedTuple):
    """The contents of a Hugging Face folder, except the weights.

    Attributes:
        family: the family of the model.
        config: the contents of config.json.
        tokenizer_files: the tokenizer's files, by name.
    """

    family: Family
    config: dict[str, Any]
    tokenizer_files: dict[str, bytes]


def describe_folder(
    model: PretrainerConfig, tokenizer: Tokenizer, vocabulary: bytes, architecture: str | None
) -> FolderDescription:
    """Describes the Hugging Face folder that a model will be exported to.

    Args:
        model: the model's configuration, including the size of its vocabulary.
        tokenizer: its tokenizer.
        vocabulary: the bytes of the tokenizer's file.
        architecture: a key of `FAMILIES`; None for that of the encoder's type.

    Raises:
        ConfigError: if the family cannot represent the model, or Hugging Face has no equivalent tokenizer.
    """
    model, family = model.with_head(), family_of_encoder(model.encoder, architecture)
    config = family.to_config(model, tokenizer.special_ids)
    # Not the value in config.json: RoBERTa counts positions differently.
    longest = model.encoder.max_position_embeddings or config["max_position_embeddings"]
    written = tokenizer_files(tokenizer, vocabulary, max_length=longest)
    if model.encoder.type_vocab_size in (None, 1):
        settings = json.loads(written[_TOKENIZER_CONFIG])
        # Otherwise, a tokenizer returns segment types, which such a model does not take, or only as zeros.
        settings["model_input_names"] = ["input_ids", "attention_mask"]
        written[_TOKENIZER_CONFIG] = (json.dumps(settings, indent=1, ensure_ascii=False) + "\n").encode()
    return FolderDescription(family, config, written)


def export_huggingface(
    trained: TrainedModel, output: str, *, architecture: str | None = None, python: str | None = None
) -> dict[str, float]:
    """Writes a folder that `AutoModelForMaskedLM.from_pretrained` and `AutoTokenizer.from_pretrained` load.

    A model with a next-sentence head becomes a `BertForPreTraining` or its equivalent. The files are read again, and
    the logits are computed from them in numpy, following Hugging Face's architecture, and with transformers, if it is
    installed. The folder appears only if these agree with the model's logits.

    Args:
        trained: the model.
        output: the folder, which must not exist, or be empty.
        architecture: a key of `FAMILIES`; by default that of the model that training started from, or that of the
            encoder's type.
        python: a Python interpreter with transformers and torch; by default this one, if it has them.

    Returns:
        The largest difference between logits, by implementation: "numpy", "transformers".

    Raises:
        ConfigError: if the family cannot represent the model, or Hugging Face has no equivalent tokenizer.
        OutputError: if the folder cannot be written, or the logits differ.
    """
    described = describe_folder(
        trained.config, trained.tokenizer, trained.vocabulary, architecture or trained.architecture
    )
    family, config = described.family, described.config
    weights = family.to_files(read_weights(family, trained.model), config)
    with new_folder(output) as folder:
        text = json.dumps(config, indent=2) + "\n"
        files.write_atomically(files.join(folder, CONFIG), text.encode())
        write_safetensors(files.join(folder, WEIGHTS), weights, {"format": "pt"})
        write_tokenizer(described.tokenizer_files, folder)
        return verify(folder, trained.model, python=python)


def verify(folder: str, model: Any, *, python: str | None = None) -> dict[str, float]:
    """Compares the logits of an exported folder with those of the original model, on random sequences.

    Args:
        folder: a Hugging Face folder.
        model: the original `BertPretrainerV2`.
        python: as in `export_huggingface`.

    Returns:
        The largest difference, by implementation.

    Raises:
        OutputError: if a difference exceeds `TOLERANCE`.
    """
    config = json.loads(files.read(files.join(folder, CONFIG)))
    inputs = random_inputs(model, without=config["pad_token_id"])
    ours = model(inputs, training=False)
    batch = {theirs: inputs[name] for theirs, name in _INPUTS.items() if name in inputs}
    positions = inputs["masked_lm_positions"]
    expected = {"prediction_logits": np.asarray(ours["mlm_logits"])}
    if "next_sentence" in ours:
        expected["seq_relationship_logits"] = np.asarray(ours["next_sentence"])
    weights = read_safetensors(files.join(folder, WEIGHTS))
    family = family_of_config(config, source=files.join(folder, CONFIG))
    computed = {"numpy": family.compute(config, weights, batch, positions)}
    if python is None and importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
        python = sys.executable
    if python is not None:
        computed["transformers"] = _transformers_logits(folder, batch, positions, python)
    differences = {}
    for name, outputs in computed.items():
        differences[name] = max(float(np.abs(outputs[key] - value).max()) for key, value in expected.items())
        if not differences[name] <= TOLERANCE:  # Also true for NaN.
            raise OutputError(
                f"The exported model's logits, computed with {name}, differ from the trained model's by more than"
                f" {TOLERANCE}",
                received=f"a difference of {differences[name]:.3g}",
                do="Nothing was exported. If the model's weights are finite, this is a bug in this program",
            )
    return differences


def _transformers_logits(
    folder: str, batch: dict[str, np.ndarray], positions: np.ndarray, python: str
) -> dict[str, np.ndarray]:
    """Computes the logits with transformers, in a separate process; see `transformers_check`."""
    with tempfile.TemporaryDirectory() as place:
        inputs, outputs = os.path.join(place, "batch.npz"), os.path.join(place, "logits.npz")
        arrays: dict[str, Any] = {**batch, "positions": positions}
        np.savez(inputs, **{name: value.astype(np.int64) for name, value in arrays.items()})
        try:
            done = subprocess.run(
                [python, transformers_check.__file__, folder, inputs, outputs],
                capture_output=True,
                text=True,
                cwd=place,
            )
        except OSError as error:
            raise ConfigError(
                "--verify-with is not a Python interpreter", received=f"{python}: {error.strerror or error}"
            ) from error
        if done.returncode:
            raise OutputError(
                f"transformers cannot load the exported model, in {python}",
                received=" ".join(done.stderr.split())[-500:],
                do="Nothing was exported. Check that transformers and torch are installed for this Python",
            )
        return dict(np.load(outputs))
