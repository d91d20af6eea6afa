"""A run's folder: what was trained, from what, how far it came, and what came of it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipeline import files
from pipeline.config.tree import dump_yaml, from_dict, read_yaml, to_dict
from pipeline.errors import ConfigError, InputError, OutputError
from pipeline.hub import pins
from pipeline.locks import locked
from pipeline.manifest import MANIFEST_NAME, TokenizerDescription
from pipeline.training.bert import PretrainerConfig
from pipeline.training.checkpoint_files import complete_steps
from pipeline.training.config_differences import LENGTHENED, differing_options, flatten
from pipeline.training.configs import ExperimentConfig
from pipeline.training.corpora import Corpora
from pipeline.training.report import format_results
from pipeline.version import __version__

logger = logging.getLogger(__name__)

ORIGIN = "run.json"  # Tells a run's folder from others.
RECORDS = "records"  # The directory that describes the records of other tools, if the run trains on such.
_LOCK = ".lock"
_SCRATCH = ".measuring"


class RunFolder:
    """A directory with these files.

    - `config.yaml`: the configuration as it was resolved, defaults included.
    - `run.json`: the corpus's manifest hash, its tokenizer, versions, Hugging Face's model_type of what the run started
      from, and the run that it decays from; beside it the vocabulary.
    - `checkpoints/`: the last ones, and the best under `checkpoints/best/`.
    - `summaries/`: TensorBoard's event files; `log.jsonl`: the same numbers, a JSON object a line.
    - `model.keras` and `results.json`: the trained model and the final table, when finished.

    Args:
        path: the directory, on a local or mounted file system.

    Raises:
        OutputError: if it is on an object store, to which the log cannot be appended.
    """

    def __init__(self, path: str) -> None:
        if files.is_remote(path):
            raise OutputError(
                "A run's directory must be on a local or mounted file system",
                received=path,
                do="Choose a local directory; a run can be copied as a whole to a store or from it",
            )
        self.path = path
        self.checkpoints = files.join(path, "checkpoints")
        self.summaries = files.join(path, "summaries")
        self.model = files.join(path, "model.keras")
        self.config = files.join(path, "config.yaml")
        self._origin = files.join(path, ORIGIN)
        self._results = files.join(path, "results.json")
        self._log = files.join(path, "log.jsonl")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder, if it is not there, and keeps other runs out of it for the length of a `with` block.

        Raises:
            OutputError: if another process is at work there, or it cannot be written.
        """
        files.make_directory(self.path)
        with locked(files.join(self.path, _LOCK), owner=f"the run {self.path}"):
            yield

    @contextlib.contextmanager
    def scratch(self) -> Iterator[RunFolder]:
        """Makes a run's folder within this one, for the length of a `with` block; `open` removes what a kill leaves.

        Raises:
            OutputError: if it cannot be written, or holds something else.
        """
        self._check_unused()
        self._remove_scratch()
        path = files.join(self.path, _SCRATCH)
        files.make_directory(path)
        try:
            yield RunFolder(path)
        finally:
            self._remove_scratch()

    def _remove_scratch(self) -> None:
        shutil.rmtree(files.join(self.path, _SCRATCH), ignore_errors=True)

    def open(self, config: ExperimentConfig, corpora: Corpora, architecture: str | None = None) -> None:
        """Starts the folder, or checks that the run in it is the one that is wanted.

        Args:
            config: the experiment, resolved.
            corpora: what it is trained on.
            architecture: Hugging Face's model_type of what a new run starts from; None where there is none.

        Raises:
            OutputError: if it cannot be written, holds something else, or another run.
        """
        manifest, manifest_sha256 = corpora.manifest, corpora.identity()
        vocabulary = files.read(files.join(corpora.directory, manifest.tokenizer.vocab_file))
        files.make_directory(self.path)
        if files.exists(self.config):
            self._check_same(config, manifest_sha256)
        else:
            self._check_unused()
            decays: dict[str, Any] = {}
            if config.trainer.decay_from:
                path, step = config.trainer.decay_start
                source = RunFolder(path)
                decays["decay_from"] = {"run": path, "step": step, "versions": source._read_origin().get("versions")}
                architecture = source.architecture()
            origin = {
                "manifest_sha256": manifest_sha256,
                "tokenizer": asdict(manifest.tokenizer),
                "versions": versions(),
                **({"architecture": architecture} if architecture is not None else {}),
                **decays,
            }
            # First: it marks the files that follow as ours. An interrupted start is repeated.
            files.write_atomically(self._origin, files.json_bytes(origin))
        self._remove_scratch()
        files.remove_temporary(self.path, self._start_files(manifest.tokenizer))
        path = files.join(self.path, manifest.tokenizer.vocab_file)
        if not files.exists(path) or files.read(path) != vocabulary:
            files.write_atomically(path, vocabulary)
        # Last: a run whose folder has a configuration can be continued.
        if not files.exists(self.config) or self.held_config() != config:
            files.write_atomically(self.config, dump_yaml(config).encode())

    def _start_files(self, tokenizer: TokenizerDescription) -> list[str]:
        return [ORIGIN, tokenizer.vocab_file, os.path.basename(self.config)]

    def _check_unused(self) -> None:
        """Refuses a folder that holds anything but what the start of a run leaves when it is cut short."""
        started = files.exists(self._origin)
        ours = self._start_files(self.tokenizer()) if started else [ORIGIN]
        if files.exists(files.join(self.path, RECORDS, MANIFEST_NAME)):
            ours.append(RECORDS)
        ours += [_LOCK, _SCRATCH, *files.list_temporary(self.path, ours)]
        others = [name for name in files.list_names(self.path) if name not in ours]
        if others and started:
            self.held_config()  # It is lost: its error says what to do.
        if others:
            raise OutputError(
                f"{self.path} contains files, but is not a run of this program",
                received=", ".join(others[:5]),
                do="Choose another directory for the run, or an empty one",
            )

    def _check_same(self, config: ExperimentConfig, manifest_sha256: str) -> None:
        held = self.held_config()
        differing = differing_options(held, config, but=LENGTHENED if self._is_lengthened(held, config) else ())
        if self._read_origin()["manifest_sha256"] != manifest_sha256:
            differing.insert(0, "the corpus differs")
        if not differing:
            return
        if len(differing) == 1 and config.trainer.train_steps > held.trainer.train_steps:
            raise OutputError(
                f"{self.path} is a run of {held.trainer.train_steps:,} steps, and what it has learned so far depends"
                " on this number",
                received=differing[0],
                do="To train its model further, let it finish, and then run pretrain --more-steps N --run"
                f" {self.path}, which repeats the learning rate schedule. Before a run is finished, its number of"
                " steps can only be raised with trainer.optimizer.decay=constant, and without a masking schedule over"
                " all its steps",
            )
        raise OutputError(
            f"{self.path} contains a run with another configuration",
            received="; ".join(differing),
            do="Choose another directory for the new run, or use the old configuration",
        )

    def _is_lengthened(self, held: ExperimentConfig, config: ExperimentConfig) -> bool:
        """Whether a configuration gives the run in the folder, which is finished, more steps."""
        start = config.trainer.restart_step
        if start is None or start == held.trainer.restart_step:
            return False
        results = self.results(held.trainer.train_steps)
        return results is not None and results["steps"] == start

    def held_config(self) -> ExperimentConfig:
        """The configuration of the run in the folder; options that came after it have their defaults.

        Raises:
            InputError: if there is none, or it is damaged.
        """
        try:
            values = read_yaml(self.config)
            config = from_dict(ExperimentConfig, values)
            # A file that was cut short lacks its end. One of an earlier version may lack options before it, which then
            # have their defaults: what they bring is off by default.
            last = list(flatten(to_dict(config)))[-1]
            if last not in flatten(values):
                raise ConfigError(f"It lacks {last}")
        except ConfigError as error:
            raise InputError(
                f"{self.config} must contain the complete configuration of the run",
                received=str(error),
                do="Restore the file from a copy, or start a new run in another directory",
            ) from error
        return config

    def checkpoint_steps(self) -> list[int]:
        """The steps of the checkpoints in the folder, ascending; empty before the first."""
        return complete_steps(self.checkpoints)

    def begun_from(self, path: str) -> PretrainerConfig | None:
        """The model of the run in the folder, if it started from `path`; None if not, or if there is no run yet.

        Raises:
            InputError: if its configuration is damaged.
        """
        task = self.held_config().task if files.exists(self.config) else None
        return task.model if task is not None and task.init_checkpoint == path else None

    def start_as_held(self, path: str) -> str:
        """What the run in the folder started from, if `path` names that: a model of the hub, with its commit.

        Returns:
            `path` itself, if there is no run yet, or it started from anything else.

        Raises:
            InputError: if its configuration is damaged.
        """
        held = self.held_config().task.init_checkpoint if files.exists(self.config) else ""
        return held if pins(held, path) else path

    def _read_origin(self) -> dict[str, Any]:
        if not files.exists(self._origin):
            raise InputError(
                f"{self.path} must be the directory of a pre-training run",
                received=f"a directory without {ORIGIN}" if os.path.isdir(self.path) else "no such directory",
                do="Give the directory that the pretrain command wrote",
            )
        try:
            origin = json.loads(files.read(self._origin))
            TokenizerDescription(**origin["tokenizer"])
            return {"manifest_sha256": str(origin["manifest_sha256"]), **origin}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self._origin} is damaged, or was not written by this program",
                received=f"{type(error).__name__}: {error}",
                do="Restore the file from a copy, or choose another directory",
            ) from error

    def trained_on(self, corpora: Corpora) -> bool:
        """Whether the run in the folder is of these corpora.

        Raises:
            InputError: if there is no run in the folder, or it is damaged.
        """
        return bool(self._read_origin()["manifest_sha256"] == corpora.identity())

    def tokenizer(self) -> TokenizerDescription:
        """The tokenizer of the corpus that the model was trained on; its vocabulary is in the folder.

        Raises:
            InputError: if there is no run in the folder, or it is damaged.
        """
        return TokenizerDescription(**self._read_origin()["tokenizer"])

    def architecture(self) -> str | None:
        """Hugging Face's model_type of the model that the run started from; None where there is none.

        Raises:
            InputError: if there is no run in the folder, or it is damaged.
        """
        architecture = self._read_origin().get("architecture")
        return None if architecture is None else str(architecture)

    def corpora(self) -> list[str]:
        """The directories of the corpora that the run is evaluated on, as they were named when it began.

        They are those that it was trained on; of a run in stages, in the last one.

        Raises:
            InputError: if there is no run in the folder, or it is damaged.
        """
        self.tokenizer()
        path = self.held_config().task.validation_data.input_path
        return [path] if isinstance(path, str) else list(path)

    def results(self, steps: int) -> dict[str, Any] | None:
        """The final results of a run of so many steps; None while it is not finished, or if they are damaged.

        One that `trainer.early_stopping` ended before is finished as well.
        """
        if not files.exists(self._results) or not files.exists(self.model):
            return None
        try:
            results = json.loads(files.read(self._results))
            format_results(results)
            planned = results.get("stopped_early", {}).get("planned_steps", results["steps"])
            return dict(results) if planned == steps else None
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning(f"note: {self._results} is damaged; writing it again")
            return None

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Marks the run as finished.

        Raises:
            OutputError: if it cannot be written.
        """
        files.write_atomically(self._results, files.json_bytes(results))

    def log(self, row: Mapping[str, Any]) -> None:
        """Appends a line to the log.

        Raises:
            OutputError: if it cannot be written.
        """
        try:
            with open(self._log, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OutputError(
                f"Cannot write {self._log}",
                received=error.strerror,
                do="Check the free space and the permissions; the same command then continues from the last checkpoint",
            ) from error

    def read_log(self) -> list[dict[str, Any]]:
        """The log's lines; empty before the first. What is no line of a log is left out."""
        return [row for _, row in self._log_lines() if row is not None]

    def rewind_log(self, step: int, *, checkpoint_interval: int) -> None:
        """Drops the lines after `step`, which is done again.

        Args:
            step: the step that was restored; 0 where there is no checkpoint.
            checkpoint_interval: steps between checkpoints.

        Raises:
            OutputError: if there must have been a checkpoint after `step`, or it cannot be written.
        """
        lines = self._log_lines()
        reached = max((row["step"] for _, row in lines if row is not None), default=0)
        if not step and reached > checkpoint_interval:
            raise OutputError(
                f"{self.checkpoints} must contain the checkpoints of this run, whose log reaches step {reached:,}",
                received="none",
                do="Restore them, or choose another directory for a new run",
            )
        # The last line may have been cut short by a kill: its step is done again.
        damaged = sum(row is None for _, row in lines[:-1])
        if damaged:
            logger.warning(f"note: {self._log}: ignored {damaged:,} damaged lines")
        # Without a checkpoint everything is computed again, also what was measured before the first step.
        kept = [line for line, row in lines if step and row is not None and row["step"] <= step]
        files.write_atomically(self._log, b"".join(kept))

    def _log_lines(self) -> list[tuple[bytes, dict[str, Any] | None]]:
        """The lines of the log, with their parsed rows; None for a damaged line."""
        if not files.exists(self._log):
            return []
        return [(line, _parse_row(line)) for line in files.read(self._log).splitlines(keepends=True)]


def _parse_row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line) if line.endswith(b"}\n") else None
    except ValueError:
        return None
    whole = isinstance(row, dict) and type(row.get("step")) is int and isinstance(row.get("split"), str)
    return row if whole else None


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
