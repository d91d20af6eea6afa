"""Models of the Hugging Face hub: google-bert/bert-base-uncased, or google-bert/bert-base-uncased@REVISION.

`huggingface_hub` downloads and caches them: HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and HF_ENDPOINT mean what
they mean to it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.errors import ConfigError, InputError
from pipeline.version import __version__

# The files of a model's vocabulary: the first that is there counts. A tokenizer.json has the ids of all kinds.
VOCABULARIES = ("vocab.txt", "spm.model", "spiece.model", "tokenizer.json")
_CONFIG, _TOKENIZER_CONFIG = "config.json", "tokenizer_config.json"
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
_WEIGHTS_OF_OTHERS = (".bin", ".h5", ".msgpack", ".ot", ".safetensors", ".onnx", ".ckpt")
_PART = r"[A-Za-z0-9][\w.-]*"
_NAME = re.compile(rf"({_PART}/{_PART})((?:@[\w./-]+)*)", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Of files: a path with such an ending is a misspelled path, and no name to ask the hub for.
_ENDINGS = (".txt", ".model", ".json", ".vocab", ".index", ".ckpt", ".keras", ".h5", ".safetensors", ".yaml")


class HubModel(NamedTuple):
    """A model of the hub, on this machine.

    Attributes:
        folder: the directory of its files, in the cache of `huggingface_hub`.
        name: what it was asked for by, and its commit: owner/name@COMMIT, or owner/name@REVISION@COMMIT.
    """

    folder: str
    name: str


def is_hub_name(path: str) -> bool:
    """Returns whether `path` names a model of the hub, and nothing on this machine.

    A path of two parts in a directory that is there is taken for a misspelled one, unless it names a revision.
    """
    match = _NAME.fullmatch(path)
    if match is None or path.endswith(_ENDINGS) or os.path.lexists(path):
        return False
    return bool(match[2]) or not os.path.isdir(path.partition("/")[0])


def pins(held: str, asked: str) -> bool:
    """Returns whether `held` is the name of a model of the hub, with its commit, that `asked` once stood for."""
    name, _, commit = held.rpartition("@")
    return name == asked and _COMMIT.fullmatch(commit) is not None


def fetch(name: str, *, weights: bool = True) -> HubModel:
    """Downloads what is needed of a model, unless it is in the cache.

    Once a commit is named and in the cache, the hub is not asked.

    Args:
        name: owner/name, perhaps with @ and a branch, tag or commit; the last @ counts.
        weights: whether to download the weights too; without them, the configuration and the vocabulary.

    Raises:
        ConfigError: if `huggingface_hub` is not installed.
        InputError: if there is no such model, or access to it, or a way to the hub, or it has no safetensors.
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
            f"The hub gives {repository} only to those who have accepted its terms",
            received="no token" if hub.get_token() is None else "a token without access",
            do=f"Accept them on its page and set HF_TOKEN. {_advice(name)}",
        ) from error
    except hub.errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{name} must be a directory here, or a model of the hub that you have access to",
            received="neither" + " without a token" * (hub.get_token() is None),
            do=f"Check the name; for a private model, set HF_TOKEN. {_advice(name)}",
        ) from error
    except InputError:
        raise
    except Exception as error:  # Of the network, by any of the clients that versions of the library use.
        folder = _cached(hub, options, weights)
        if folder is None:
            raise InputError(
                f"{name} is no directory here, and the hub cannot be asked for it",
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
            f"{name} is no directory here, and a model of the hub needs huggingface_hub",
            received=str(error),
            do=f"pip install 'mlm-pipeline[hub]'. {_advice(name)}",
        ) from error
    return huggingface_hub


def _cached(hub: Any, options: dict[str, Any], weights: bool) -> str | None:
    """Returns the directory of a model in the cache; None if it is not there as a whole."""
    try:
        folder = str(hub.snapshot_download(**options, local_files_only=True))
    except (OSError, ValueError):
        return None
    names = os.listdir(folder)
    # Where the library keeps no list of a model's files, a directory may hold those that another program needed.
    whole = _CONFIG in names and any(vocabulary in names for vocabulary in VOCABULARIES)
    return folder if whole and (not weights or any(each in names for each in _WEIGHTS[:2])) else None


def _check_files(name: str, names: Sequence[str]) -> None:
    """Checks, before anything is downloaded, that a model has what is read of it."""
    if not any(each in names for each in _WEIGHTS[:2]):
        others = [each for each in names if each.endswith(_WEIGHTS_OF_OTHERS)]
        raise InputError(
            f"{name} must have {_WEIGHTS[0]}",
            received=", ".join(others) or "no weights",
            do="Where you trust its files, load it with transformers, write it again, and name that folder:"
            " model.save_pretrained(FOLDER, safe_serialization=True). Or name a revision that has them:"
            f" {name.partition('@')[0]}@refs/pr/N",
        )
    if "sentencepiece.bpe.model" in names and not any(each in names for each in VOCABULARIES):
        raise InputError(
            f"{name} must have a tokenizer.json: its ids are not those of its sentencepiece.bpe.model",
            do="Write it and the model to a folder with transformers, and name that folder",
        )


def _reason(error: Exception, hub: Any) -> str:
    if hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE, and no whole copy in the cache"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _advice(name: str) -> str:
    parts = name.split("@")
    revision = f" --revision {parts[-1]}" * (len(parts) > 1)
    return (
        f"Where the hub can be reached, hf download {parts[0]}{revision} --local-dir FOLDER writes a folder, to"
        " be named instead"
    )
