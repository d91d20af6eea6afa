"""Configs of several kinds, each with its own options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

ClassT = TypeVar("ClassT", bound=type)


class Choice:
    """Base class of configs that differ by their option `type`, like tensorflow/models' `OneOfConfig`.

    Each kind is a subclass and a dataclass, registered under its types. A field annotated with the base can hold any
    of them. YAML, overrides and code name the `type`; the first one registered is the default.
    """

    kinds: ClassVar[dict[str, type]]

    @classmethod
    def register(cls, *types: str) -> Callable[[ClassT], ClassT]:
        """Registers the decorated class under these values of `type`."""

        def decorate(kind: ClassT) -> ClassT:
            for name in types:
                if name in cls.kinds:
                    raise ValueError(f"Type {name} is already registered: {cls.kinds[name].__name__}.")
                cls.kinds[name] = kind
            return kind

        return decorate

    @classmethod
    def kind_of(cls, values: Mapping[str, Any]) -> type:
        """Returns the class for a mapping of options, which may be grouped under their type's name.

        Raises:
            KeyError: for a type that is not registered.
        """
        groups = [name for name in cls.kinds if name in values]
        stated = values.get("type", groups[0] if len(groups) == 1 else next(iter(cls.kinds)))
        return cls.kinds[stated if isinstance(stated, str) else str(stated)]


def alternatives(kind: Any) -> list[type]:
    """Returns the classes that a config of class `kind` may have: those of a choice, or the class itself."""
    return list(dict.fromkeys(kind.kinds.values())) if is_choice(kind) else [kind]


def is_choice(kind: Any) -> bool:
    """Whether a class is the base of a choice."""
    return isinstance(kind, type) and issubclass(kind, Choice) and Choice in kind.__bases__
