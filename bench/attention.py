"""Measures a local layer beside a global one, forward and backward, at several lengths: `make bench-attention`.

    python -m bench.attention

The layers are ModernBERT-base's: a width of 768, 12 heads, a window of 128. A batch always has 4,096 tokens, in rows of
the given length: padded, or packed with sequences of a quarter of the row. "attention" is the attention with its
projections, "block" the whole layer. Each case runs in a process of its own, whose memory is the peak beyond what it
had before the first step. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from pipeline.inspection.estimate import peak_memory

TOKENS = 4096
WIDTH, HEADS, WINDOW, INNER = 768, 12, 128, 1152


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 1024, 4096], help="tokens of a row")
    parser.add_argument("--parts", nargs="+", choices=("attention", "block"), default=["attention", "block"])
    parser.add_argument("--rows", nargs="+", choices=("padded", "packed"), default=["padded"])
    parser.add_argument("--blocks", type=float, nargs="+", help="queries of a block, in windows; unset, a run's")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(_measure(**json.loads(arguments.case))))
        return
    print("| part | rows | length | attention | block, windows | wall, ms | CPU, ms | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for part in arguments.parts:
        for rows in arguments.rows:
            for length in arguments.lengths:
                for block in ("global", *(arguments.blocks or [None])):
                    case = {"part": part, "rows": rows, "length": length, "block": block, "repeats": arguments.repeats}
                    command = [sys.executable, "-m", "bench.attention", "--case", json.dumps(case)]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        raise SystemExit(done.stderr[-3000:])
                    wall, cpu, peak = json.loads(done.stdout.splitlines()[-1])
                    cells = ("global", "") if block == "global" else ("local", "" if block is None else f"{block:g}")
                    numbers = (f"{1000 * wall:,.0f}", f"{1000 * cpu:,.0f}", f"{peak / 1e6:,.0f}")
                    print(f"| {' | '.join((part, rows, f'{length:,}', *cells, *numbers))} |", flush=True)


def _measure(part: str, rows: str, length: int, block: str | float | None, repeats: int) -> tuple[float, float, int]:
    """Seconds of the fastest step, by the clock and of CPU time, and the peak of its memory in bytes."""
    step = _make_step(part, rows, length, block)
    before = peak_memory()
    step()
    wall, cpu = [], []
    for _ in range(repeats):
        start, cpu_start = time.perf_counter(), time.process_time()
        step()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return min(wall), min(cpu), peak_memory() - before


def _make_step(part: str, rows: str, length: int, block: str | float | None) -> Callable[[], Any]:
    """One forward and backward pass."""
    import tensorflow as tf

    from pipeline.training.modeling.local_attention import window_mask
    from pipeline.training.modeling.rotary import rotary_angles
    from pipeline.training.modeling.self_attention import SelfAttention
    from pipeline.training.modeling.transformer_encoder_block import TransformerEncoderBlock

    shape = (TOKENS // length, length, WIDTH)
    sequences = 4 if rows == "packed" else 1
    segments = tf.broadcast_to(1 + tf.range(length) * sequences // length, shape[:2])
    x = tf.random.stateless_normal(shape, seed=(0, 1))
    if part == "attention":
        layer = SelfAttention(HEADS, use_bias=False)
    else:
        layer = TransformerEncoderBlock(
            HEADS, INNER, "gelu", use_bias=False, norm_first=True, gated=True, dense_bias=False, norm_bias=False
        )
    layer.build(shape)

    @tf.function
    def step(x: Any, segments: Any) -> list[Any]:
        if block != "global":
            mask = window_mask(segments, WINDOW, None if block is None else round(float(block) * WINDOW))
        elif rows == "packed":
            mask = tf.cast(segments[:, :, None] == segments[:, None, :], tf.float32)
        else:
            mask = tf.cast(segments > 0, tf.float32)[:, None, :]
        angles = rotary_angles(tf.range(length)[None], WIDTH // HEADS, 10_000.0)
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = layer(x, mask, rotary=angles)[0] if part == "attention" else layer([x, mask], rotary=angles)
            loss = tf.reduce_sum(out)
        gradients: list[Any] = tape.gradient(loss, [x, *(weight.value for weight in layer.weights)])
        return gradients

    return lambda: [gradient.numpy() for gradient in step(x, segments)]


if __name__ == "__main__":
    main()
