"""Classification heads upon one token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from pipeline.training.modeling.activations import get_activation
from pipeline.training.modeling.dropout import Dropout
from pipeline.training.modeling.initializers import clone_initializer


class PoolingHead(keras.layers.Layer):
    """Pools one token; subclasses compute the logits.

    Args:
        inner_dim: width of the pooling layer; 0 for none, if the features are already pooled.
        cls_token_idx: position of the token that is pooled.
        activation: activation of the pooling layer; "gelu" is its tanh approximation.
        dropout_rate: dropout rate before the classification layers, in [0, 1).
        initializer: initialiser of the kernels.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        inner_dim: int,
        cls_token_idx: int,
        activation: Any,
        dropout_rate: float,
        initializer: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inner_dim = inner_dim
        self.cls_token_idx = cls_token_idx
        self.activation = get_activation(activation)
        self.dropout_rate = dropout_rate
        self.initializer = keras.initializers.get(initializer)
        self.dense = self._dense(inner_dim, "pooler_dense", self.activation) if inner_dim else None
        self.dropout = Dropout(dropout_rate, dtype=self.dtype_policy)

    def _dense(self, units: int, name: str, activation: Any = None) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=clone_initializer(self.initializer),
            dtype=self.dtype_policy,
            name=name,
        )

    @property
    def _projections(self) -> Sequence[keras.layers.Dense]:
        """The layers that score the classes."""
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        if self.dense is not None:
            self.dense.build((None, width))
            width = self.inner_dim
        for layer in self._projections:
            layer.build((None, width))

    def _pool(self, features: Any, positions: Any) -> Any:
        """The features of the token, `[batch, inner_dim]` or with `positions` `[batch, sequences, inner_dim]`."""
        if self.dense is None:
            return features
        if positions is None:
            return self.dense(features[:, self.cls_token_idx])
        return self.dense(tf.gather(features, positions + self.cls_token_idx, batch_dims=1))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "inner_dim": self.inner_dim,
            "cls_token_idx": self.cls_token_idx,
            "activation": keras.activations.serialize(self.activation),
            "dropout_rate": self.dropout_rate,
            "initializer": keras.initializers.serialize(self.initializer),
        }


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class ClassificationHead(PoolingHead):
    """Classifies a sequence by one of its tokens, as in BERT's next-sentence prediction.

    The arguments and the computed numbers are those of tensorflow/models' `ClassificationHead`.

    Args:
        inner_dim: width of the pooling layer; 0 for none, if the features are already pooled.
        num_classes: number of classes.
        cls_token_idx: position of the token that is pooled.
        activation: activation of the pooling layer; "gelu" is its tanh approximation.
        dropout_rate: dropout rate before the classification layer, in [0, 1).
        initializer: initialiser of the kernels.
        **kwargs: arguments of `keras.layers.Layer`.

    Example:

    ```python
    import numpy as np
    from pipeline.training import ClassificationHead

    head = ClassificationHead(inner_dim=32, num_classes=2)
    head(np.zeros((8, 128, 32), "float32")).shape  # (8, 2)
    ```
    """

    def __init__(
        self,
        inner_dim: int,
        num_classes: int,
        cls_token_idx: int = 0,
        activation: Any = "tanh",
        dropout_rate: float = 0.0,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(inner_dim, cls_token_idx, activation, dropout_rate, initializer, **kwargs)
        self.num_classes = num_classes
        self.out_proj = self._dense(num_classes, "logits")

    @property
    def _projections(self) -> Sequence[keras.layers.Dense]:
        return [self.out_proj]

    def call(
        self, features: Any, only_project: bool = False, training: bool | None = None, positions: Any = None
    ) -> Any:
        """Computes the logits of the classes.

        Args:
            features: floats `[batch, seq_length, width]`; or pooled features `[batch, width]`, if there is no pooling
                layer.
            only_project: whether to return the pooled features instead of the logits.
            training: whether dropout applies.
            positions: integers `[batch, sequences]`, the positions where the sequences of packed rows begin; by
                default, each row holds one sequence, which begins at 0.

        Returns:
            Logits `[batch, num_classes]`, or pooled features `[batch, inner_dim]` with `only_project`. If `positions`
            are given, `[batch, sequences, num_classes]` or `[batch, sequences, inner_dim]`.
        """
        pooled = self._pool(features, positions)
        return pooled if only_project else self.out_proj(self.dropout(pooled, training=training))

    @property
    def checkpoint_items(self) -> dict[str, Any]:
        """The pooling layer, by its name."""
        return {} if self.dense is None else {self.dense.name: self.dense}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_classes": self.num_classes}


@keras.saving.register_keras_serializable(package="mlm_pipeline")
class MultiClsHeads(PoolingHead):
    """Solves several classification problems with one pooling layer, as tensorflow/models' `MultiClsHeads`.

    Args:
        inner_dim: width of the pooling layer; 0 for none, if the features are already pooled.
        cls_list: the name and the number of classes of each problem.
        cls_token_idx: position of the token that is pooled.
        activation: activation of the pooling layer; "gelu" is its tanh approximation.
        dropout_rate: dropout rate before the classification layers, in [0, 1).
        initializer: initialiser of the kernels.
        **kwargs: arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        inner_dim: int,
        cls_list: Sequence[tuple[str, int]],
        cls_token_idx: int = 0,
        activation: Any = "tanh",
        dropout_rate: float = 0.0,
        initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(inner_dim, cls_token_idx, activation, dropout_rate, initializer, **kwargs)
        self.cls_list = [(name, num_classes) for name, num_classes in cls_list]
        self.out_projs = [self._dense(num_classes, name) for name, num_classes in self.cls_list]

    @property
    def _projections(self) -> Sequence[keras.layers.Dense]:
        projections: Sequence[keras.layers.Dense] = self.out_projs
        return projections

    def call(
        self, features: Any, only_project: bool = False, training: bool | None = None, positions: Any = None
    ) -> Any:
        """Computes the logits of the classes of each problem.

        Args:
            features: floats `[batch, seq_length, width]`; or pooled features `[batch, width]`, if there is no pooling
                layer.
            only_project: whether to return the pooled features instead of the logits.
            training: whether dropout applies.
            positions: integers `[batch, sequences]`, the positions where the sequences of packed rows begin; by
                default, each row holds one sequence, which begins at 0.

        Returns:
            A dictionary from the names of the problems to logits `[batch, num_classes]`; or pooled features
            `[batch, inner_dim]` with `only_project`. If `positions` are given, `[batch, sequences, num_classes]` or
            `[batch, sequences, inner_dim]`.
        """
        pooled = self._pool(features, positions)
        if only_project:
            return pooled
        pooled = self.dropout(pooled, training=training)
        return {layer.name: layer(pooled) for layer in self.out_projs}

    @property
    def checkpoint_items(self) -> dict[str, Any]:
        """The pooling layer and the classification layers, by their names."""
        return {layer.name: layer for layer in (self.dense, *self.out_projs) if layer is not None}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cls_list": self.cls_list}
