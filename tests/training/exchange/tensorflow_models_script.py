"""What test_tensorflow_models.py runs in tensorflow/models' environment: `tensorflow_models_script.py FOLDER`.

Builds pre-trainers, writes checkpoints of them in the ways that tensorflow/models does, and what they compute.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from official.modeling import tf_utils
from official.nlp.configs import bert, encoders
from official.nlp.modeling import layers, models, networks
from official.nlp.tasks import masked_lm


def from_config() -> tf_keras.Model:
    """The pre-trainer of the task, whose encoder is a functional model."""
    encoder = encoders.BertEncoderConfig(
        vocab_size=50,
        hidden_size=16,
        num_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        max_position_embeddings=24,
    )
    head = bert.ClsHeadConfig(inner_dim=16, num_classes=2, dropout_rate=0.1, name="next_sentence")
    config = bert.PretrainerConfig(
        encoder=encoders.EncoderConfig(bert=encoder), cls_heads=[head], mlm_activation="gelu"
    )
    return masked_lm.MaskedLMTask(masked_lm.MaskedLMConfig(model=config)).build_model()


def from_classes() -> tf_keras.Model:
    """A pre-trainer upon the encoder of layers within layers."""
    encoder = networks.BertEncoderV2(
        vocab_size=50, hidden_size=16, num_layers=2, num_attention_heads=4, inner_dim=24, max_sequence_length=24,
        type_vocab_size=2,
    )  # fmt: skip
    head = layers.ClassificationHead(inner_dim=16, num_classes=2, name="next_sentence")
    # By name alone it would be the exact one, with the encoder's an approximation.
    gelu = tf_utils.get_activation("gelu")
    return models.BertPretrainerV2(encoder_network=encoder, classification_heads=[head], mlm_activation=gelu)


def main(folder: Path) -> None:
    batch = dict(np.load(folder / "batch.npz"))
    for name, build in (("config", from_config), ("classes", from_classes)):
        model = build()
        model(model.inputs)
        draw = np.random.default_rng(11)
        for variable in model.trainable_variables:
            variable.assign(variable + 0.3 * draw.normal(size=variable.shape))
        outputs = model({key: tf.constant(value) for key, value in batch.items()}, training=False)
        wanted = ("mlm_logits", "next_sentence", "sequence_output")
        np.savez(folder / f"{name}.npz", **{key: outputs[key].numpy() for key in wanted})
        optimizer = tf_keras.optimizers.Adam()
        optimizer.build(model.trainable_variables)
        # As the trainer, as `checkpoint_items`, and the encoder alone, as the published ones.
        tf.train.Checkpoint(model=model, optimizer=optimizer, global_step=tf.Variable(3)).write(
            str(folder / f"{name}-trainer")
        )
        tf.train.Checkpoint(**model.checkpoint_items).write(str(folder / f"{name}-items"))
        tf.train.Checkpoint(encoder=model.encoder_network).write(str(folder / f"{name}-encoder"))
        tf.train.Checkpoint(model=model.encoder_network).write(str(folder / f"{name}-model"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
