"""Command-line flags from config dataclasses."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from pipeline.config.choices import alternatives, is_choice
from pipeline.config.tree import from_dict, read_all_yaml

ConfigT = TypeVar("ConfigT")


def add_flags(parser: argparse.ArgumentParser, kind: type, *, group: str = "options") -> None:
    """Adds a flag for every field of a config, and `--config` for a YAML file with the same names.

    The parsed values lack flags that are not given, so that those of the file and the defaults apply.
    """
    section = parser.add_argument_group(group)
    section.add_argument(
        "--config",
        action="append",
        metavar="YAML",
        default=[],
        help="YAML file of options; flags override it; if there are several files, later ones override earlier ones",
    )
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        arguments: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
        arguments["help"] = _help_text(field)
        value_type = _without_none(hints[field.name])
        if value_type == tuple[int, ...]:
            arguments |= {"type": _comma_separated, "metavar": "N,N,..."}
        elif typing.get_origin(value_type) is tuple:
            arguments |= {"nargs": "+", "action": "extend", "type": typing.get_args(value_type)[0]}
        elif value_type is bool:
            arguments["action"] = argparse.BooleanOptionalAction
        else:
            arguments |= {"type": value_type, "choices": field.metadata["choices"]}
        section.add_argument(f"--{field.name.replace('_', '-')}", **arguments)


def add_override_flags(parser: argparse.ArgumentParser, kind: type, *, dest: str) -> None:
    """Adds a flag for every option of a config and of nested configs, such as `--trainer.train-steps`.

    Each appends an override, in the form of `pipeline.config.tree.apply_overrides`, to the list `dest`. `--help` does
    not list these flags because there are so many.
    """
    for path in _paths(kind):
        parser.add_argument(
            f"--{path.replace('_', '-')}",
            dest=dest,
            action="append",
            type=f"{path}={{}}".format,
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
        )


def _paths(kind: type, above: str = "") -> Iterator[str]:
    """Yields the paths of the options of a config and of nested configs."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint) or is_choice(hint):
            within = (path for kind in alternatives(hint) for path in _paths(kind, f"{above}{field.name}."))
            yield from dict.fromkeys(within)
        else:
            yield f"{above}{field.name}"


def config_from(arguments: argparse.Namespace, kind: type[ConfigT]) -> ConfigT:
    """Builds a config from the YAML files and the flags of parsed arguments; flags override files.

    Raises:
        ConfigError: for an invalid value.
    """
    values = read_all_yaml(arguments.config)
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    values |= {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    return from_dict(kind, values)


# Actions that keep only the last value, unlike argparse's and Beam's for lists.
_KEEPS_LAST = (
    argparse._StoreAction,
    argparse._StoreTrueAction,
    argparse._StoreFalseAction,
    argparse.BooleanOptionalAction,
)


def check_given_once(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Rejects an option that is given twice with different values, since the first would be silently ignored.

    Options that collect values, and files of options, are not affected. Options that the parser does not know, such as
    Beam's, are skipped.

    Args:
        parser: the parser of the arguments.
        argv: the arguments.

    Raises:
        SystemExit: with exit code 2 and a message on standard error.
    """
    for flag, values in values_given(parser, argv).items():
        if len(set(values)) > 1:
            parser.error(f"argument {flag}: given twice, with {values[0]} and {values[-1]}")


def values_given(parser: argparse.ArgumentParser, argv: Sequence[str]) -> dict[str, list[str]]:
    """Returns all values given for each option that keeps only its last, by flag, in the order of the arguments."""
    given: dict[str, list[str]] = {}
    flag_of: dict[str, str] = {}
    for place, token in enumerate(argv):
        flag, equals, value = token.partition("=")
        action = parser._option_string_actions.get(flag)
        if type(action) not in _KEEPS_LAST or action is None or action.nargs == "+":
            continue
        if action.nargs == 0:  # For --x and --no-x, the flag itself is the value.
            value = flag
        elif not equals:
            value = argv[place + 1] if place + 1 < len(argv) else ""
        given.setdefault(action.dest, []).append(value)
        flag_of[action.dest] = flag
    return {flag_of[name]: values for name, values in given.items()}


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
