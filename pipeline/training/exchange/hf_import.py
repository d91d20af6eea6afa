"""Reading a Hugging Face folder."""

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
_TOKENIZER = "tokenizer.json"  # Read last, of the names of `VOCABULARIES`.
_SHIFTED = "sentencepiece.bpe.model"  # XLM-RoBERTa's.
_VOCABULARIES = tuple(name for name in VOCABULARIES if name != _TOKENIZER)


def read_huggingface(folder: str) -> SourceModel:
    """The model of a folder that `save_pretrained` of BertForPreTraining, RobertaForMaskedLM or the like wrote.

    Raises:
        InputError: if its weights are not in safetensors, it is a model of no family here, or its vocabulary is in a
            file with other ids alone.
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
            f"{folder} must hold {_TOKENIZER}: the ids of its model are not those of {_SHIFTED}, but one higher, and"
            " other ones for special tokens",
            received=", ".join(name for name in files.list_names(folder) if "token" in name or name == _SHIFTED),
            do="Write it with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
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
    """The vocabulary in tokenizer.json: all that newer versions of transformers write.

    WordPiece is given as a token a line, any other kind as the file itself.
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
    except (KeyError, TypeError):  # Tokens without a text or a number, or of other types.
        is_whole = False
    if not is_whole:
        raise InputError(
            f"{path} must number its tokens from 0 without a gap", do="Copy it again, or vocab.txt beside it"
        )
    return "".join(f"{tokens[number]}\n" for number in range(len(tokens))).encode()


def lower_case_beside(folder: str, name: str, vocabulary: bytes | None) -> bool | None:
    """Whether text is lower-cased for a folder's vocabulary, where a file of the folder says so."""
    if not vocabulary or is_tokenizer_file(vocabulary):  # The latter normalises text by itself.
        return None
    stated = stated_casing(files.join(folder, name), vocabulary)
    return stated.lower_case if stated else None


def _weight_files(folder: str) -> list[str]:
    names = [WEIGHTS]
    if files.exists(files.join(folder, INDEX)):
        names = _named_files(folder)
    elif not files.exists(files.join(folder, WEIGHTS)):
        raise InputError(
            f"{folder} must hold {WEIGHTS}",
            received=", ".join(name for name in files.list_names(folder) if "model" in name) or "no weights",
            do="A pickle (.bin) can run any code when it is read, and is not. Load it with transformers where you trust"
            " it, and write it again: model.save_pretrained(folder, safe_serialization=True)",
        )
    return [files.join(folder, name) for name in names]


def _named_files(folder: str) -> list[str]:
    """The files of a model's weights, where there are several, which an index names."""
    path = files.join(folder, INDEX)
    named = read_json(path).get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(name, str) for name in named.values()):
        raise InputError(f"{path} must have a weight_map from weights to files", received=repr(named)[:80])
    names = sorted(set(named.values()))
    if lacking := [name for name in names if not files.exists(files.join(folder, name))]:
        raise InputError(
            f"{folder} must hold the {len(names):,} files of weights that its {INDEX} names",
            received=f"no {', '.join(lacking[:3])}",
            do="Copy the folder again as a whole",
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
    weights.pop(f"{family.prefix}embeddings.position_ids", None)  # 0, 1, 2... in files of old.
    return family.from_files(_untied(weights, family.copies, folder), values)


def _modern_name(name: str) -> str:
    """Files of old have TensorFlow's names of a layer norm's weights."""
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))


def _untied(weights: dict[str, np.ndarray], copies: Mapping[str, str], folder: str) -> dict[str, np.ndarray]:
    """Drops the second copy of the embedding table and of the output's bias, which older files hold."""
    for copy, name in copies.items():
        value = weights.pop(copy, None)
        if value is not None and not np.array_equal(weights.setdefault(name, value), value):
            raise InputError(
                f"{folder} must hold a model whose output shares the word embeddings",
                received=f"a {copy} of its own",
            )
    return weights
