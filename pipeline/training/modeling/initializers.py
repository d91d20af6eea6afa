"""What Keras's initialisers leave to be done."""

from __future__ import annotations

from typing import Any


def clone_initializer(initializer: Any) -> Any:
    """A copy of a Keras initialiser that draws other numbers.

    An unseeded initialiser of Keras fixes its seed when it is made: two weights of one shape that
    share it would start equal.
    """
    return type(initializer).from_config(initializer.get_config())
