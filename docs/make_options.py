"""Writes docs/options.md from the configuration classes: `make docs`."""

from __future__ import annotations

import dataclasses
import itertools
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.beam.vocab.config import VocabConfig
from pipeline.config.choices import alternatives, is_choice
from pipeline.text.config import TextConfig
from pipeline.training.configs import ExperimentConfig

PAGE = Path(__file__).with_name("options.md")
_HEAD = """# Options

Every option of the Beam jobs and of pre-training, with its default and the paper or code that it follows. The names are
those of YAML files; as flags they have dashes: `--max-seq-length 128` of the jobs, `--trainer.train-steps 1000` of
pre-training, which also takes them as `--params-override trainer.train_steps=1000`. Written by `make docs`.
"""


def page() -> str:
    """Returns the text of the page."""
    shared = dataclasses.fields(TextConfig)
    tables = [_table("The text that corpus and vocab read", shared)]
    for verb, kind in (("corpus", CorpusConfig), ("vocab", VocabConfig)):
        tables.append(_table(verb, [field for field in dataclasses.fields(kind) if field not in shared]))
    for kind, paths in _sections(ExperimentConfig).items():
        types = [name for name, other in getattr(kind, "kinds", {}).items() if other is kind]
        title = f"pretrain: {', '.join(paths)}" + (f", type {' or '.join(types)}" if types else "")
        tables.append(_table(title, [field for field in dataclasses.fields(kind) if not _nested(kind, field)]))
    return "\n".join([_HEAD, *itertools.chain(*(table for table in tables if table))])


def _sections(kind: type, path: str = "") -> dict[type, list[str]]:
    """Returns the paths of all nested configs, by class, the outer before the inner."""
    sections: dict[type, list[str]] = {}
    for field in dataclasses.fields(kind):
        for inner in _nested(kind, field):
            inner_path = f"{path}.{field.name}".lstrip(".")
            sections.setdefault(inner, []).append(inner_path)
            sections |= _sections(inner, inner_path)
    return sections


def _nested(kind: type, field: dataclasses.Field[Any]) -> list[type]:
    """Returns the classes of the configs that a field holds, directly or in a list; several for a choice."""
    hint = typing.get_type_hints(kind)[field.name]
    parts = (hint, *typing.get_args(hint))
    configs = [part for part in parts if dataclasses.is_dataclass(part) or is_choice(part)]
    return [inner for config in configs if isinstance(config, type) for inner in alternatives(config)]


def _table(title: str, fields: Iterable[dataclasses.Field[Any]]) -> list[str]:
    fields = list(fields)
    if not fields:
        return []
    rows = [f"## {title}\n", "| option | default | what it does | follows |", "| --- | --- | --- | --- |"]
    for field in fields:
        default = "" if field.default in (None, "", ()) else f"`{field.default}`"
        what = str(field.metadata["help"]).replace("|", "\\|")
        rows.append(f"| `{field.name}` | {default} | {what} | {field.metadata['source']} |")
    return [*rows, ""]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
