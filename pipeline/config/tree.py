"""Options as frozen dataclasses, from flags or YAML, checked before any work starts.

A config is a frozen dataclass that declares its fields with `option` and checks itself in `__post_init__`.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import numbers
import os
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pipeline import files
from pipeline.config.choices import Choice, is_choice
from pipeline.errors import ConfigError, InputError
from pipeline.shipped import find_shipped

ConfigT = TypeVar("ConfigT")


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    source: str = "",
) -> Any:
    """Declares a field of a config.

    Args:
        default: its default.
        help: what it does, with its unit, for `--help` and the docs.
        choices: the allowed values.
        minimum: the smallest allowed value.
        maximum: the largest allowed value.
        source: the paper or code that it follows.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices) if choices else None,
        "minimum": minimum,
        "maximum": maximum,
        "source": source,
    }
    if isinstance(default, (dict, list)) or dataclasses.is_dataclass(default):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_ranges(config: Any) -> None:
    """Checks every field's type, and the choices, minima and maxima that `option` declared.

    Values are converted to the annotated type if that loses nothing: a list to a tuple, a mapping to a config.

    Raises:
        ConfigError: naming the option, its allowed values, and its value.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = _coerce(hints[field.name], getattr(config, field.name), field.name)
        object.__setattr__(config, field.name, value)
        _check_range(field, value, field.name)


def _check_range(field: dataclasses.Field[Any], value: Any, path: str) -> None:
    choices, low, high = (field.metadata.get(key) for key in ("choices", "minimum", "maximum"))
    if value is None:
        return
    if isinstance(value, tuple):
        for item in value:
            _check_range(field, item, path)
        return
    if choices and value not in choices:
        raise ConfigError(f"{path} must be one of {', '.join(map(str, choices))}", received=repr(value))
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        allowed = (
            f"between {low} and {high}"
            if None not in (low, high)
            else f"at least {low}"
            if high is None
            else f"at most {high}"
        )
        raise ConfigError(f"{path} must be {allowed}", received=value)


def to_dict(config: Any) -> dict[str, Any]:
    """Converts a config to plain dictionaries, lists and scalars, for YAML and JSON."""
    return typing.cast(dict[str, Any], _plain(dataclasses.asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def from_dict(kind: type[ConfigT], values: Mapping[str, Any], *, where: str = "") -> ConfigT:
    """Builds a config from a mapping such as a YAML file's, checking names and types.

    Args:
        kind: the class of the config.
        values: values by field name; nested configs as mappings. Missing fields have their defaults.
        where: the path of this mapping in the root config, for messages.

    Raises:
        ConfigError: for an unknown name (with the most similar known one) or a value of the wrong type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or kind.__name__} must be a mapping", received=repr(values))
    kind = _chosen(kind, values, where)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    arguments = {}
    for name, value in _canonical(kind, values, whole=True).items():
        path = _join(where, name)
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            raise ConfigError(
                f"There is no option {path}",
                do=f"Did you mean {near[0]}?" if near else f"The options are: {', '.join(fields)}",
            )
        arguments[name] = _coerce(hints[name], value, path)
        _check_range(fields[name], arguments[name], path)  # Checked here so that the message has the full path.
    try:
        return kind(**arguments)
    except ConfigError as error:  # Options that contradict one another.
        if not where:
            raise
        raise error.within(where) from None


def _coerce(hint: Any, value: Any, path: str) -> Any:
    """Converts `value` to the annotated type `hint`, if that loses nothing."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        members = [part for part in parts if part is not type(None)]
        for index, part in enumerate(members):
            try:
                return _coerce(part, value, path)
            except ConfigError:
                if index == len(members) - 1:
                    raise
    if dataclasses.is_dataclass(hint) or is_choice(hint):
        if isinstance(value, hint):
            return value
        return from_dict(hint, value, where=path)
    if origin in (tuple, list):
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise ConfigError(f"{path} must be a list", received=repr(value))
        items = [_coerce(parts[0], item, f"{path}[{i}]") for i, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if origin in (dict, Mapping) or hint is dict or getattr(origin, "__name__", "") == "Mapping":
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} must be a mapping", received=repr(value))
        return dict(value)
    if hint is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if hint is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    # YAML reads 1e-4 as a string.
    if hint is float and isinstance(value, (numbers.Real, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(
        f"{path} must be of type {getattr(hint, '__name__', hint)}",
        received=f"{value!r} ({type(value).__name__})",
    )


def read_yaml(path: str) -> dict[str, Any]:
    """Reads a YAML mapping, one of the project's own (`pipeline.shipped`) if there is no other file of the name.

    Raises:
        ConfigError: if the file is missing, is not YAML, or is not a mapping.
    """
    import yaml

    try:
        values = _load(files.read(find_shipped(path)))
    except InputError as error:
        raise ConfigError(str(error)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML", received=" ".join(str(error).split())) from error
    if values is not None and not isinstance(values, dict):
        raise ConfigError(f"{path} must contain a mapping of options", received=repr(values)[:80])
    return values or {}


def read_all_yaml(paths: Sequence[str]) -> dict[str, Any]:
    """Reads YAML mappings and merges them, nested ones too; later files override earlier ones. See `read_yaml`."""
    values: dict[str, Any] = {}
    for path in paths:
        values = merged(values, read_yaml(path))
    return values


def _load(text: str | bytes) -> Any:
    """Parses YAML.

    Raises:
        yaml.YAMLError: if it is not YAML, or has a key twice in a mapping, of which PyYAML itself keeps the last.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            for place, key in enumerate(keys):
                if key.value in [earlier.value for earlier in keys[:place]]:
                    problem = f"{key.value} is given twice"
                    raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            return super().construct_mapping(node, deep)

    return yaml.load(text, Loader)


def load_yaml(kind: type[ConfigT], path: str) -> ConfigT:
    """Builds a config from a YAML file; see `read_yaml` and `from_dict`."""
    return from_dict(kind, read_yaml(path))


def dump_yaml(config: Any) -> str:
    """Formats a config as YAML, from which `load_yaml` builds an equal config."""
    import yaml

    return str(yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True))


def apply_overrides(config: ConfigT, overrides: Sequence[str]) -> ConfigT:
    """Applies overrides of the form `a.b=c`, with `c` in YAML, in their order.

    Raises:
        ConfigError: for an override not of this form, an unknown name or a value of the wrong type.
    """
    return replace_values(config, parse_overrides(overrides))


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the values of overrides as a YAML file would have them; see `apply_overrides`.

    Raises:
        ConfigError: for an override not of this form.
    """
    import yaml

    values: dict[str, Any] = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise ConfigError("An override must look like a.b=value", received=repr(override))
        *parents, last = path.strip().split(".")
        node = values
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise ConfigError(
                    f"{override!r} sets an option of {parent}",
                    received=f"{parent}={child!r} before it",
                    do="Give only one of them",
                )
            node = child
        try:
            value = _load(text)
        except yaml.YAMLError as error:
            raise ConfigError(
                f"The value in {override!r} is not valid YAML", received=" ".join(str(error).split())
            ) from error
        # A mapping of some options keeps others of the group that were set before.
        both = isinstance(value, dict) and isinstance(node.get(last), dict)
        node[last] = merged(node[last], value) if both else value
    return values


def replace_values(config: ConfigT, values: Mapping[str, Any], *, where: str = "") -> ConfigT:
    """Returns a config with some values replaced, in nested configs as well; lists are replaced as a whole.

    Args:
        config: provides all other values.
        values: as `from_dict` takes them.
        where: the path of the config in the root config, for messages.

    Raises:
        ConfigError: for an unknown name or a value of the wrong type.
    """
    kind = type(config)
    if isinstance(config, Choice) and "type" in values:
        base = next(base for base in kind.__mro__ if is_choice(base))
        if not issubclass(_chosen(base, values, where), kind):
            return typing.cast(ConfigT, from_dict(base, values, where=where))  # Another kind starts from its defaults.
    changed: dict[str, Any] = {}
    for name, value in _canonical(kind, values, whole=False).items():
        path, current = _join(where, name), getattr(config, str(name), None)
        if isinstance(value, Mapping):
            if dataclasses.is_dataclass(current):
                value = replace_values(current, value, where=path)
            elif isinstance(current, Mapping):
                value = merged(current, value)
            elif current is not None and value:
                raise ConfigError(
                    f"There is no option {path}.{next(iter(value))}", do=f"{name} has no options of its own"
                )
        changed[name] = value
    fields = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    return from_dict(kind, {**{name: getattr(config, name) for name in fields}, **changed}, where=where)


def _chosen(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    """Returns the class of config that `values` select, if `kind` is a choice."""
    if not is_choice(kind):
        return kind
    try:
        return kind.kind_of(values)
    except KeyError:
        raise ConfigError(
            f"{_join(where, 'type')} must be one of {', '.join(kind.kinds)}",
            received=repr(values.get("type")),
        ) from None


def _canonical(kind: type, values: Mapping[str, Any], *, whole: bool) -> Mapping[str, Any]:
    """Renames values to the names of the config's fields, if it accepts other names."""
    canonical = getattr(kind, "canonical_values", None)
    return typing.cast(Mapping[str, Any], canonical(values, whole=whole)) if canonical else values


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merges mappings, nested ones too; `new` overrides `old`."""
    nested = {
        name: merged(old[name], value)
        for name, value in new.items()
        if isinstance(value, Mapping) and isinstance(old.get(name), Mapping)
    }
    return {**old, **new, **nested}


def _join(where: str, name: object) -> str:
    return f"{where}.{name}" if where else str(name)
