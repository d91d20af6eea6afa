"""ALBERT's encoder."""

from __future__ import annotations

from typing import Any

import keras

from pipeline.training.modeling.bert_encoder import BertEncoder


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class AlbertEncoder(BertEncoder):
    """Encoder of ALBERT: a `BertEncoder` with factorised embeddings and a single block that is applied repeatedly.

    "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations" (https://arxiv.org/abs/1909.11942).
    Inputs, outputs and arguments are those of `BertEncoder`. The computed numbers are those of tensorflow/models'
    `AlbertEncoder`. `num_layers` is the number of times that the block is applied.

    Args:
        vocab_size: number of entries in the vocabulary.
        embedding_width: width of the embeddings, which are then projected to `hidden_size`.
        **kwargs: other arguments of `BertEncoder`.

    Raises:
        TypeError: if an argument is unknown.
        ValueError: if arguments do not fit together.
    """

    type_name = "albert"

    def __init__(self, vocab_size: int = 30000, embedding_width: int = 128, **kwargs: Any) -> None:
        super().__init__(vocab_size=vocab_size, embedding_width=embedding_width, **kwargs)

    def _build_blocks(self) -> list[Any]:
        return [self._build_block("transformer")]
