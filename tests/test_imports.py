"""Imports flow one way, and what takes long to import is imported only where it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
# What may be imported by what stands further down; modules of `pipeline` itself are the core, but for these.
RANKS = {
    "core": 0,
    "text": 1,
    "tokenizers": 1,
    "instances": 2,
    "masking": 2,
    "beam": 3,
    "training": 3,
    "inspection": 3,
    "commands": 4,
    "cli": 5,
    "__main__": 6,
}
APART = {"beam", "training"}
# The modules that hold PTransforms; what uses them imports them where it runs a pipeline.
PTRANSFORMS = {"pipeline.beam.running.transforms"}
HEAVY = {"tensorflow", "tensorflow_text", "apache_beam", "keras"}


def part_of(module: str) -> str:
    """The part of the project that a module such as pipeline.text.reading.plan belongs to."""
    names = module.split(".")[1:]
    return names[0] if names and names[0] in RANKS else "core"


def imports(tree: ast.AST, *, nested: bool) -> Iterator[str]:
    """The modules that a module imports, with those imported within functions or without."""
    for node in ast.walk(tree) if nested else _when_imported(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _when_imported(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported."""
    for node in ast.iter_child_nodes(tree):
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not is_for_types and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from _when_imported(node)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_flow_one_way(path: Path) -> None:
    here = part_of(name_of(path))
    for module in imports(ast.parse(path.read_text(encoding="utf-8")), nested=True):
        if module.split(".")[0] == "pipeline":
            there = part_of(module)
            assert RANKS[there] <= RANKS[here], f"{here} must not import {module}"
            assert here == there or {here, there} != APART, f"{here} must not import {module}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_heavy_is_imported_where_it_is_used(path: Path) -> None:
    if part_of(name_of(path)) == "training" or name_of(path) in PTRANSFORMS:
        return
    modules = set(imports(ast.parse(path.read_text(encoding="utf-8")), nested=False))
    assert not {module.split(".")[0] for module in modules} & HEAVY
    assert not modules & PTRANSFORMS


def test_the_rules_can_fail() -> None:
    """The checker sees what it is to see."""
    tree = ast.parse(
        "import a.b\nfrom c import d\nif TYPE_CHECKING:\n    import e\ntry:\n    import f\nfinally:\n    pass\n"
        "class X:\n    import g\n    def m(self):\n        import h\n"
    )
    assert set(imports(tree, nested=False)) == {"a.b", "c", "c.d", "f", "g"}
    assert set(imports(tree, nested=True)) == {"a.b", "c", "c.d", "e", "f", "g", "h"}
    assert part_of("pipeline.text.reading.plan") == "text"
    assert part_of("pipeline.records.spec") == "core"


def verbs() -> list[str]:
    from pipeline import cli

    return sorted(name_of(Path(verb.__file__)).rpartition(".")[2].replace("_", "-") for verb in cli._VERBS)


@pytest.mark.parametrize("verb", ["", *verbs()])
def test_help_answers_without_what_is_heavy(verb: str) -> None:
    script = f"""
import sys
from pipeline.cli import main
try:
    main({[verb, "--help"] if verb else ["--help"]!r})
except SystemExit as end:
    assert not end.code, end.code
print(sorted({HEAVY!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith(f"usage: mlm-pipeline {verb}".rstrip())
    assert done.stdout.splitlines()[-1] == "[]"
