"""Imports flow one way, and what takes long to import is imported only where it is used."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
# The rooms, from the ground up: a package, or a module that stands by itself. What a room imports, lazily or not,
# stands on a line above its own; rooms on one line do not know one another.
RANKS = [
    line.split()
    for line in """
        version errors compiling seeding interrupts scripts shipped worth_a_look
        stores
        files standard_output splitmix
        quiet locks config hub
        records
        manifest masking
        text.reading tokenizers sample
        text tokenizers.learning instances reader
        beam.running
        beam.corpus beam.vocab
        inspection
        inspection.validation
        training.text_ops
        training.dataset_errors training.durations training.finite training.objectives training.stages
        training.checkpoint_files
        training.report
        training.modeling
        training.encoder_base
        training.modernbert
        training.encoders
        training.bert training.budget
        training.configs
        training.corpora training.published training.budget_recipes
        training.memory
        training.config_differences training.distribution training.optimization
        training.run_folder training.data
        training.plan
        training.exchange.families
        training.loop training.exchange
        training.task_factory
        training.masked_lm
        training
        training.evaluation training.experiments
        training.start_checks training.decaying training.budgeted training.lengthening training.continuing
        training.run
        commands
        cli
        __main__
    """.strip().splitlines()
]
RANK_OF = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
# The two halves meet in the record contract alone, whatever their ranks.
NOT_FOR_TRAINING = {"text", "sample", "instances", "beam", "inspection"}
# The modules that hold PTransforms; what uses them imports them where it runs a pipeline.
PTRANSFORMS = {"pipeline.beam.running.transforms", "pipeline.beam.corpus.transforms"}
HEAVY = {"tensorflow", "tensorflow_text", "apache_beam", "keras"}


def room_of(module: str) -> str:
    """The room that a module such as pipeline.text.reading.plan belongs to; "" for the package `pipeline` itself."""
    names = module.split(".")[1:]
    while names and ".".join(names) not in RANK_OF:
        names.pop()
    return ".".join(names)


def violations(here: str, tree: ast.AST) -> list[str]:
    """What a module of a room imports that it must not."""
    found = []
    modules = {module for module in imports(tree, nested=True) if module.split(".")[0] == "pipeline"}
    # `from package import room` asks for the room alone.
    asked = {module.rpartition(".")[0] for module in modules if module.removeprefix("pipeline.") in RANK_OF}
    for module in sorted(modules - asked):
        there = room_of(module)
        if there in ("", here):
            continue
        apart = here.split(".")[0] == "training" and there.split(".")[0] in NOT_FOR_TRAINING
        if apart or RANK_OF[there] >= RANK_OF[here]:
            found.append(module)
    return found


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
    here = room_of(name_of(path))
    if path.name != "__init__.py":
        assert here, f"{name_of(path)} belongs to no room"
    if here:
        assert violations(here, ast.parse(path.read_text(encoding="utf-8"))) == []


def test_no_circle() -> None:
    """Not within a room either, and not by lazy imports."""
    known = {name_of(path) for path in MODULES}
    graph = {
        name_of(path): known.intersection(imports(ast.parse(path.read_text(encoding="utf-8")), nested=True))
        # A package's own lazy names stand for what it holds.
        - ({name_of(path)} if path.name == "__init__.py" else {name_of(path.parent / "__init__.py")})
        for path in MODULES
    }
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("line", ["import pipeline.cli", "def late() -> None:\n    from pipeline import cli"])
@pytest.mark.parametrize("room", [room for room in RANK_OF if RANK_OF[room] < RANK_OF["cli"]])
def test_a_forbidden_import_is_found_in_every_room(room: str, line: str) -> None:
    path = next(path for path in MODULES if room_of(name_of(path)) == room)
    source = path.read_text(encoding="utf-8")
    assert violations(room, ast.parse(f"{source}\n\n{line}\n")) == ["pipeline.cli"]
    beside = sorted(f"pipeline.{other}" for other in RANKS[RANK_OF[room]] if other != room)
    assert violations(room, ast.parse("".join(f"import {other}\n" for other in beside))) == beside


def test_the_halves_know_nothing_of_one_another() -> None:
    for module in ("pipeline.text.config", "pipeline.beam.corpus.block", "pipeline.instances.examples"):
        assert violations("training.run", ast.parse(f"import {module}")) == [module]
    assert violations("beam.corpus", ast.parse("import pipeline.training.bert")) == ["pipeline.training.bert"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_what_is_heavy_is_imported_where_it_is_used(path: Path) -> None:
    if room_of(name_of(path)).startswith("training") or name_of(path) in PTRANSFORMS:
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
    assert room_of("pipeline.text.reading.plan") == "text.reading"
    assert room_of("pipeline.text.config.TextConfig") == "text"
    assert room_of("pipeline.files") == "files"
    assert room_of("pipeline") == ""


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
