"""Trains tensorflow/models' `MaskedLMTask` with its own loader, in the peers' environment.

python bench/quality/tensorflow_models.py JOB   # JSON, of bench/quality/recipes.py
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # For `peer_task`.


def main(job: dict[str, Any]) -> None:
    """Trains, and writes a checkpoint with its bert_config.json."""
    import peer_task
    import tensorflow as tf
    import tf_keras
    from official.nlp.data import pretrain_dataloader

    tf_keras.utils.set_random_seed(job["seed"])
    manifest = json.loads(Path(job["corpus"], "manifest.json").read_text())
    shape, width = job["shape"], job["shape"]["hidden_size"]
    encoder = {"type": "bert", "vocab_size": job["vocab_size"], "max_position_embeddings": job["seq_length"], **shape}
    encoder["type_vocab_size"] = 2
    head = {"name": "next_sentence", "inner_dim": width, "num_classes": 2, "dropout_rate": 0.1}
    model_config = {"mlm_activation": "gelu", "mlm_initializer_range": 0.02, "encoder": encoder, "cls_heads": [head]}
    task = peer_task.build_task(model_config, next_sentence=True)
    data = pretrain_dataloader.BertPretrainDataConfig(
        input_path=f"{job['corpus']}/train-*.tfrecord",
        global_batch_size=job["batch"],
        is_training=True,
        seq_length=job["seq_length"],
        max_predictions_per_seq=manifest["spec"]["max_predictions_per_seq"],
        use_next_sentence_label=True,
        use_v2_feature_names=True,
        shuffle_buffer_size=10_000,
        seed=job["seed"],
    )
    model = peer_task.build_model(task)
    adamw = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6, "gradient_clip_norm": 1.0, "weight_decay_rate": 0.01}
    schedule = {"learning_rate": job["rate"], "end_learning_rate": 0.0}
    schedule["warmup_steps"] = max(1, round(job["warmup"] * job["steps"]))
    optimizer = peer_task.build_optimizer({**adamw, **schedule}, job["steps"])
    metrics = task.build_metrics(training=True)
    batches = iter(task.build_inputs(data))

    @tf.function
    def loop(steps: Any) -> None:
        """Runs steps within TensorFlow, as its trainer does."""
        for _ in tf.range(steps):
            task.train_step(next(batches), model, optimizer, metrics)

    loop(tf.constant(job["steps"]))
    output = Path(job["output"])
    output.mkdir(parents=True, exist_ok=True)
    tf.train.Checkpoint(model=model).write(str(output / "bert_model.ckpt"))
    config = {
        **{"vocab_size": job["vocab_size"], "hidden_size": width, "num_hidden_layers": shape["num_layers"]},
        **{"num_attention_heads": shape["num_attention_heads"], "intermediate_size": shape["intermediate_size"]},
        **{"hidden_act": "gelu", "max_position_embeddings": job["seq_length"], "type_vocab_size": 2},
    }
    (output / "bert_config.json").write_text(json.dumps(config))
    shutil.copy(job["vocab"], output / "vocab.txt")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
