"""What our models add to `keras.Model`: they are built when they are made, and nothing of them is lost on the way."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import tensorflow as tf


class BuiltModel(keras.Model):
    """A subclassed model that has weights and symbolic inputs and outputs from the beginning, as functional ones have.

    - Layers in a list are children of the model in TensorFlow's object graph, so that `tf.train.Checkpoint` and
      SavedModels hold them. Keras 3 tracks lists for itself alone.
    - `optional_inputs` names what a dictionary of inputs may hold beside `inputs`. Exported signatures do without.
    - The model takes integers, and says so to `export` and `tf.saved_model.save`, which would take the inputs of a
      subclassed model for floating-point numbers.
    - A functional model over it can be saved and loaded: a loaded one looks for the first of the calls that it
      recorded, which must not be one from the model's own making.
    """

    optional_inputs: ClassVar[tuple[str, ...]] = ()

    def build_with(self, inputs: Mapping[str, keras.KerasTensor]) -> None:
        """Makes all weights, by a call on symbolic inputs; the last thing that a model's `__init__` does.

        Args:
            inputs: the symbolic inputs, by name, in the order in which a list of inputs is taken.
        """
        self.autocast = False  # The layers inside cast; Keras would cast floats to `input_dtype` here.
        self.inputs = dict(inputs)
        self(self.inputs)
        self._inbound_nodes.clear()

    @functools.cached_property
    def outputs(self) -> Any:
        """The symbolic outputs, as `call` returns them: for `keras.Model(model.inputs, model.outputs)`."""
        return self(self.inputs)

    @property
    def input_dtype(self) -> str:
        """The type of all inputs."""
        return "int32"

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Exports the model for inference; as `keras.Model.export`, which takes no lists among the outputs, does.

        In a SavedModel a list of outputs, such as `encoder_outputs`, becomes one output for each of its items:
        `encoder_outputs_0` and so on.
        """
        if format != "tf_saved_model":
            return super().export(filepath, format, verbose, input_signature, **kwargs)
        archive = keras.export.ExportArchive()
        archive.track(self)
        archive.add_endpoint("serve", self._serve, input_signature or [self._input_specs()], **kwargs)
        return archive.write_out(filepath, verbose=verbose is not False)

    @property
    def _default_save_signature(self) -> Any:  # Keras gives it to `tf.saved_model.save`.
        return tf.function(self._serve, input_signature=[self._input_specs()])

    def _input_specs(self) -> dict[str, tf.TensorSpec]:
        return {name: tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in self.inputs.items()}

    def _serve(self, inputs: Any) -> Any:
        """The outputs without dropout, and without lists among them."""
        outputs = self(inputs, training=False)
        if not isinstance(outputs, Mapping):
            return tf.nest.flatten(outputs)
        return {
            f"{name}_{index}" if isinstance(value, (list, tuple)) else name: item
            for name, value in outputs.items()
            for index, item in enumerate(tf.nest.flatten(value))
        }

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if isinstance(value, (list, tuple)) and any(
            isinstance(item, tf.__internal__.tracking.Trackable) for item in value
        ):
            self._track_trackable(tf.__internal__.tracking.wrap(list(value)), name, overwrite=True)
