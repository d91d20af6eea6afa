"""tensorflow/models' `MaskedLMTask` for a configuration of ours; runs in the peers' environment (`make peers`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Our names for parts of its variables' names that differ; shapes of kernels may differ as well.
_NAMES = (
    (r":0$", ""),
    (r"^bert/", ""),
    (r"embeddings/layer_norm", "embeddings_layer_norm"),
    (r"transformer/layer_", "transformer_layer_"),
    (r"cls/predictions/output_bias/bias", "cls_predictions/output_bias"),
    (r"cls/predictions/transform/dense", "cls_predictions/transform_dense"),
    (r"cls/predictions/transform/LayerNorm", "cls_predictions/transform_layer_norm"),
)


def build_task(model: Mapping[str, Any], *, next_sentence: bool) -> Any:
    """Builds the task of a model.

    Args:
        model: our `PretrainerConfig` as a dictionary.
        next_sentence: whether batches have next-sentence labels.
    """
    from official.nlp.configs import bert
    from official.nlp.data import pretrain_dataloader
    from official.nlp.tasks import masked_lm

    encoder = dict(model["encoder"])
    kind = encoder.pop("type")
    if kind == "albert":
        encoder["embedding_width"] = encoder.pop("embedding_size")
        for name in ("return_all_encoder_outputs", "norm_first"):
            encoder.pop(name)
    config = masked_lm.MaskedLMConfig(
        model=bert.PretrainerConfig({**model, "encoder": {"type": kind, kind: encoder}}),
        train_data=pretrain_dataloader.BertPretrainDataConfig(use_next_sentence_label=next_sentence),
    )
    return masked_lm.MaskedLMTask(config)


def build_model(task: Any) -> Any:
    """Builds the task's model, with all of its variables."""
    import tensorflow as tf

    model = task.build_model()
    names = ("input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions")
    model(dict.fromkeys(names, tf.zeros((1, 2), tf.int32)))
    return model


def build_optimizer(config: Mapping[str, Any], train_steps: int) -> Any:
    """Builds its AdamW with warm-up and linear decay, from our `OptimizerConfig` as a dictionary."""
    from official.modeling import optimization

    adamw = ("beta_1", "beta_2", "epsilon", "weight_decay_rate", "gradient_clip_norm")
    factory = optimization.OptimizerFactory(
        optimization.OptimizationConfig(
            {
                "optimizer": {
                    "type": "adamw",
                    "adamw": {
                        **{name: config[name] for name in adamw},
                        "exclude_from_weight_decay": ["LayerNorm", "layer_norm", "bias"],
                    },
                },
                "learning_rate": {
                    "type": "polynomial",
                    "polynomial": {
                        "initial_learning_rate": config["learning_rate"],
                        "end_learning_rate": config["end_learning_rate"],
                        "decay_steps": train_steps,
                    },
                },
                "warmup": {"type": "polynomial", "polynomial": {"power": 1, "warmup_steps": config["warmup_steps"]}},
            }
        )
    )
    return factory.build_optimizer(factory.build_learning_rate())


def our_name(name: str) -> str:
    """Returns our name of the variable that it calls `name`."""
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name
