"""ALBERT's encoder."""

from __future__ import annotations

from typing import Any

import keras

from pipeline.training.modeling.bert_encoder import BertEncoder


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class AlbertEncoder(BertEncoder):
    """BERT's encoder with factorised embeddings and one block that is applied again and again.

    "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations"
    (https://arxiv.org/abs/1909.11942). Inputs, outputs and arguments are `BertEncoder`'s; the numbers are
    those of tensorflow/models' `AlbertEncoder`. `num_layers` is how often the block is applied.

    Args:
        vocab_size: entries of the vocabulary.
        embedding_width: width of the embeddings, projected to `hidden_size` after them.
        **kwargs: of `BertEncoder`.
    """

    type_name = "albert"

    def __init__(self, vocab_size: int = 30000, embedding_width: int = 128, **kwargs: Any) -> None:
        super().__init__(vocab_size=vocab_size, embedding_width=embedding_width, **kwargs)

    def _build_blocks(self) -> list[Any]:
        return [self._build_block("transformer")]
