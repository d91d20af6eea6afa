"""Datasets under the names of tensorflow/models' `pretrain_dataloader`."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from pipeline.training.configs import DataConfig
from pipeline.training.data.loader import build_dataset

# Its fields' defaults are those of `DataConfig`: lengths and names of features are the records' own.
BertPretrainDataConfig = DataConfig


class BertPretrainDataLoader:
    """Reads batches for masked-LM pre-training.

    Args:
        params: what to read and how; shuffled and without end, unless `is_training` is false.
    """

    def __init__(self, params: DataConfig) -> None:
        self.params = params

    def load(self, input_context: tf.distribute.InputContext | None = None) -> tf.data.Dataset:
        """Builds the dataset; see `pipeline.training.data.loader.build_dataset`."""
        return build_dataset(for_training_by_default(self.params), input_context)


def for_training_by_default(params: Any) -> Any:
    """A data configuration that says whether its data are for training."""
    return params if params.is_training is not None else dataclasses.replace(params, is_training=True)
