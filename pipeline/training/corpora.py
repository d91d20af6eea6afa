"""The corpora that a run is trained on: one, or several that are mixed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline import files
from pipeline.errors import ConfigError
from pipeline.manifest import MANIFEST_NAME, Manifest, read_manifest
from pipeline.training.configs import DataConfig
from pipeline.training.stages import StageConfig


@dataclass(frozen=True)
class Corpora:
    """Finished corpora; what they must have in common is checked when they are read.

    Attributes:
        directories: where they are.
        weights: the share of tokens of each, relative to one another; empty for the tokens that each has.
        manifests: theirs.
        later: where the training has stages, the corpora of each but the first, which reads these.
    """

    directories: tuple[str, ...]
    weights: tuple[float, ...]
    manifests: tuple[Manifest, ...]
    later: tuple[Corpora, ...] = ()

    @property
    def stages(self) -> tuple[Corpora, ...]:
        """The corpora of each stage; one without stages."""
        return (dataclasses.replace(self, later=()), *self.later)

    @property
    def all_directories(self) -> tuple[str, ...]:
        """Those of all stages, each once."""
        return tuple(dict.fromkeys(directory for stage in self.stages for directory in stage.directories))

    @property
    def manifest(self) -> Manifest:
        """That of the first: it gives the shapes and the vocabulary."""
        return self.manifests[0]

    @property
    def directory(self) -> str:
        """That of the first."""
        return self.directories[0]

    @property
    def input_path(self) -> str | tuple[str, ...]:
        """What a data configuration calls them."""
        return self.directories if len(self.directories) > 1 else self.directories[0]

    @property
    def names(self) -> tuple[str, ...]:
        """A short name of each of `all_directories`: the last part of its path that tells it from the others."""
        return files.short_names(self.all_directories)

    @property
    def mean_tokens(self) -> float:
        """The tokens of a training example, in the mean over what is read, without padding; stages aside."""
        examples, tokens = [], []
        for manifest in self.manifests:
            shards = manifest.split("train")
            examples.append(sum(shard.examples for shard in shards))
            tokens.append(sum(shard.tokens for shard in shards))
        if not all(examples) or not all(tokens):  # Nothing can be trained on them, which is said elsewhere.
            return float(self.manifest.spec.max_seq_length)
        weights = self.weights or tokens
        of_each = (weight * count / total for weight, count, total in zip(weights, examples, tokens, strict=True))
        return sum(weights) / sum(of_each)

    def has_validation(self) -> bool:
        """Whether there are examples to evaluate on: in the corpora of the last stage."""
        return any(shard.examples for manifest in self.stages[-1].manifests for shard in manifest.split("validation"))

    def validation(self, config: DataConfig) -> dict[str, DataConfig]:
        """How to read the validation examples of each corpus of the last stage that has some, by its name."""
        last, names = self.stages[-1], dict(zip(self.all_directories, self.names, strict=True))
        return {
            names[directory]: dataclasses.replace(config, input_path=directory, weights=())
            for directory, manifest in zip(last.directories, last.manifests, strict=True)
            if any(shard.examples for shard in manifest.split("validation"))
        }

    def identity(self) -> str:
        """SHA-256 of their manifests, hexadecimal: the corpora may be moved."""
        manifests = (files.read(files.join(path, MANIFEST_NAME)) for path in self.all_directories)
        hashes = [hashlib.sha256(manifest).hexdigest() for manifest in manifests]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def open_corpora(named: str | Sequence[str], stages: Sequence[StageConfig] = ()) -> Corpora:
    """Reads the manifests of corpora.

    Args:
        named: the directory of a corpus, or several, each with its weight if one has: `out/general:0.8`.
        stages: those of the training, which may name further corpora.

    Raises:
        ConfigError: if a weight is not a number above 0, some have one and some have not, or a corpus is named twice.
        CorpusError: if a corpus is unfinished or damaged.
    """
    pairs = [_parse(name) for name in ([named] if isinstance(named, str) else named)]
    directories = tuple(directory for directory, _ in pairs)
    weights = tuple(weight for _, weight in pairs if weight is not None)
    if weights and len(weights) < len(pairs):
        raise ConfigError(
            "Either every corpus of a mixture must have a weight, or none",
            received=f"none for {next(directory for directory, weight in pairs if weight is None)}",
            do="Write them all like --corpus out/general:0.8 --corpus out/domain:0.2",
        )
    for number, directory in enumerate(directories):
        if any(files.same(directory, other) for other in directories[:number]):
            raise ConfigError("A corpus must be given only once", received=directory, do="Raise its weight instead")
    weights = weights if len(pairs) > 1 else ()
    first = Corpora(directories, weights, tuple(read_manifest(directory) for directory in directories))
    return dataclasses.replace(first, later=_later(first, stages)) if stages else first


def named_as(input_path: str | Sequence[str], weights: Sequence[float]) -> list[str]:
    """Corpora as `open_corpora` takes them, of what a run's configuration holds."""
    if isinstance(input_path, str):
        return [input_path]
    of_each: Sequence[float | None] = weights or [None] * len(input_path)
    return [name if weight is None else f"{name}:{weight!r}" for name, weight in zip(input_path, of_each, strict=True)]


def _later(first: Corpora, stages: Sequence[StageConfig]) -> tuple[Corpora, ...]:
    """The corpora of all stages but the first; each directory is called as where it was named first."""
    known = list(first.directories)
    opened: list[Corpora] = []
    for number, stage in enumerate(stages, start=1):
        paths = [stage.input_path] if isinstance(stage.input_path, str) else list(stage.input_path)
        corpora = first
        if stage.input_path:
            corpora = open_corpora(paths)
            directories = tuple(
                next((other for other in known if files.same(directory, other)), directory)
                for directory in corpora.directories
            )
            known += [directory for directory in directories if directory not in known]
            weights = stage.weights or corpora.weights
            if len(stage.weights) not in (0, len(directories)) or (weights and len(directories) < 2):
                raise ConfigError(
                    f"Stage {number} needs one weight per corpus if it has several corpora, and none if it has one",
                    received=f"{len(weights)} for {', '.join(directories)}",
                )
            corpora = dataclasses.replace(corpora, directories=directories, weights=weights)
        if number == 1 and (corpora.directories, corpora.weights) != (first.directories, first.weights):
            raise ConfigError(
                "The first stage must read the corpora given with --corpus",
                received=", ".join(corpora.directories),
                do="Leave its input_path and weights out, and give its corpora with --corpus",
            )
        opened.append(corpora)
    return tuple(opened[1:])


def _parse(named: str) -> tuple[str, float | None]:
    """A directory and its weight, if it has one: a directory's own name may hold a colon."""
    directory, colon, weight = named.rpartition(":")
    if not colon or not directory or weight.startswith("//") or os.path.isdir(named):
        return named, None
    try:
        value = float(weight)
    except ValueError:
        return named, None
    if not 0 < value < float("inf"):
        raise ConfigError("The weight of a corpus must be above 0", received=named)
    return directory, value
