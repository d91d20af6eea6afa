"""Reading a Hugging Face folder."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline import files
from pipeline.errors import InputError
from pipeline.tokenizers.casing import stated_casing
from pipeline.training.exchange.hf_config import from_hf_config
from pipeline.training.exchange.safetensors_file import read_safetensors, tensor_names
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.weights import MLM_HEAD, SEQ_RELATIONSHIP

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
_TOKENIZER = "tokenizer.json"
_VOCABULARIES = ("vocab.txt", "spm.model", "spiece.model")
_DECODER = f"{MLM_HEAD}.decoder"


def read_huggingface(folder: str) -> SourceModel:
    """The model of a folder that `save_pretrained` of BertForPreTraining, BertForMaskedLM or BertModel wrote.

    Raises:
        InputError: if its weights are not in safetensors, or it is another model than these.
    """
    path = files.join(folder, CONFIG)
    values = read_json(path)
    paths = _weight_files(folder)
    has_next_sentence = any(f"{SEQ_RELATIONSHIP}.weight" in tensor_names(each) for each in paths)
    vocabulary_file = next((name for name in _VOCABULARIES if files.exists(files.join(folder, name))), _VOCABULARIES[0])
    vocabulary = read_if_there(folder, vocabulary_file) or _vocabulary_of_tokenizer(folder)
    return SourceModel(
        path=folder,
        config=from_hf_config(values, source=path, has_next_sentence=has_next_sentence),
        read_weights=lambda: _read_weights(folder, paths),
        vocabulary=vocabulary,
        lower_case=lower_case_beside(folder, vocabulary_file, vocabulary),
    )


def read_json(path: str) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        InputError: if it cannot be read or holds anything else.
    """
    try:
        values = json.loads(files.read(path))
    except ValueError as error:
        raise InputError(f"{path} must be JSON", received=str(error)) from error
    if not isinstance(values, dict):
        raise InputError(f"{path} must hold a JSON object", received=repr(values)[:80])
    return values


def read_if_there(folder: str, name: str) -> bytes | None:
    """A file's bytes; None if there is none."""
    path = files.join(folder, name)
    return files.read(path) if files.exists(path) else None


def _vocabulary_of_tokenizer(folder: str) -> bytes | None:
    """The WordPiece vocabulary in tokenizer.json, a token a line: all that newer versions of transformers write."""
    path = files.join(folder, _TOKENIZER)
    if not files.exists(path):
        return None
    values = read_json(path)
    model = values.get("model")
    if not isinstance(model, dict) or model.get("type") != "WordPiece" or not isinstance(model.get("vocab"), dict):
        return None
    added = {token["content"]: token["id"] for token in values.get("added_tokens") or ()}
    tokens = {number: token for token, number in {**added, **model["vocab"]}.items()}
    if sorted(tokens) != list(range(len(tokens))):
        raise InputError(
            f"{path} must number its tokens from 0 without a gap", do="Copy it again, or vocab.txt beside it"
        )
    return "".join(f"{tokens[number]}\n" for number in range(len(tokens))).encode()


def lower_case_beside(folder: str, name: str, vocabulary: bytes | None) -> bool | None:
    """Whether text is lower-cased for a folder's vocabulary, where a file of the folder says so."""
    stated = stated_casing(files.join(folder, name), vocabulary) if vocabulary else None
    return stated.lower_case if stated else None


def _weight_files(folder: str) -> list[str]:
    names = [WEIGHTS]
    if files.exists(files.join(folder, INDEX)):
        names = sorted(set(read_json(files.join(folder, INDEX)).get("weight_map", {}).values()))
    elif not files.exists(files.join(folder, WEIGHTS)):
        raise InputError(
            f"{folder} must hold {WEIGHTS}",
            received=", ".join(name for name in files.list_names(folder) if "model" in name) or "no weights",
            do="A pickle (.bin) can run any code when it is read, and is not. Load it with transformers where you trust"
            " it, and write it again: model.save_pretrained(folder, safe_serialization=True)",
        )
    return [files.join(folder, name) for name in names]


def _read_weights(folder: str, paths: Sequence[str]) -> dict[str, np.ndarray]:
    stored: dict[str, np.ndarray] = {}
    for path in paths:
        stored |= read_safetensors(path)
    prefix = "" if any(name.startswith("bert.") for name in stored) else "bert."
    weights = {_modern_name(prefix + name): value for name, value in stored.items()}
    weights.pop("bert.embeddings.position_ids", None)  # 0, 1, 2... in files of old.
    return _untied(weights, folder)


def _modern_name(name: str) -> str:
    """Files of old have TensorFlow's names of a layer norm's weights."""
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))


def _untied(weights: dict[str, np.ndarray], folder: str) -> dict[str, np.ndarray]:
    """Drops the second copy of the embedding table and of the output's bias, which older files hold."""
    for copy, name in ((f"{_DECODER}.weight", _WORD_EMBEDDINGS), (f"{_DECODER}.bias", f"{MLM_HEAD}.bias")):
        value = weights.pop(copy, None)
        if value is not None and not np.array_equal(weights.setdefault(name, value), value):
            raise InputError(
                f"{folder} must hold a model whose output shares the word embeddings",
                received=f"a {copy} of its own",
            )
    return weights
