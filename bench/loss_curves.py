"""Trains our model and tensorflow/models' on the same records, and draws both losses: `make loss-curves`.

For each seed, both train for 300 steps of AdamW with warm-up and decay, on the same batches in the same order. Each
draws initial weights and dropout in its own way. The curves are averaged over the seeds. If all steps and initialisers
are equivalent, they differ only by chance; the script fails if they differ by more.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "out" / "peers" / "bin" / "python"
VOCAB = ROOT / "vocab" / "sample-uncased-8k.txt"
STEPS, SEEDS, SMOOTH, BATCH, SEQ_LENGTH, PREDICTIONS = 300, 6, 10, 32, 32, 5
HIDDEN = 64
MODEL = {
    "encoder": {
        "vocab_size": 8192,
        "hidden_size": HIDDEN,
        "num_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 4 * HIDDEN,
        "max_position_embeddings": SEQ_LENGTH,
    },
    "cls_heads": [{"name": "next_sentence", "inner_dim": HIDDEN, "num_classes": 2, "dropout_rate": 0.1}],
}
OPTIMIZER = {"learning_rate": 4e-3, "warmup_steps": 30}
MOST_STANDARD_ERRORS = 4.0  # The largest allowed difference of the curves, at the worst of 30 points.


def main(text: str, picture: str) -> None:
    """Makes a corpus of the text, trains on it, draws the picture and prints the differences."""
    from pipeline.config.tree import from_dict, to_dict
    from pipeline.training import PretrainerConfig
    from pipeline.training.configs import OptimizerConfig

    config = {
        "model": to_dict(from_dict(PretrainerConfig, MODEL)),
        "optimizer": to_dict(from_dict(OptimizerConfig, OPTIMIZER)),
    }
    with tempfile.TemporaryDirectory() as folder:
        _write_batches(_make_corpus(text, f"{folder}/corpus"), folder)
        ours = np.array([_train_ours(config, folder, seed) for seed in range(SEEDS)])
        done = subprocess.run(
            [str(PEERS), __file__, "train", json.dumps(config), folder], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        theirs = np.load(f"{folder}/losses.npy")
    curves = {name: losses.reshape(SEEDS, -1, SMOOTH).mean(-1) for name, losses in (("ours", ours), ("theirs", theirs))}
    _draw(curves, Path(picture))
    _judge(curves)


def _make_corpus(text: str, output: str) -> str:
    command = [sys.executable, "-m", "pipeline", "corpus", "--input", text, "--format", "lines", "--output", output]
    command += ["--vocab", str(VOCAB), "--dupe-factor", "1", "--no-progress"]
    command += ["--max-seq-length", str(SEQ_LENGTH), "--max-predictions-per-seq", str(PREDICTIONS)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return output


def _write_batches(corpus: str, folder: str) -> None:
    """Writes the batches of each seed, stacked, to a file that both read."""
    from pipeline.training.configs import DataConfig
    from pipeline.training.data.loader import build_dataset

    for seed in range(SEEDS):
        data = DataConfig(input_path=corpus, is_training=True, global_batch_size=BATCH, seed=seed, trim=False)
        batches = list(build_dataset(data).take(STEPS).as_numpy_iterator())
        np.savez(
            _batches_path(folder, seed), **{name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
        )


def _batches_path(folder: str, seed: int) -> str:
    return f"{folder}/batches-{seed}.npz"


def _train_ours(config: Mapping[str, Any], folder: str, seed: int) -> list[float]:
    """Trains as `pretrain` does; returns the loss of every step."""
    import keras

    from pipeline.config.tree import from_dict
    from pipeline.training import MaskedLMConfig, MaskedLMTask, PretrainerConfig
    from pipeline.training.configs import OptimizerConfig
    from pipeline.training.loop.train_step import TrainStep
    from pipeline.training.optimization.build import build_optimizer

    keras.utils.set_random_seed(seed)
    task = MaskedLMTask(MaskedLMConfig(model=from_dict(PretrainerConfig, config["model"])))
    model = task.build_model()
    options = from_dict(OptimizerConfig, config["optimizer"])
    optimizer = build_optimizer(dataclasses.replace(options, gradient_clip_norm=0), STEPS, model.trainable_variables)
    batches = _read_batches(folder, seed)
    step = TrainStep(task, model, optimizer, batches.element_spec, seed=seed, clip_norm=options.gradient_clip_norm)
    return [step(batch, number).loss for number, batch in enumerate(batches)]


def _train_theirs(config: Mapping[str, Any], folder: str, seed: int) -> list[float]:
    """Trains tensorflow/models' model, in the peers' environment; returns the loss of every step."""
    import peer_task
    import tensorflow as tf
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    task = peer_task.build_task(config["model"], next_sentence=True)
    model, metrics = peer_task.build_model(task), task.build_metrics()
    optimizer = peer_task.build_optimizer(config["optimizer"], STEPS)
    step = tf.function(lambda batch: task.train_step(batch, model, optimizer, metrics)["loss"])
    return [float(step(batch)) for batch in _read_batches(folder, seed)]


def _read_batches(folder: str, seed: int) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(dict(np.load(_batches_path(folder, seed))))


def _draw(curves: Mapping[str, np.ndarray], path: Path) -> None:
    from pipeline.inspection.svg import Axis, series

    steps = np.arange(SMOOTH, STEPS + 1, SMOOTH)
    means = {name: list(zip(steps, losses.mean(0), strict=True)) for name, losses in curves.items()}
    losses = [loss for points in means.values() for _, loss in points]
    x = Axis(f"step; line: tensorflow/models, points: mlm-pipeline; means of {SEEDS} seeds", 0, STEPS)
    y = Axis("loss, nats", float(np.floor(min(losses))), float(np.ceil(max(losses))))
    style = (
        "<style>svg{background:#fff;font:12px sans-serif}.grid{stroke:#ddd}.mark{fill:#1f6f8b}"
        ".expected{fill:none;stroke:#d1495b;stroke-width:1.5}.name{text-anchor:end}.tick{text-anchor:middle}</style>"
    )
    chart = series(means["ours"], means["theirs"], x, y)
    path.write_text(
        chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').replace(">", f">{style}", 1) + "\n"
    )


def _judge(curves: Mapping[str, np.ndarray]) -> None:
    """Prints the losses and their differences; fails if chance does not explain the differences."""
    difference = curves["ours"] - curves["theirs"]  # Paired: from the same batches.
    errors = difference.std(0, ddof=1) / np.sqrt(SEEDS)
    print(f"{'steps':>9}  {'ours':>8}  {'theirs':>8}  {'apart':>8}  standard error")
    for point in range(curves["ours"].shape[1]):
        if (point + 1) % 5 == 0 or point == 0:
            ours, theirs = (curves[name][:, point].mean() for name in ("ours", "theirs"))
            steps = f"{point * SMOOTH + 1}-{(point + 1) * SMOOTH}"
            print(f"{steps:>9}  {ours:8.4f}  {theirs:8.4f}  {ours - theirs:8.4f}  {errors[point]:.4f}")
    pooled = np.sqrt((errors**2).mean())
    apart, overall = np.abs(difference.mean(0)), difference.mean(1)
    print(f"apart at most {apart.max():.4f}, after half of the steps {apart[len(apart) // 2 :].max():.4f}")
    print(f"apart on average {overall.mean():+.4f}, standard error {overall.std(ddof=1) / np.sqrt(SEEDS):.4f}")
    # Few seeds estimate the error of a point poorly: the pooled error guards against one that is small by chance.
    if (apart > MOST_STANDARD_ERRORS * np.maximum(errors, pooled)).any():
        raise SystemExit("the curves are further apart than chance explains")


if __name__ == "__main__":
    if sys.argv[1] == "train":
        config_, folder_ = json.loads(sys.argv[2]), sys.argv[3]
        np.save(f"{folder_}/losses.npy", np.array([_train_theirs(config_, folder_, seed) for seed in range(SEEDS)]))
    else:
        main(*sys.argv[1:])
