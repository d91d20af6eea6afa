"""Reads Hugging Face folders."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import files
from pipeline.errors import InputError
from pipeline.hub import VOCABULARIES
from pipeline.tokenizers import special_beside
from pipeline.tokenizers.casing import stated_casing
from pipeline.tokenizers.tokenizer_file import is_tokenizer_file
from pipeline.training.exchange.families.base import Family
from pipeline.training.exchange.families.registry import family_of_config
from pipeline.training.exchange.safetensors_file import read_safetensors, tensor_names
from pipeline.training.exchange.source_model import SourceModel

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_TOKENIZER = "tokenizer.json"  # The last one to try of `VOCABULARIES`.
_SHIFTED = "sentencepiece.bpe.model"  # XLM-RoBERTa's.
_VOCABULARIES = tuple(name for name in VOCABULARIES if name != _TOKENIZER)


def read_huggingface(folder: str) -> SourceModel:
    """Reads the model in a folder written by `save_pretrained` of BertForPreTraining, RobertaForMaskedLM etc.

    Raises:
        InputError: if its weights are not in safetensors, its family is not supported, or its only vocabulary file has
            other ids.
    """
    path = files.join(folder, CONFIG)
    values = read_json(path)
    family = family_of_config(values, source=path)
    paths = _weight_files(folder)
    has_next_sentence = family.next_sentence is not None and any(
        f"{family.next_sentence}.weight" in tensor_names(each) for each in paths
    )
    vocabulary_file = next((name for name in _VOCABULARIES if files.exists(files.join(folder, name))), _VOCABULARIES[0])
    vocabulary = read_if_there(folder, vocabulary_file) or _vocabulary_of_tokenizer(folder)
    if vocabulary is None and files.exists(files.join(folder, _SHIFTED)):
        raise InputError(
            f"No {_TOKENIZER} in {folder}: the ids in {_SHIFTED} are not the model's, which are one higher, with others"
            " for special tokens",
            received=", ".join(name for name in files.list_names(folder) if "token" in name or name == _SHIFTED),
            do="Create it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )
    return SourceModel(
        path=folder,
        config=family.from_config(values, source=path, has_next_sentence=has_next_sentence),
        read_weights=lambda: _read_weights(folder, paths, family, values),
        architecture=family.model_type,
        vocabulary=vocabulary,
        lower_case=lower_case_beside(folder, vocabulary_file, vocabulary),
        special=special_beside(files.join(folder, _TOKENIZER)),
    )


def read_json(path: str) -> dict[str, Any]:
    """Reads a JSON object from a file.

    Raises:
        InputError: if it cannot be read or contains anything else.
    """
    try:
        values = json.loads(files.read(path))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON", received=str(error)) from error
    if not isinstance(values, dict):
        raise InputError(f"{path} does not contain a JSON object", received=repr(values)[:80])
    return values


def read_if_there(folder: str, name: str) -> bytes | None:
    """Returns a file's bytes; None if it does not exist."""
    path = files.join(folder, name)
    return files.read(path) if files.exists(path) else None


def _vocabulary_of_tokenizer(folder: str) -> bytes | None:
    """Returns the vocabulary in tokenizer.json, the only one that recent versions of transformers write.

    WordPiece is returned with one token per line, any other kind as the file itself.
    """
    path = files.join(folder, _TOKENIZER)
    if not files.exists(path):
        return None
    values = read_json(path)
    model = values.get("model")
    if not isinstance(model, dict) or model.get("type") != "WordPiece" or not isinstance(model.get("vocab"), dict):
        return files.read(path) if isinstance(model, dict) else None
    try:
        added = {token["content"]: token["id"] for token in values.get("added_tokens") or ()}
        tokens = {number: token for token, number in {**added, **model["vocab"]}.items()}
        is_whole = sorted(tokens) == list(range(len(tokens)))
    except (KeyError, TypeError):  # Tokens without a text or an id, or with values of other types.
        is_whole = False
    if not is_whole:
        raise InputError(
            f"The token ids in {path} must run from 0 without gaps", do="Copy it again, or copy vocab.txt to its folder"
        )
    return "".join(f"{tokens[number]}\n" for number in range(len(tokens))).encode()


def lower_case_beside(folder: str, name: str, vocabulary: bytes | None) -> bool | None:
    """Returns whether text is lower-cased for a folder's vocabulary; None if no file of the folder states it."""
    if not vocabulary or is_tokenizer_file(vocabulary):  # A tokenizer.json has its own normalisation.
        return None
    stated = stated_casing(files.join(folder, name), vocabulary)
    return stated.lower_case if stated else None


def _weight_files(folder: str) -> list[str]:
    names = [WEIGHTS]
    if files.exists(files.join(folder, INDEX)):
        names = _named_files(folder)
    elif not files.exists(files.join(folder, WEIGHTS)):
        raise InputError(
            f"No {WEIGHTS} in {folder}",
            received=", ".join(name for name in files.list_names(folder) if "model" in name) or "no weights",
            do="Pickles (.bin) are not read, because they can run any code. If you trust the file, load it with"
            " transformers and save it again: model.save_pretrained(folder, safe_serialization=True)",
        )
    return [files.join(folder, name) for name in names]


def _named_files(folder: str) -> list[str]:
    """Returns the names of weight files that an index lists."""
    path = files.join(folder, INDEX)
    named = read_json(path).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise InputError(f"{path} has no valid weight_map from weights to files", received=repr(named)[:80])
    names = sorted(set(named.values()))
    if lacking := [name for name in names if not files.exists(files.join(folder, name))]:
        raise InputError(
            f"{folder} lacks some of the {len(names):,} weight files that its {INDEX} lists",
            received=f"no {', '.join(lacking[:3])}",
            do="Copy the whole folder again",
        )
    return names


def _read_weights(
    folder: str, paths: Sequence[str], family: Family, values: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    stored: dict[str, np.ndarray] = {}
    for path in paths:
        stored |= read_safetensors(path)
    prefix = "" if any(name.startswith(family.prefix) for name in stored) else family.prefix
    weights = {_modern_name(prefix + name): value for name, value in stored.items()}
    weights.pop(f"{family.prefix}embeddings.position_ids", None)  # 0, 1, 2... in old files.
    return family.from_files(_untied(weights, family.copies, folder), values)


def _modern_name(name: str) -> str:
    """Translates the names of layer norm weights in old files, which are TensorFlow's."""
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))


def _untied(weights: dict[str, np.ndarray], copies: Mapping[str, str], folder: str) -> dict[str, np.ndarray]:
    """Drops the second copy of the embedding table and of the output bias in older files."""
    for copy, name in copies.items():
        value = weights.pop(copy, None)
        if value is not None and not np.array_equal(weights.setdefault(name, value), value):
            raise InputError(
                f"The output layer of the model in {folder} must share the word embeddings",
                received=f"a separate {copy}",
            )
    return weights
