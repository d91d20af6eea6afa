"""Opens a finished corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import files
from pipeline.beam.corpus.config import CorpusConfig
from pipeline.config.tree import from_dict
from pipeline.errors import ConfigError, CorpusError
from pipeline.manifest import Manifest, Shard, read_manifest


@dataclass(frozen=True)
class Corpus:
    """A finished corpus.

    Attributes:
        directory: its directory.
        manifest: its manifest.
        config: the manifest's options.
    """

    directory: str
    manifest: Manifest
    config: CorpusConfig

    def path(self, shard: Shard) -> str:
        """Returns the path of a shard."""
        return files.join(self.directory, shard.name)


def open_corpus(directory: str) -> Corpus:
    """Opens a corpus.

    Raises:
        CorpusError: if it is unfinished, or its manifest's options are not those of this version.
    """
    manifest = read_manifest(directory)
    try:
        return Corpus(directory, manifest, from_dict(CorpusConfig, manifest.options))
    except ConfigError as error:
        raise CorpusError(
            f"The manifest of {directory} must contain the options of this version of the corpus job",
            received=str(error),
            do="Use the version of this package that made the corpus, or make it again",
        ) from error


def changed_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that differ from the defaults, in the order of the config; unknown options come last."""
    defaults = {field.name: field.default for field in dataclasses.fields(CorpusConfig)}
    known = {name: options[name] for name in defaults if name in options}
    unknown = {name: value for name, value in options.items() if name not in defaults}
    return {
        name: value
        for name, value in (known | unknown).items()
        if name not in defaults or (tuple(value) if isinstance(value, list) else value) != defaults[name]
    }
