"""Alternative names of options, for those that published code and tensorflow/models name differently."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pipeline.errors import ConfigError

ClassT = TypeVar("ClassT", bound=type)


def accept_aliases(
    *, defaults_by_type: Mapping[str, Mapping[str, Any]] | None = None, **aliases: str
) -> Callable[[ClassT], ClassT]:
    """Lets a config class accept and expose fields under alternative names, in code, YAML and overrides.

    With `defaults_by_type`, the class is a choice among types, like tensorflow/models' `OneOfConfig`. Besides flat
    fields, it accepts them in a mapping (or a config) under the type's name, such as `type: bert` with
    `bert: {num_layers: 2}`. Groups of other types are then ignored.

    Args:
        defaults_by_type: for each value of the field `type`, the defaults that differ from the class's.
        **aliases: the name of a field, by its alternative name.
    """
    kinds = dict(defaults_by_type or {})

    def canonical_values(values: Mapping[str, Any], *, whole: bool = True) -> dict[str, Any]:
        """Renames values to the fields' own names; adds the type's defaults if they are a `whole` config."""
        flat = _renamed(values, aliases)
        groups = {kind: flat.pop(kind) for kind in kinds if kind in flat}
        only = next(iter(groups if len(groups) == 1 else kinds), "")
        kind = flat.get("type", only)
        kind = kind if isinstance(kind, str) else only  # A value that is not a string is refused later.
        if groups:
            flat = {"type": kind, **_joined(flat, _renamed(_as_mapping(groups.get(kind, {})), aliases), kind)}
        return {**kinds.get(kind, {}), **flat} if whole else flat

    def decorate(cls: ClassT) -> ClassT:
        init = cls.__init__  # type: ignore[misc]
        names = [field.name for field in dataclasses.fields(cls)]

        @functools.wraps(init)
        def init_with_aliases(self: Any, *args: Any, **kwargs: Any) -> None:
            init(self, **canonical_values({**dict(zip(names, args, strict=False)), **kwargs}))

        cls.__init__ = init_with_aliases  # type: ignore[misc]
        cls.canonical_values = staticmethod(canonical_values)  # type: ignore[attr-defined]
        for alias, name in aliases.items():
            setattr(cls, alias, property(operator.attrgetter(name)))
        return cls

    return decorate


def _renamed(values: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """Renames values from alternative names to the fields' own names."""
    renamed: dict[str, Any] = {}
    for name, value in values.items():
        own = aliases.get(name, name)
        if own in renamed or (own != name and own in values):
            second = next(alias for alias in aliases if aliases[alias] == own and alias in values)
            raise ConfigError(f"{second} is another name of {own}", do="Give only one of them")
        renamed[own] = value
    return renamed


def _joined(flat: Mapping[str, Any], group: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    twice = sorted(flat.keys() & group.keys() - {"type"})
    if twice:
        raise ConfigError(f"{twice[0]} is given twice, directly and as {kind}.{twice[0]}", do="Give only one of them")
    return {**group, **flat}


def _as_mapping(group: Any) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(group):
        return {field.name: getattr(group, field.name) for field in dataclasses.fields(group)}
    if not isinstance(group, Mapping):
        raise ConfigError("An encoder's options must be a mapping", received=repr(group))
    return group
