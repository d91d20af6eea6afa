"""Command-line flags out of config dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from typing import Any, TypeVar

from pipeline.config import from_dict, read_yaml

ConfigT = TypeVar("ConfigT")


def add_flags(parser: argparse.ArgumentParser, kind: type, *, group: str = "options") -> None:
    """Adds a flag for every field of a config, and `--config` for a YAML file of the same names.

    Flags that are not given are left out of the parsed values, so that the file's and the defaults stand.
    """
    section = parser.add_argument_group(group)
    section.add_argument("--config", metavar="YAML", help="file of options; flags stand before it")
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        arguments: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        arguments["help"] = _help_text(field)
        value_type = _without_none(hints[field.name])
        if value_type == tuple[int, ...]:
            arguments |= {"type": _comma_separated, "metavar": "N,N,..."}
        elif typing.get_origin(value_type) is tuple:
            arguments |= {"nargs": "+", "type": typing.get_args(value_type)[0]}
        elif value_type is bool:
            arguments["action"] = argparse.BooleanOptionalAction
        else:
            arguments |= {"type": value_type, "choices": field.metadata["choices"]}
        section.add_argument(f"--{field.name.replace('_', '-')}", **arguments)


def config_from(arguments: argparse.Namespace, kind: type[ConfigT]) -> ConfigT:
    """Builds a config from the YAML file and the flags of parsed arguments; flags win.

    Raises:
        ConfigError: for a value it cannot have.
    """
    values = read_yaml(arguments.config) if arguments.config else {}
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values |= {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    return from_dict(kind, values)


def _comma_separated(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


def _help_text(field: dataclasses.Field[Any]) -> str:
    text = str(field.metadata["help"])
    shown = field.default
    if shown is not dataclasses.MISSING and shown not in (None, "", ()):
        text += f" (default: {shown})"
    return text.replace("%", "%%")
