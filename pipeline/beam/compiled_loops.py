"""Compiling the inner loops before workers are started, of which each would do it for itself."""

from __future__ import annotations

import importlib
import sys
import threading

_MODULES = ("pipeline.kernels", "pipeline.record_kernels", "pipeline.tokenizers.chunk_kernels")
_SECONDS_IN_SILENCE = 2.0


def compile_loops() -> None:
    """Compiles what is compiled, or finds it compiled already; says so if that takes long."""
    note = "Compiling the inner loops, as is done once after an installation."
    timer = threading.Timer(_SECONDS_IN_SILENCE, lambda: print(note, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        for module in _MODULES:
            importlib.import_module(module)
    finally:
        timer.cancel()
