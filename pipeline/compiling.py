"""Compiles inner loops with Numba, ahead of their first call, and caches the result on disk."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from numba import njit, types

# The modules with such loops: compiled before workers start, since each worker would compile them for itself.
CORPUS_LOOPS = (
    "pipeline.instances.kernels",
    "pipeline.masking.kernels",
    "pipeline.records.kernels",
    "pipeline.tokenizers.chunk_kernels",
)
MASKING_LOOPS = ("pipeline.masking.kernels",)
VOCABULARY_LOOPS = ("pipeline.tokenizers.learning.byte_pair_kernels",)
CSV_LOOPS = ("pipeline.text.reading.csv_rows",)
READING_LOOPS = ("pipeline.reader.kernels", "pipeline.records.kernels")
_SECONDS_IN_SILENCE = 2.0
CallableT = TypeVar("CallableT", bound=Callable[..., object])


def read_only(dtype: Any, dimensions: int = 1) -> Any:
    """The type of a contiguous array that a loop only reads; writable arrays are accepted as well."""
    return types.Array(dtype, dimensions, "C", readonly=True)


def compiled(result: Any, *arguments: Any) -> Callable[[CallableT], CallableT]:
    """Compiles a function for one signature when its module is imported, or loads it from the cache.

    A launcher that imports the module before it starts its workers spares each of them the compiler. Compiled code
    is cached next to the module, otherwise in the user's cache directory (or `NUMBA_CACHE_DIR`). If neither is
    writable, each process compiles for itself.

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
    """Inlines a function into the compiled loops that call it."""
    return cast(CallableT, njit(inline="always")(function))


def called(function: CallableT) -> CallableT:
    """Compiles a function that compiled loops call, where inlining it at each call would make too much code."""
    return cast(CallableT, njit(nogil=True)(function))


def compile_loops(modules: Sequence[str]) -> None:
    """Compiles the loops of `modules`, or loads them from the cache; prints a note if compiling takes long."""
    from numba.core import event

    note = "Compiling the inner loops; this happens once after an installation."
    timer = threading.Timer(_SECONDS_IN_SILENCE, lambda: print(note, file=sys.stderr, flush=True))
    timer.daemon = True

    class StartTimer(event.Listener):  # type: ignore[misc]
        def on_start(self, event: event.Event) -> None:
            if timer.ident is None:
                timer.start()

        def on_end(self, event: event.Event) -> None:
            pass

    # Numba reports what it compiles, but not what it loads from its cache, however long that takes.
    with event.install_listener("numba:compile", StartTimer()):
        for module in modules:
            importlib.import_module(module)
    timer.cancel()
