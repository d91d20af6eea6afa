"""Starting from what Keras and TensorFlow save of our own models: `.keras`, `.weights.h5`, `tf.train.Checkpoint`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from pipeline.errors import InputError
from pipeline.training.exchange.tf_checkpoint import find_checkpoint
from pipeline.training.finite import check_model

_KERAS_FILES = (".keras", ".weights.h5")


def start_from_own(model: Any, path: str) -> str | None:
    """Sets a model's weights to those that one of its kind was saved with.

    Args:
        model: a `BertPretrainerV2`.
        path: a file of `model.save` or `model.save_weights`; or a checkpoint of `tf.train.Checkpoint(model=model)`,
            `tf.train.Checkpoint(**model.checkpoint_items)` or some of these items, or of a run.

    Returns:
        What was done, in words; None where the path names none of these, and the model is as it was.

    Raises:
        InputError: if it is damaged, or holds weights of other shapes, fewer than it should, or NaN or infinite ones.
    """
    restore: Callable[[], None]
    if path.endswith(_KERAS_FILES):
        restore, items = (lambda: model.load_weights(path)), ["model"]
    else:
        prefix = find_checkpoint(path)
        found = _own_items(prefix, model) if prefix else None
        if prefix is None or found is None:
            return None
        restore, items = (lambda: _restore(prefix, found)), sorted(found)
    try:
        restore()
    except (OSError, ValueError, KeyError, IndexError, AssertionError, zipfile.BadZipFile, tf.errors.OpError) as error:
        raise InputError(
            f"{path} must hold the weights of a model of this configuration",
            received=" ".join(str(error).split())[:300] or type(error).__name__,
            do="Build the model that it was saved from, or copy the file again",
        ) from error
    check_model(model, path)
    return f"starting from {path}: {', '.join(items)}"


def _own_items(prefix: str, model: Any) -> dict[str, Any] | None:
    """What of a model a checkpoint holds, by its names there; None if it is not of a model of ours."""
    graph = _object_graph(prefix)
    if graph is None:
        return None
    root = _children(graph, 0)
    if "model" in root:
        inside = _children(graph, root["model"])
        if "encoder_network" in inside:
            return {"model": model} if _is_own_encoder(graph, inside["encoder_network"]) else None
        # A run's: weights by their paths, without the models' names, which differ where several were made.
        saved = {_below(path): path for path in inside}
        weights = {saved[_below(weight.path)]: weight.value for weight in model.weights if _below(weight.path) in saved}
        return {"model": weights} if len(weights) == len(model.weights) else None
    items = {name: item for name, item in model.checkpoint_items.items() if name in root}
    return items if "encoder" in items and _is_own_encoder(graph, root["encoder"]) else None


def _restore(prefix: str, items: Mapping[str, Any]) -> None:
    tf.train.Checkpoint(**items).read(prefix).assert_existing_objects_matched().expect_partial()


def _object_graph(prefix: str) -> Any:
    """The graph of the objects that a checkpoint holds; None if it holds variables by name, or cannot be read."""
    try:
        data = tf.train.load_checkpoint(prefix).get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    except (tf.errors.OpError, ValueError, IndexError):
        return None
    return trackable_object_graph_pb2.TrackableObjectGraph.FromString(data)


def _children(graph: Any, node: int) -> dict[str, int]:
    return {child.local_name: child.node_id for child in graph.nodes[node].children}


def _is_own_encoder(graph: Any, node: int) -> bool:
    return {"transformer_layers", "embeddings_layer_norm"} <= _children(graph, node).keys()


def _below(path: str) -> str:
    return path.partition("/")[2]
