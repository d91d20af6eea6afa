"""Second names of options, where published code and tensorflow/models call one thing differently."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, TypeVar

from pipeline.errors import ConfigError

ClassT = TypeVar("ClassT", bound=type)


def accept_aliases(**aliases: str) -> Callable[[ClassT], ClassT]:
    """Lets a config's class take and show fields under second names.

    Args:
        **aliases: a field's name, by its second name.
    """

    def decorate(cls: ClassT) -> ClassT:
        init = cls.__init__  # type: ignore[misc]

        @functools.wraps(init)
        def init_with_aliases(self: Any, *args: Any, **kwargs: Any) -> None:
            for alias, name in aliases.items():
                if alias in kwargs:
                    if name in kwargs:
                        raise ConfigError(f"{alias} is another name of {name}", do="Give only one of them")
                    kwargs[name] = kwargs.pop(alias)
            init(self, *args, **kwargs)

        cls.__init__ = init_with_aliases  # type: ignore[misc]
        for alias, name in aliases.items():
            setattr(cls, alias, property(operator.attrgetter(name)))
        return cls

    return decorate
