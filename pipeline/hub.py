"""Downloads models from the Hugging Face hub: google-bert/bert-base-uncased, or google-bert/bert-base-uncased@REVISION.

`huggingface_hub` downloads and caches them, so HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and HF_ENDPOINT apply.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.errors import ConfigError, InputError
from pipeline.version import __version__

# File names of vocabularies; the first one found is used. A tokenizer.json has the ids of every kind of tokenizer.
VOCABULARIES = ("vocab.txt", "spm.model", "spiece.model", "tokenizer.json")
_CONFIG, _TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
_WEIGHTS_OF_OTHERS = (".bin", ".h5", ".msgpack", ".ot", ".safetensors", ".onnx", ".ckpt")
_PART = r"[A-Za-z0-9][\w.-]*"
_NAME = re.compile(rf"({_PART}/{_PART})((?:@[\w./-]+)*)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# A name that ends like a file is a misspelled local path, not a model to look up on the hub.
_ENDINGS = (".txt", ".model", ".json", ".vocab", ".index", ".ckpt", ".keras", ".h5", ".safetensors", ".yaml")


class HubModel(NamedTuple):
    """A downloaded model.

    Attributes:
        folder: the directory of its files, in the cache of `huggingface_hub`.
        name: the requested name and the commit: owner/name@COMMIT, or owner/name@REVISION@COMMIT.
    """

    folder: str
    name: str


def is_hub_name(path: str) -> bool:
    """Returns whether `path` is the name of a hub model and not a local path.

    If the first of its two parts is an existing directory, it is taken for a misspelled local path, unless it has a
    revision.
    """
    match = _NAME.fullmatch(path)
    if match is None or path.endswith(_ENDINGS) or os.path.lexists(path):
        return False
    return bool(match[2]) or not os.path.isdir(path.partition("/")[0])


def pins(held: str, asked: str) -> bool:
    """Returns whether `held` is `asked` followed by a commit, so that both name the same hub model."""
    name, _, commit = held.rpartition("@")
    return name == asked and _COMMIT.fullmatch(commit) is not None


def fetch(name: str, *, weights: bool = True) -> HubModel:
    """Downloads the files of a model that are needed, unless they are in the cache.

    If `name` has a commit that is in the cache, nothing is requested from the hub.

    Args:
        name: owner/name, optionally followed by @ and a branch, tag or commit; the part after the last @ is used.
        weights: whether to download the weights, in addition to the configuration and the vocabulary.

    Raises:
        ConfigError: if `huggingface_hub` is not installed.
        InputError: if the model does not exist, cannot be accessed or has no safetensors, or the hub cannot be reached.
    """
    parts = name.split("@")
    repository, revision = parts[0], parts[-1] if len(parts) > 1 else None
    hub = _library(name)
    options = {
        "repo_id": repository,
        "revision": revision,
        "allow_patterns": [_CONFIG, _TOKENIZER_CONFIG, *VOCABULARIES, *(_WEIGHTS if weights else ())],
        "library_name": "mlm-pipeline",
        "library_version": __version__,
    }
    if revision is not None and _COMMIT.fullmatch(revision) and (folder := _cached(hub, options, weights)):
        return HubModel(folder, name)
    try:
        if weights:
            found = hub.HfApi().model_info(repository, revision=revision).siblings or []
            _check_files(name, [file.rfilename for file in found])
        folder = hub.snapshot_download(**options)
    except hub.errors.RevisionNotFoundError as error:
        raise InputError(f"The hub has no revision {revision!r} of {repository}", do=_advice(name)) from error
    except hub.errors.GatedRepoError as error:
        raise InputError(
            f"The hub gives access to {repository} only to users who have accepted its terms",
            received="no token" if hub.get_token() is None else "a token without access",
            do=f"Accept them on its page and set HF_TOKEN. {_advice(name)}",
        ) from error
    except hub.errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{name} is neither a local directory nor a model of the hub that you have access to",
            received="no token" if hub.get_token() is None else None,
            do=f"Check the name; for a private model, set HF_TOKEN. {_advice(name)}",
        ) from error
    except InputError:
        raise
    except Exception as error:  # From the network client, which depends on the library's version.
        folder = _cached(hub, options, weights)
        if folder is None:
            raise InputError(
                f"{name} is not a local directory, and the hub cannot be reached",
                received=_reason(error, hub),
                do=_advice(name),
            ) from error
    commit = os.path.basename(folder)
    return HubModel(folder, name if revision == commit else f"{name}@{commit}")


def _library(name: str) -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError as error:
        raise ConfigError(
            f"{name} is not a local directory, and models of the hub need the package huggingface_hub",
            received=str(error),
            do=f"pip install 'mlm-pipeline[hub]'. {_advice(name)}",
        ) from error
    return huggingface_hub


def _cached(hub: Any, options: dict[str, Any], weights: bool) -> str | None:
    """Returns the directory of a model in the cache; None if the cache has no complete copy."""
    try:
        folder = str(hub.snapshot_download(**options, local_files_only=True))
    except (OSError, ValueError):
        return None
    names = os.listdir(folder)
    # If the library keeps no list of a model's files, the directory may contain only what another program needed.
    whole = _CONFIG in names and any(vocabulary in names for vocabulary in VOCABULARIES)
    return folder if whole and (not weights or any(each in names for each in _WEIGHTS[:2])) else None


def _check_files(name: str, names: Sequence[str]) -> None:
    """Checks before the download that a model has the files that are read."""
    if not any(each in names for each in _WEIGHTS[:2]):
        others = [each for each in names if each.endswith(_WEIGHTS_OF_OTHERS)]
        raise InputError(
            f"{name} has no {_WEIGHTS[0]}",
            received=", ".join(others) or "no weights",
            do="If you trust its files, load it with transformers, save it again with"
            " model.save_pretrained(FOLDER, safe_serialization=True), and give that folder. Or give a revision that has"
            f" safetensors: {name.partition('@')[0]}@refs/pr/N",
        )
    if "sentencepiece.bpe.model" in names and not any(each in names for each in VOCABULARIES):
        raise InputError(
            f"{name} has no tokenizer.json, and its sentencepiece.bpe.model does not have the model's ids",
            do="Save the tokenizer and the model to a folder with transformers, and give that folder",
        )


def _reason(error: Exception, hub: Any) -> str:
    if hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, and the cache has no complete copy"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _advice(name: str) -> str:
    parts = name.split("@")
    revision = f" --revision {parts[-1]}" * (len(parts) > 1)
    return (
        f"Where the hub can be reached, run hf download {parts[0]}{revision} --local-dir FOLDER, and give that folder"
        " instead"
    )
