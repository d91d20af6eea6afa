"""Compiling inner loops before work begins: before workers are started, each of which would do it for itself."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Sequence

CORPUS_LOOPS = ("pipeline.kernels", "pipeline.record_kernels", "pipeline.tokenizers.chunk_kernels")
MASKING_LOOPS = ("pipeline.training.masking_kernels",)
_SECONDS_IN_SILENCE = 2.0


def compile_loops(modules: Sequence[str]) -> None:
    """Compiles the loops of some modules, or loads what was compiled before; says so if compiling takes long."""
    from numba.core import event

    note = "Compiling the inner loops, as is done once after an installation."
    timer = threading.Timer(_SECONDS_IN_SILENCE, lambda: print(note, file=sys.stderr, flush=True))
    timer.daemon = True

    class StartTimer(event.Listener):  # type: ignore[misc]
        def on_start(self, event: event.Event) -> None:
            if timer.ident is None:
                timer.start()

        def on_end(self, event: event.Event) -> None:
            pass

    # Numba announces what it compiles, but not what it loads from its cache, however long that takes.
    with event.install_listener("numba:compile", StartTimer()):
        for module in modules:
            importlib.import_module(module)
    timer.cancel()
