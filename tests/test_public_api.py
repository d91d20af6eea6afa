"""The public API: what `__all__` names, documented in docstrings and in docs/api."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import pipeline

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))


def shown_names() -> dict[str, dict[str, Any]]:
    """The names that the pages show, with the options of mkdocstrings."""
    directive = re.compile(r"^::: (\S+)$(?:\n    options: (.+)$)?", re.MULTILINE)
    found = [each for page in PAGES for each in directive.findall(page.read_text(encoding="utf-8"))]
    assert len(found) == len(dict(found)), "a name is on the pages twice"
    return {name: yaml.safe_load(options) if options else {} for name, options in found}


def public_names() -> dict[str, Any]:
    """Every public object by its public name, such as pipeline.reader.Corpus.

    A module that a public module names, such as pipeline.training.bert, has the names of a module of tensorflow/models.
    """
    found = {}
    for module_name in pipeline.__all__:
        if module_name != "__version__":
            module = importlib.import_module(f"pipeline.{module_name}")
            found |= {f"pipeline.{module_name}.{name}": getattr(module, name) for name in module.__all__}
    return found


NAMES, SHOWN = public_names(), shown_names()
OBJECTS = {name: found for name, found in NAMES.items() if not isinstance(found, ModuleType)}


def members(name: str, kind: type) -> list[str]:
    """The names of the methods and properties of a class that its page shows."""
    options = SHOWN.get(name, {})
    if isinstance(found := options.get("members"), list):
        return found
    ours = (vars(owner).items() for owner in reversed(kind.__mro__) if _is_ours(owner))
    described = {each for items in ours for each, member in items if callable(function_of(member))}
    return [] if found is False else [each for each in sorted(described) if not each.startswith("_")]


def function_of(member: Any) -> Any:
    """The function of a method or a property."""
    return getattr(member, "fget", None) or getattr(member, "__func__", member)


def _is_ours(found: Any) -> bool:
    return getattr(found, "__module__", "").split(".")[0] == "pipeline"


def faults(name: str, found: Any) -> list[str]:
    """What is wrong with the docstring of a public object."""
    if inspect.isclass(found):
        doc = inspect.getdoc(found) or ""
        made = inspect.getattr_static(found, "__init__")
        if not _is_ours(made) or getattr(found, "_is_protocol", False):
            made = None
        elif made.__doc__:
            doc += f"\n\n{inspect.getdoc(made)}"  # The site shows both as one.
        wrong = faults_of(name, doc, _parameters(made), _raised(made) | _raised_by_check(found))
        if dataclasses.is_dataclass(found):
            wrong = [f"{name}: a field {field.name} without a description" for field in _undescribed(found, doc)]
        for each in members(name, found):
            member = inspect.getattr_static(found, each)
            wrong += faults_of_function(f"{name}.{each}", function_of(member), is_property=isinstance(member, property))
        return wrong
    return faults_of_function(name, found)


def faults_of_function(name: str, function: Any, *, is_property: bool = False) -> list[str]:
    doc = inspect.getdoc(function) or ""
    wrong = faults_of(name, doc, _parameters(function), _raised(function))
    if is_property:
        return wrong
    returns = inspect.signature(function).return_annotation
    if returns not in (None, "None", inspect.Signature.empty):
        says = re.search(r"^(Returns|Yields):", doc, re.MULTILINE) or re.match(
            r"(Returns|Yields|Makes|Builds|Whether|Reads|Tokenizes|Converts)\b", doc
        )
        wrong += [] if says else [f"{name}: nothing on what is returned"]
    return wrong


def faults_of(name: str, doc: str, parameters: set[str], raised: set[str]) -> list[str]:
    if not doc:
        return [f"{name}: no docstring"]
    wrong = [f"{name}: no full stop at the end of the summary"] if not _summary(doc).endswith(".") else []
    described = set(re.findall(r"^ +\**(\w+)(?: \([^)]*\))?:", _section(doc, "Args"), re.MULTILINE)) | set(
        re.findall(r"`(\w+)`", doc)
    )
    wrong += [f"{name}: the parameter {each} is not described" for each in sorted(parameters - described)]
    missing = sorted(error for error in raised if not re.search(rf"\b{error}\b", doc))
    return wrong + [f"{name}: {error} is not under Raises" for error in missing]


def _summary(doc: str) -> str:
    return doc.partition("\n\n")[0]


def _section(doc: str, title: str) -> str:
    return re.split(r"^\S", doc.partition(f"{title}:\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def _parameters(function: Any) -> set[str]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return set()  # None, or a class without a constructor of its own.
    plain = (p for p in signature.parameters.values() if p.name not in ("self", "cls", "args", "kwargs"))
    return {parameter.name for parameter in plain if not parameter.name.startswith("_")}


def _raised(function: Any) -> set[str]:
    """The errors that a function itself raises."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (TypeError, OSError):
        return set()
    found = (node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call))
    names = {ast.unparse(call.func) for call in found if isinstance(call, ast.Call)}
    return {name for name in names if re.fullmatch(r"\w+Error", name)}


def _raised_by_check(kind: type) -> set[str]:
    return _raised(vars(kind)["__post_init__"]) if "__post_init__" in vars(kind) else set()


def _undescribed(kind: Any, doc: str) -> list[dataclasses.Field[Any]]:
    described = set(re.findall(r"^ +(\w+):", _section(doc, "Attributes") + _section(doc, "Args"), re.MULTILINE))
    return [
        field
        for field in dataclasses.fields(kind)
        if not field.metadata.get("help") and field.name not in described and not field.name.startswith("_")
    ]


def test_public_modules_say_what_they_are() -> None:
    assert len(NAMES) > 40
    for name in pipeline.__all__[1:]:
        module = importlib.import_module(f"pipeline.{name}")
        assert _summary(module.__doc__ or "").endswith(".")
        assert list(module.__all__) == sorted(module.__all__)
        assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("name", OBJECTS)
def test_public_names_are_documented(name: str) -> None:
    assert faults(name, OBJECTS[name]) == []


def test_the_pages_have_every_public_name() -> None:
    """By the name under which users import it."""
    assert sorted(SHOWN) == sorted(OBJECTS)
    for name, options in SHOWN.items():
        for each in options.get("members") or ():
            assert hasattr(OBJECTS[name], each)


@pytest.mark.parametrize("name", ["beam_pipeline", "grain_data", "pytorch_data"])
def test_examples_use_public_names(name: str) -> None:
    tree = ast.parse((ROOT / "examples" / f"{name}.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    ours = {f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    used = {found for found in ours if found.startswith("pipeline.")}
    assert used
    assert used <= NAMES.keys()


def test_the_rules_can_fail() -> None:
    def bad(first: int, *, second: str) -> int:
        """Adds `first`"""
        raise ValueError("no")

    def good(first: int, *, second: str) -> int:
        """Adds.

        Args:
            first: a number.
            second: another.

        Returns:
            The sum.

        Raises:
            ValueError: always.
        """
        raise ValueError("no")

    class Plain:
        def method(self, value: int) -> None: ...

    @dataclasses.dataclass
    class Data:
        """Data.

        Attributes:
            known: a number.
        """

        known: int
        other: int

    assert faults("bad", bad) == [
        "bad: no full stop at the end of the summary",
        "bad: the parameter second is not described",
        "bad: ValueError is not under Raises",
        "bad: nothing on what is returned",
    ]
    assert faults("good", good) == []
    Plain.__module__ = Data.__module__ = "pipeline.x"
    assert faults("Plain", Plain) == ["Plain: no docstring", "Plain.method: no docstring"]
    assert faults("Data", Data) == ["Data: a field other without a description"]
