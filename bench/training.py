"""Measures pre-training here and in tensorflow/models, in real tokens per second: `make bench-training`.

Uses corpora of the same text: BERT's sentence pairs with the default options, pairs of mixed lengths, and single
sentences. Both programs read the same shards with their own loaders and train the same model with AdamW in batches of
the same size; this one also the same text in packed rows. Each runs in a separate process, and they take turns, so
that other load on the machine affects all equally. The results are medians over the turns. tensorflow/models runs in
its own environment (`make peers`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.turns import PEERS, ROOT, measure_turns, take_turns

VOCAB = ROOT / "vocab" / "sample-uncased-8k.txt"
PREDICTIONS = {128: 20, 512: 76}
CORPORA = {
    "pairs, as BERT's": ["--short-seq-prob", "0.1"],
    "pairs of mixed lengths": ["--short-seq-prob", "1.0"],
    "single sentences": ["--pairing", "single-sentences"],
}
MODELS = {"bert-tiny": (128, 2, 2), "bert-mini": (256, 4, 4), "bert-small": (512, 4, 8)}  # Width, layers, heads.
OPTIMIZER = {"learning_rate": 1e-4, "end_learning_rate": 0.0, "warmup_steps": 100, "weight_decay_rate": 0.01}


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="text, in any format that corpus detects")
    parser.add_argument("--model", choices=MODELS, default="bert-mini")
    parser.add_argument("--seq-length", type=int, choices=PREDICTIONS, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--no-peers", action="store_true", help="leave tensorflow/models out")
    parser.add_argument("--parts", type=int, default=4, help="our trainer.accumulation_steps (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=5, help="turns of each program (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="steps per turn (default: %(default)s)")
    options = parser.parse_args()
    print(f"{options.model}, {options.batch_size} rows of up to {options.seq_length} tokens, {os.cpu_count()} cores;")
    print("real tokens a second, medians\n")
    print("| examples | padding | packed | tensorflow/models | this | this, packed |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, words) in enumerate(CORPORA.items()):
            padded, packed = Path(folder, f"{number}-padded"), Path(folder, f"{number}-packed")
            for corpus, packing in ((padded, "none"), (packed, "best-fit")):
                _make_corpus(options, corpus, [*words, "--packing", packing])
            paces = _measure(padded, packed, options)
            cells = [f"{_padding(corpus):.1%}" for corpus in (padded, packed)]
            cells += [f"{paces[kind]:,.0f}" if kind in paces else "" for kind in ("theirs", "ours", "packed")]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _make_corpus(options: argparse.Namespace, output: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "pipeline", "corpus", "--input", options.text, "--output", str(output)]
    command += ["--vocab", str(VOCAB), "--dupe-factor", "1", "--no-progress", "--max-seq-length"]
    command += [str(options.seq_length), "--max-predictions-per-seq", str(PREDICTIONS[options.seq_length]), *words]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)


def _padding(corpus: Path) -> float:
    shards = json.loads((corpus / "manifest.json").read_text())["shards"]
    return 1 - sum(s["tokens"] for s in shards) / sum(s["examples"] * s["max_seq_length"] for s in shards)


def _measure(padded: Path, packed: Path, options: argparse.Namespace) -> dict[str, float]:
    """Returns the median tokens per second of each program."""
    programs = {"theirs": (PEERS, "theirs", padded)} if not options.no_peers else {}
    programs |= {"ours": (Path(sys.executable), "ours", padded), "packed": (Path(sys.executable), "ours", packed)}
    commands = {
        name: [str(python), __file__, kind, json.dumps({"corpus": str(corpus), **vars(options)})]
        for name, (python, kind, corpus) in programs.items()
    }
    return {name: pace.a_second for name, pace in measure_turns(commands, options.turns).items()}


def _model(job: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
    width, layers, heads = MODELS[job["model"]]
    pairs = json.loads(Path(job["corpus"], "manifest.json").read_text())["spec"]["next_sentence"]
    head = {"name": "next_sentence", "inner_dim": width, "num_classes": 2, "dropout_rate": 0.1}
    return {
        "encoder": {
            "vocab_size": vocab_size,
            "hidden_size": width,
            "num_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": 4 * width,
            "max_position_embeddings": job["seq_length"],
        },
        "cls_heads": [head] if pairs else [],
    }


def _vocab_size() -> int:
    return len(VOCAB.read_text(encoding="utf-8").splitlines())


def _ours(job: dict[str, Any]) -> None:
    from pipeline.config.tree import from_dict
    from pipeline.training.bert import PretrainerConfig
    from pipeline.training.configs import DataConfig, MaskedLMConfig, OptimizerConfig
    from pipeline.training.loop.train_step import TrainStep
    from pipeline.training.masked_lm import MaskedLMTask
    from pipeline.training.optimization.build import build_optimizer

    data = DataConfig(input_path=job["corpus"], global_batch_size=job["batch_size"])
    model_config = from_dict(PretrainerConfig, _model(job, _vocab_size()))
    task = MaskedLMTask(MaskedLMConfig(model=model_config, train_data=data))
    model = task.build_model()
    optimizer_config = from_dict(OptimizerConfig, {**OPTIMIZER, "gradient_clip_norm": 0.0})
    optimizer = build_optimizer(optimizer_config, 10_000, model.trainable_variables)
    dataset = task.build_inputs(task.task_config.train_data)
    step = TrainStep(task, model, optimizer, dataset.element_spec, parts=job["parts"], clip_norm=1.0)
    batches = enumerate(dataset)

    def run() -> int:
        tokens = 0
        for _ in range(job["steps"]):
            number, batch = next(batches)
            tokens += step(batch, number).tokens
        return tokens

    take_turns(run)


def _theirs(job: dict[str, Any]) -> None:

    import peer_task
    import tensorflow as tf
    from official.nlp.data import pretrain_dataloader

    # Its configuration needs values for which ours has defaults.
    model_config = {"mlm_activation": "gelu", "mlm_initializer_range": 0.02, **_model(job, _vocab_size())}
    model_config["encoder"] = {"type": "bert", **model_config["encoder"]}
    task = peer_task.build_task(model_config, next_sentence=bool(model_config["cls_heads"]))
    data = pretrain_dataloader.BertPretrainDataConfig(
        input_path=f"{job['corpus']}/train-*.tfrecord",
        global_batch_size=job["batch_size"],
        is_training=True,
        seq_length=job["seq_length"],
        max_predictions_per_seq=PREDICTIONS[job["seq_length"]],
        use_next_sentence_label=bool(model_config["cls_heads"]),
        use_v2_feature_names=True,
        shuffle_buffer_size=10_000,
    )
    model = peer_task.build_model(task)
    defaults = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6, "gradient_clip_norm": 1.0}
    optimizer = peer_task.build_optimizer({**OPTIMIZER, **defaults}, 10_000)
    metrics = task.build_metrics(training=True)
    batches = iter(task.build_inputs(data))

    @tf.function
    def loop(steps: Any) -> Any:
        """Runs steps within TensorFlow, as its trainer does."""
        tokens = tf.constant(0, tf.int64)
        for _ in tf.range(steps):
            batch = next(batches)
            task.train_step(batch, model, optimizer, metrics)
            tokens += tf.reduce_sum(tf.cast(batch["input_mask"], tf.int64))
        return tokens

    take_turns(lambda: int(loop(tf.constant(job["steps"]))))


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["theirs"]):
        {"ours": _ours, "theirs": _theirs}[sys.argv[1]](json.loads(sys.argv[2]))
    else:
        main()
