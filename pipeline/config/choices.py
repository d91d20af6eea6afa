"""A config of which there are several kinds, each with options of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

ClassT = TypeVar("ClassT", bound=type)


class Choice:
    """The base of configs that are told apart by their option `type`, as tensorflow/models' `OneOfConfig`.

    A kind is a subclass, a dataclass, and is registered under its types. A field annotated with the base holds any of
    them; YAML, overrides and code name the `type`, and the first one registered is the default.
    """

    kinds: ClassVar[dict[str, type]]

    @classmethod
    def register(cls, *types: str) -> Callable[[ClassT], ClassT]:
        """Registers the decorated class for values of `type`."""

        def decorate(kind: ClassT) -> ClassT:
            for name in types:
                if name in cls.kinds:
                    raise ValueError(f"There is a type {name} already: {cls.kinds[name].__name__}.")
                cls.kinds[name] = kind
            return kind

        return decorate

    @classmethod
    def kind_of(cls, values: Mapping[str, Any]) -> type:
        """The class of a mapping of options, which may also hold them as a group under their type's name.

        Raises:
            KeyError: for a type that is not registered.
        """
        groups = [name for name in cls.kinds if name in values]
        stated = values.get("type", groups[0] if len(groups) == 1 else next(iter(cls.kinds)))
        return cls.kinds[stated if isinstance(stated, str) else str(stated)]


def alternatives(kind: Any) -> list[type]:
    """The classes that a config of class `kind` may have: those of a choice, else itself."""
    return list(dict.fromkeys(kind.kinds.values())) if is_choice(kind) else [kind]


def is_choice(kind: Any) -> bool:
    """Whether a class is the base of a choice."""
    return isinstance(kind, type) and issubclass(kind, Choice) and Choice in kind.__bases__
