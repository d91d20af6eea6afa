"""Names of other projects that are theirs alone, and that this one uses: each must be there still.

The upper bounds of setup.cfg keep versions out that this test has not seen.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pipeline"
# By name: the module and the class that has it, and whether as an attribute of the class or of its objects.
USED = {
    "_DONE_MARKER": ("apache_beam.runners.portability.fn_api_runner.worker_handlers", "BeamFnControlServicer"),
    "_futures_by_id": ("apache_beam.runners.portability.fn_api_runner.worker_handlers", "ControlConnection"),
    "_add_argparse_args": ("apache_beam.options.pipeline_options", "PipelineOptions"),
    "_get_variable_index": ("keras", "Optimizer"),
    "_inbound_nodes": ("keras", "Layer"),
    "_loss_tracker": ("keras", "Model"),
    "_compile_loss": ("keras", "Model"),
    "_track_trackable": ("keras.src.backend.tensorflow.layer", "TFLayer"),
    "_inputs": ("tensorflow", "data.Dataset"),
    "_actions": ("argparse", "ArgumentParser"),
    "_option_string_actions": ("argparse", "ArgumentParser"),
    "_StoreAction": ("argparse", ""),
    "_StoreTrueAction": ("argparse", ""),
    "_StoreFalseAction": ("argparse", ""),
    "_AppendAction": ("argparse", ""),
}
# What is written to or looked for where it may be missing; `_asdict` and its like are public in spite of their names.
PUBLIC = {"_replace", "_asdict", "_exit"}


@pytest.mark.parametrize("name", USED)
def test_each_is_there(name: str) -> None:
    module, where = USED[name]
    owner = importlib.import_module(module)
    for part in filter(None, where.split(".")):
        owner = getattr(owner, part)
    kinds = inspect.getmro(owner) if inspect.isclass(owner) else ()
    # What objects get by assignment stands in the source alone.
    assigned = any(f"self.{name} = " in _source(kind) for kind in kinds)
    assert hasattr(owner, name) or assigned, f"{module} {where} has no {name}"


def _source(kind: type) -> str:
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):  # Of what is not written in Python.
        return ""


def private_names(tree: ast.AST) -> Iterator[str]:
    """The names beginning with one underscore that a module asks of objects other than itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            yield from (arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant))


def test_no_other_is_used() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")]
    own = {
        name
        for tree in trees
        for node in ast.walk(tree)
        for name in (
            [node.name]
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            else [node.attr]
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            else [node.id]
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            else []
        )
    }
    used = {
        name
        for tree in trees
        for name in private_names(tree)
        if name.startswith("_") and not name.endswith("__") and name not in own | PUBLIC
    }
    # Two are asked for only where they may be missing: what a runner calls its job.
    assert used - {"_job", "_job_id"} <= USED.keys()
