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
    """Compiles the loops of some modules, or finds them compiled already; says so if that takes long."""
    note = "Compiling the inner loops, as is done once after an installation."
    timer = threading.Timer(_SECONDS_IN_SILENCE, lambda: print(note, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        for module in modules:
            importlib.import_module(module)
    finally:
        timer.cancel()
