"""Writes docs/commands.md from the commands' own help: `make site`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pipeline.cli import PROG, add_commands

PAGE = Path(__file__).with_name("commands.md")
_HEAD = """# Commands

What `mlm-pipeline COMMAND --help` prints; [Options](options.md) has their sources. Written by `make site`.
"""


def page() -> str:
    """Returns the text of the page."""
    os.environ["COLUMNS"] = "100"  # Of the help, wherever this runs.
    parts = [_HEAD]
    for name, parser in add_commands(argparse.ArgumentParser(prog=PROG)).items():
        parts.append(f"## {name}\n\n```text\n{parser.format_help().strip()}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
