"""Measures training steps on a GPU, in real tokens a second and as a share of the card's peak: `make bench-gpu`.

    python -m bench.gpu
    python -m bench.gpu --models bert-base --lengths 512 --tokens 65536

Rows are packed with random ids, in mixed bfloat16, and made in loops of ten steps, with and without XLA. Where PyTorch
with CUDA is in out/huggingface (`make huggingface`), transformers' models of the same shapes train beside them by its
SDPA attention, on full rows of one sequence: it packs none, and scores every position. Each case has a process of its
own. The share of the peak (model FLOPs utilisation) counts, for each real token, forward and backward,

    6 * layers * (4 * hidden^2 + matrices * hidden * intermediate)    matrices: 3 if the layer is gated, else 2
    + 12 * hidden * (attended positions, summed over layers)          the row's length, or a local layer's window
    + 6 * predictions / tokens * (hidden^2 + hidden * vocabulary)

and the peak is the card's dense one in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
TORCH = ROOT / "out" / "huggingface" / "bin" / "python"
# By words that the name of a card holds: its peak in dense bfloat16 (T4: float16), in TFLOPS. HBM3 is H100's SXM form.
PEAKS = {"H100 PCIe": 756, "H100 HBM3": 989, "H200": 989, "A100": 312, "L4": 121, "T4": 65, "RTX 4090": 165}
LOOP = 10
RATE = 0.15  # Of tokens that are predicted.


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["bert-base", "modernbert-base", "ettin-17m"])
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 512, 1024], help="tokens of a row")
    parser.add_argument("--tokens", type=int, default=32_768, help="of a batch (default: %(default)s)")
    parser.add_argument("--vocab-size", type=int, default=30_522)
    parser.add_argument("--loops", type=int, default=5, help=f"of {LOOP} steps, after one (default: %(default)s)")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: to try the program out")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(_measure(**json.loads(options.case))))
        return
    card = _card() if options.device == "gpu" else "CPU"
    if not card:
        raise SystemExit("There is no GPU that TensorFlow can use here: nothing was measured.")
    peak = find_peak(card)
    print(f"{card}, peak {f'{peak} TFLOPS' if peak else 'n/a'}; batches of {options.tokens:,} positions\n")
    print("| model | length | program | tokens/s | share of peak |")
    print("| --- | --- | --- | --- | --- |")
    own = [sys.executable, "-m", "bench.gpu", "--case"]
    programs = {"this": (own, {"xla": False}), "this, XLA": (own, {"xla": True})}
    if options.device == "gpu" and _has_torch():
        programs["transformers, SDPA"] = ([str(TORCH), str(ROOT / "bench" / "gpu_torch.py")], {})
    for model in options.models:
        for length in options.lengths:
            shape = shape_of(model, length, options.vocab_size)
            for name, (command, more) in programs.items():
                case = {"shape": shape, "tokens": options.tokens, "loops": options.loops, **more}
                done = subprocess.run([*command, json.dumps(case)], capture_output=True, text=True, cwd=ROOT)
                cells = ["failed", done.stderr.strip().splitlines()[-1][:80] if done.stderr.strip() else ""]
                if not done.returncode:
                    pace = json.loads(done.stdout.splitlines()[-1])
                    share = f"{pace * flops_per_token(shape) / peak / 1e12:.1%}" if peak else "n/a"
                    cells = [f"{pace:,.0f}", share]
                print(f"| {model} | {length:,} | {name} | {' | '.join(cells)} |", flush=True)


def find_peak(card: str) -> int | None:
    """The peak of a card in TFLOPS, by its name; None if it is not known."""
    words = set(re.split(r"[\s-]+", card))
    known = (peak for name, peak in PEAKS.items() if words >= set(name.split()) and "NVL" not in words)
    return next(known, None)


def shape_of(model: str, length: int, vocab_size: int) -> dict[str, Any]:
    """The sizes of a published model, and the attended positions summed over its layers."""
    from pipeline.training.published import EXPERIMENTS

    encoder = dict(EXPERIMENTS[model].values["task"]["model"]["encoder"])
    encoder |= {"vocab_size": vocab_size, "max_position_embeddings": length}
    gated, layers = encoder.get("type") == "modernbert", encoder["num_layers"]
    # ModernBERT's layers are local but for every third, with a window of 128.
    attended = sum(min(length, 128) if gated and layer % 3 else length for layer in range(layers))
    return {"encoder": encoder, "length": length, "matrices": 3 if gated else 2, "attended": attended}


def flops_per_token(shape: dict[str, Any]) -> float:
    """Floating-point operations of the model for a token, forward and backward; see above."""
    encoder = shape["encoder"]
    hidden, inner = encoder["hidden_size"], encoder["intermediate_size"]
    layers = encoder["num_layers"] * (4 * hidden**2 + shape["matrices"] * hidden * inner)
    head = RATE * (hidden**2 + hidden * encoder["vocab_size"])
    return float(6 * (layers + head) + 12 * hidden * shape["attended"])


def make_rows(rows: int, length: int, vocab_size: int) -> dict[str, np.ndarray]:
    """Packed rows of random ids: sequences of very different lengths, and up to 4 % of padding at the end."""
    draw = np.random.default_rng(1)
    batch = {"input_type_ids": np.zeros((rows, length), np.int32)}
    batch |= {name: np.zeros((rows, length), np.int32) for name in ("input_mask", "input_sequence_ids")}
    for row in range(rows):
        end = length - int(draw.integers(0, length // 25 + 1))
        start = number = 0
        while start < end:
            number += 1
            stop = min(end, start + int(np.clip(draw.lognormal(np.log(length / 4), 0.8), 8, length)))
            batch["input_sequence_ids"][row, start:stop] = number
            start = stop
        batch["input_mask"][row, :end] = 1
    batch["input_word_ids"] = draw.integers(5, vocab_size, (rows, length)).astype(np.int32) * batch["input_mask"]
    room = round(RATE * length)
    places = np.argsort(draw.random((rows, length)) + 1 - batch["input_mask"], axis=1)[:, :room]
    batch["masked_lm_positions"] = np.sort(places, axis=1).astype(np.int32)
    batch["masked_lm_ids"] = draw.integers(5, vocab_size, (rows, room)).astype(np.int32)
    batch["masked_lm_weights"] = np.ones((rows, room), np.float32)
    return batch


def _measure(shape: dict[str, Any], tokens: int, loops: int, xla: bool) -> float:
    """Real tokens a second, in training by `StepLoop`."""
    import keras
    import tensorflow as tf

    from pipeline.config.tree import from_dict
    from pipeline.training.configs import MaskedLMConfig, OptimizerConfig, RuntimeConfig
    from pipeline.training.loop.step_loop import StepLoop
    from pipeline.training.loop.train_step import TrainStep
    from pipeline.training.loop.training_state import TrainingState
    from pipeline.training.masked_lm import MaskedLMTask
    from pipeline.training.optimization.build import build_optimizer
    from pipeline.training.optimization.clock import Clock
    from pipeline.training.optimization.loss_scaling import LossScale

    keras.config.set_dtype_policy("mixed_bfloat16")
    length, vocab_size = shape["length"], shape["encoder"]["vocab_size"]
    task = MaskedLMTask(from_dict(MaskedLMConfig, {"model": {"encoder": shape["encoder"], "cls_heads": []}}))
    model = task.build_model()
    optimizer = build_optimizer(OptimizerConfig(), 100_000, model.trainable_variables)
    rows = make_rows(max(1, tokens // length), length, vocab_size)
    batches = tf.data.Dataset.from_tensors(rows).repeat().prefetch(2)
    step = TrainStep(task, model, optimizer, batches.element_spec, clip_norm=1.0, enable_xla=xla)
    with tempfile.TemporaryDirectory() as folder:
        state = TrainingState(
            folder, model, optimizer, LossScale(RuntimeConfig()), task.objectives, Clock.create(), max_to_keep=1
        )
        loop = StepLoop(step, state, batches)
        loop(LOOP)
        start = time.perf_counter()
        trained = sum(loop(LOOP).tokens for _ in range(loops))
        return trained / (time.perf_counter() - start)


def _card() -> str:
    """The name of the first GPU; empty if there is none."""
    import tensorflow as tf

    cards = tf.config.list_physical_devices("GPU")
    return str(tf.config.experimental.get_device_details(cards[0]).get("device_name", "GPU")) if cards else ""


def _has_torch() -> bool:
    if not TORCH.exists():
        return False
    check = "import torch, transformers; raise SystemExit(not torch.cuda.is_available())"
    return not subprocess.run([str(TORCH), "-c", check], capture_output=True).returncode


if __name__ == "__main__":
    main()
