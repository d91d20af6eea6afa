"""Compiling inner loops with Numba, ahead of their first call, and keeping the result on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit, types

CallableT = TypeVar("CallableT", bound=Callable[..., object])


def read_only(dtype: Any, dimensions: int = 1) -> Any:
    """The type of a contiguous array that a loop only reads; writable arrays are taken as well."""
    return types.Array(dtype, dimensions, "C", readonly=True)


def compiled(result: Any, *arguments: Any) -> Callable[[CallableT], CallableT]:
    """Compiles a function for one list of types when its module is imported, or loads what an earlier process compiled.

    So a launcher that imports the module before it starts its workers spares each of them the compiler. Compiled code
    is kept beside the module, else in the user's cache directory (or `NUMBA_CACHE_DIR`); where neither can be written
    to, each process compiles for itself.

    Args:
        result: the type of what it returns.
        *arguments: the types of its arguments.
    """

    def compile_function(function: CallableT) -> CallableT:
        signature = result(*arguments)
        try:
            return cast(CallableT, njit(signature, cache=True, nogil=True)(function))
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return cast(CallableT, njit(signature, nogil=True)(function))

    return compile_function


def inlined(function: CallableT) -> CallableT:
    """Makes a function part of the compiled loops that call it."""
    return cast(CallableT, njit(inline="always")(function))
