"""Writes docs/options.md from the configurations themselves: `make docs`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.beam.config import CorpusConfig
from pipeline.beam.vocab_config import VocabConfig
from pipeline.text.config import TextConfig

PAGE = Path(__file__).with_name("options.md")
_HEAD = """# Options

Every option of the Beam jobs, with its default and the paper or code that it follows. The names are those of YAML
files; as flags they have dashes (`--max-seq-length`). Written by `make docs`.
"""


def page() -> str:
    """The page's text."""
    shared = dataclasses.fields(TextConfig)
    tables = [_table("The text that corpus and vocab read", shared)]
    for verb, kind in (("corpus", CorpusConfig), ("vocab", VocabConfig)):
        tables.append(_table(verb, [field for field in dataclasses.fields(kind) if field not in shared]))
    return "\n".join([_HEAD, *itertools.chain(*tables)])


def _table(title: str, fields: Iterable[dataclasses.Field[Any]]) -> list[str]:
    rows = [f"## {title}\n", "| option | default | what it does | follows |", "| --- | --- | --- | --- |"]
    for field in fields:
        default = "" if field.default in (None, "", ()) else f"`{field.default}`"
        what = str(field.metadata["help"]).replace("|", "\\|")
        rows.append(f"| `{field.name}` | {default} | {what} | {field.metadata['source']} |")
    return [*rows, ""]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
