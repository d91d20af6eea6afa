"""A trained model as a Hugging Face folder, checked before it is there."""

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
TOLERANCE = 1e-4  # Of logits: largest difference between the model and what was exported.
_INPUTS = {"input_ids": "input_word_ids", "attention_mask": "input_mask", "token_type_ids": "input_type_ids"}


class FolderDescription(NamedTuple):
    """What a Hugging Face folder says of a model, without its weights.

    Attributes:
        family: what reads it.
        config: what config.json holds.
        tokenizer_files: the tokenizer's files, by their names.
    """

    family: Family
    config: dict[str, Any]
    tokenizer_files: dict[str, bytes]


def describe_folder(
    model: PretrainerConfig, tokenizer: Tokenizer, vocabulary: bytes, architecture: str | None
) -> FolderDescription:
    """What a model's Hugging Face folder will say of it.

    Args:
        model: the model's configuration, the size of its vocabulary included.
        tokenizer: its tokenizer.
        vocabulary: the bytes of the tokenizer's file.
        architecture: a key of `FAMILIES`; None for that of the encoder's type.

    Raises:
        ConfigError: if that family has no such model, or Hugging Face no such tokenizer.
    """
    model, family = model.with_head(), family_of_encoder(model.encoder, architecture)
    config = family.to_config(model, tokenizer.special_ids)
    # Not what config.json says: RoBERTa counts positions in another way.
    longest = model.encoder.max_position_embeddings or config["max_position_embeddings"]
    written = tokenizer_files(tokenizer, vocabulary, max_length=longest)
    if model.encoder.type_vocab_size in (None, 1):
        settings = json.loads(written[_TOKENIZER_CONFIG])
        # Otherwise a tokenizer gives types of segments, which such a model does not take, or only zeros of.
        settings["model_input_names"] = ["input_ids", "attention_mask"]
        written[_TOKENIZER_CONFIG] = (json.dumps(settings, indent=1, ensure_ascii=False) + "\n").encode()
    return FolderDescription(family, config, written)


def export_huggingface(
    trained: TrainedModel, output: str, *, architecture: str | None = None, python: str | None = None
) -> dict[str, float]:
    """Writes what `AutoModelForMaskedLM.from_pretrained` and `AutoTokenizer.from_pretrained` load.

    With a next-sentence head it is a `BertForPreTraining`, or the like. The files are read again and computed with in
    numpy, after Hugging Face's architecture, and with transformers itself where there is one; the folder appears only
    if the logits agree with the model's.

    Args:
        trained: the model.
        output: the folder, which must not be there yet, or be empty.
        architecture: a key of `FAMILIES`; by default that of the model that training started from, or else that of the
            encoder's type.
        python: an interpreter that has transformers and torch; by default this one, if it has.

    Returns:
        The largest difference of the logits, by what computed them: "numpy", "transformers".

    Raises:
        ConfigError: if that family has no such model, or Hugging Face no such tokenizer.
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
    """Compares the logits of a folder's model with those of ours, on random sequences.

    Args:
        folder: a Hugging Face folder.
        model: the `BertPretrainerV2` that it was made from.
        python: as with `export_huggingface`.

    Returns:
        The largest difference, by what computed the folder's logits.

    Raises:
        OutputError: if it is more than `TOLERANCE`.
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
        if not differences[name] <= TOLERANCE:  # NaN is no agreement either.
            raise OutputError(
                f"The exported model's logits, computed with {name}, must agree with the trained model's to"
                f" {TOLERANCE}",
                received=f"a difference of {differences[name]:.3g}",
                do="Nothing was exported. If the model's weights are finite numbers, this is a fault of this program",
            )
    return differences


def _transformers_logits(
    folder: str, batch: dict[str, np.ndarray], positions: np.ndarray, python: str
) -> dict[str, np.ndarray]:
    """What transformers computes, in a process of its own: see `transformers_check`."""
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
                "--verify-with must name a Python interpreter", received=f"{python}: {error.strerror or error}"
            ) from error
        if done.returncode:
            raise OutputError(
                f"transformers must be able to load the exported model, in {python}",
                received=" ".join(done.stderr.split())[-500:],
                do="Nothing was exported. Check that this Python has transformers and torch",
            )
        return dict(np.load(outputs))
