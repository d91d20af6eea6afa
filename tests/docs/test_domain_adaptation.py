"""The commands of docs/domain-adaptation.md run one after another, with fewer steps and less text."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.sample import corpus as sample_corpus
from pipeline.sample.package_sources import STANDARD_LIBRARY, documents, source_files

PAGE = Path(__file__).parents[2] / "docs" / "domain-adaptation.md"
COMMAND = re.compile(r" {4}(MODEL=|(pip|python|head|mlm-pipeline) )")
# What decides how long a command takes, and what less text needs.
SHORTER = {
    "--add": "100",
    "--held-out-fraction": "0.2",
    "--validation-fraction": "0.2",
    "--steps": "2",
    "--more-steps": "1",
    "--trainer.heads-only-steps": "1",
    "--trainer.pseudo-tokens": "2",
    "--trainer.validation-interval": "2",
}
# Trainings like that of out/adapted, with another corpus or one more option; half a minute each.
ALIKE = ("out/as-it-was", "out/head-first")


def commands() -> Iterator[str]:
    """The page's commands, each on one line."""
    lines = iter(PAGE.read_text().split("\n"))
    for line in lines:
        if COMMAND.match(line):
            while line.endswith("\\"):
                line = line.removesuffix("\\") + next(lines).strip()
            yield line.strip()


def arguments_of(command: str) -> list[str]:
    """The arguments of one of our commands, as a shell makes them, with the shorter options."""
    arguments = shlex.split(command)[1:]
    for place, argument in enumerate(arguments[:-1]):
        arguments[place + 1] = SHORTER.get(argument, arguments[place + 1])
    return arguments


def write_books() -> None:
    """Four books of documentation."""
    Path("books").mkdir()
    paths = [path for path in source_files(STANDARD_LIBRARY) if path.parent.name in ("email", "asyncio", "json")]
    found = [document for path in paths for document in documents(path)[0]]
    for number in range(4):
        text = "\n\n".join("\n".join(document) for document in found[number::4])
        Path(f"books/{number}.txt").write_text(text)


@pytest.mark.slow
def test_the_commands_run(
    peer_environment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    huggingface = peer_environment("huggingface") / "bin"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sample_corpus, "DEFAULT_PACKAGES", ("packaging", "absl-py"))  # The others take half a minute.
    write_books()
    model, ran = "", []
    for command in commands():
        name = command.split()[0]
        if name.startswith("MODEL="):
            model = command.removeprefix("MODEL=")
        elif name == "mlm-pipeline":
            arguments = arguments_of(command.replace("$MODEL", model))
            if not set(ALIKE) & set(arguments):
                assert main(arguments) == 0, command
                ran.append(arguments[0])
        else:
            # `pip` and `python` are those of this environment, and of the one with transformers once it is needed.
            folder = huggingface if "transformers" in command else Path(sys.executable).parent
            path = f"{folder}{os.pathsep}{os.environ['PATH']}"
            subprocess.run(["bash", "-c", command], env={**os.environ, "PATH": path}, check=True)
    assert ran[:3] == ["vocab", "corpus", "sample-corpus"]
    assert ran.count("pretrain") == 4
    printed = capfd.readouterr().out
    assert "[MASK] = " in printed  # Ours,
    assert "'token_str': " in printed  # and the exported model in transformers.
