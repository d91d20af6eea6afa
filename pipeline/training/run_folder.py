"""A run's folder: what was trained, from what, how far it came, and what came of it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline import files
from pipeline.config import dump_yaml, read_yaml, to_dict
from pipeline.errors import InputError, OutputError
from pipeline.manifest import MANIFEST_NAME, Manifest, TokenizerDescription
from pipeline.training.configs import ExperimentConfig
from pipeline.version import __version__

ORIGIN = "run.json"  # Tells a run's folder from others.
_DEVICES = ("runtime.distribution_strategy", "runtime.tpu")


class RunFolder:
    """A directory with these files.

    - `config.yaml`: the configuration as it was resolved, defaults included.
    - `run.json`: the corpus's manifest hash, its tokenizer, versions; beside it the vocabulary.
    - `checkpoints/`: the last ones, and the best under `checkpoints/best/`.
    - `summaries/`: TensorBoard's event files; `log.jsonl`: the same numbers, a JSON object a line.
    - `model.keras` and `results.json`: the trained model and the final table, when finished.

    Args:
        path: the directory, local or on any file system that TensorFlow knows.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.checkpoints = files.join(path, "checkpoints")
        self.summaries = files.join(path, "summaries")
        self.model = files.join(path, "model.keras")
        self.config = files.join(path, "config.yaml")
        self._origin = files.join(path, ORIGIN)
        self._results = files.join(path, "results.json")
        self._log = files.join(path, "log.jsonl")

    def open(self, config: ExperimentConfig, manifest: Manifest, corpus_dir: str) -> None:
        """Starts the folder, or checks that the run in it is the one that is wanted.

        Raises:
            OutputError: if it cannot be written, holds something else, or another run.
        """
        files.make_directory(self.path)
        manifest_sha256 = hashlib.sha256(files.read(files.join(corpus_dir, MANIFEST_NAME))).hexdigest()
        if files.exists(self.config):
            self._check_same(config, manifest_sha256)
            return
        if files.list_names(self.path):
            raise OutputError(
                f"{self.path} holds files, but no run of this program",
                do="Choose another directory for the run, or an empty one",
            )
        vocabulary = files.read(files.join(corpus_dir, manifest.tokenizer.vocab_file))
        files.write_atomically(files.join(self.path, manifest.tokenizer.vocab_file), vocabulary)
        origin = {
            "manifest_sha256": manifest_sha256,
            "tokenizer": asdict(manifest.tokenizer),
            "versions": versions(),
        }
        files.write_atomically(self._origin, files.json_bytes(origin))
        # Last: a folder with a configuration is complete enough to go on with.
        files.write_atomically(self.config, dump_yaml(config).encode())

    def _check_same(self, config: ExperimentConfig, manifest_sha256: str) -> None:
        origin = json.loads(files.read(self._origin))
        differing = []
        if origin["manifest_sha256"] != manifest_sha256:
            differing.append("the corpus is another one")
        held, wanted = _flatten(read_yaml(self.config)), _flatten(to_dict(config))
        for name in sorted({*held, *wanted}):
            # A corpus may be moved: its manifest tells whether it is the same.
            # On other devices, a run goes on as it would have here but for rounding.
            if name.endswith(".input_path") or name in _DEVICES or held.get(name) == wanted.get(name):
                continue
            differing.append(f"{name} is {held.get(name)!r} there and {wanted.get(name)!r} now")
        if differing:
            raise OutputError(
                f"{self.path} holds a run of another configuration",
                received="; ".join(differing),
                do="Choose another directory for the new run, or go back to the old configuration",
            )

    def tokenizer(self) -> TokenizerDescription:
        """The tokenizer of the corpus that the model was trained on; its vocabulary lies in the folder.

        Raises:
            InputError: if there is no run in the folder.
        """
        if not files.exists(self._origin):
            raise InputError(
                f"{self.path} must be the directory of a pre-training run",
                received=f"a directory without {ORIGIN}" if os.path.isdir(self.path) else "no such directory",
                do="Name the directory that the pretrain command wrote",
            )
        return TokenizerDescription(**json.loads(files.read(self._origin))["tokenizer"])

    def corpus(self) -> str:
        """The directory of the corpus that the run was trained on, as it was named then.

        Raises:
            InputError: if there is no run in the folder.
        """
        self.tokenizer()
        return str(read_yaml(self.config)["task"]["train_data"]["input_path"])

    def results(self) -> dict[str, Any] | None:
        """The final results; None while the run is not finished."""
        return json.loads(files.read(self._results)) if files.exists(self._results) else None

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Marks the run as finished."""
        files.write_atomically(self._results, files.json_bytes(results))

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends a line to the log."""
        with open(self._log, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(row) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """The log's lines; empty before the first."""
        if not os.path.exists(self._log):
            return []
        with open(self._log, encoding="utf-8") as stream:
            # A line that a kill cut short is not worth failing for: its step is done again.
            return [json.loads(line) for line in stream if line.endswith("}\n")]

    def rewind_log(self, step: int) -> None:
        """Drops the lines after `step`, which is done again."""
        kept = [json.dumps(row) + "\n" for row in self.read_log() if row["step"] <= step]
        files.write_atomically(self._log, "".join(kept).encode())


def versions() -> dict[str, str]:
    """Versions of this package and of what decides its numbers."""
    import keras
    import numpy as np
    import tensorflow as tf

    return {
        "mlm-pipeline": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping by paths such as "a.b[0].c"."""
    if isinstance(value, Mapping):
        pairs = [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        pairs = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {name: leaf for inner, item in pairs for name, leaf in _flatten(item, inner).items()}
