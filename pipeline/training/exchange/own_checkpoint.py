"""Starts from this project's own models, as saved to `.keras`, `.weights.h5` or `tf.train.Checkpoint`."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import h5py
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from pipeline import files
from pipeline.errors import InputError
from pipeline.training.exchange.tf_checkpoint import find_checkpoint
from pipeline.training.finite import check_model

_BLOCK_IN_FILE = re.compile(r"(^|/)transformer_encoder_block(_\d+)?$")
_BLOCK_OF_RUN = re.compile(r"/transformer(_layer_\d+)?/")
_KERAS_FILES = (".keras", ".weights.h5")


def start_from_own(model: Any, path: str) -> str | None:
    """Sets a model's weights to those of a saved model with the same configuration.

    Args:
        model: a `BertPretrainerV2`.
        path: a file written by `save` or `save_weights`, or a `tf.train.Checkpoint`, of the model or its encoder, under
            any name; a checkpoint of `tf.train.Checkpoint(**model.checkpoint_items)` or of some of these items; a
            checkpoint of a run; or a directory written by `tf.saved_model.save`.

    Returns:
        A description of what was done; None if the path is none of these, in which case the model is unchanged.

    Raises:
        InputError: if it is damaged, its weights are not finite, or it has other shapes or another number of blocks.
    """
    found, prefix = None, ""
    if not path.endswith(_KERAS_FILES):
        # A SavedModel keeps its variables in a subfolder.
        prefix = find_checkpoint(path) or find_checkpoint(files.join(path, "variables")) or ""
        found = _own_items(prefix, model) if prefix else None
        if found is None:
            return None
    try:
        if found is None:
            names = [_load_file(model, path)]
        else:
            _check_blocks(model, _blocks_saved(prefix, found))
            _restore(prefix, found)
            own = {id(model): "model", id(model.encoder_network): "encoder"}
            names = sorted(own.get(id(item), name) for name, item in found.items())
    except (OSError, ValueError, KeyError, IndexError, AssertionError, zipfile.BadZipFile, tf.errors.OpError) as error:
        raise InputError(
            f"The weights in {path} cannot be loaded into a model of this configuration",
            received=" ".join(str(error).split())[:300] or type(error).__name__,
            do="Use the configuration of the model that was saved, or copy the file again if it is damaged",
        ) from error
    check_model(model, path)
    return f"starting from {path}: {', '.join(names)}"


def _own_items(prefix: str, model: Any) -> dict[str, Any] | None:
    """Returns the parts of the model that a checkpoint contains, by their names there; None for other checkpoints."""
    graph = _object_graph(prefix)
    if graph is None:
        return None
    items = _children(graph, 0)
    nodes = {"root": 0, **items}  # `tf.train.Checkpoint(model)` calls its only object "root".
    for name, node in nodes.items():
        encoder = _children(graph, node).get("encoder_network")
        if encoder is not None and _is_own_encoder(graph, encoder):
            return {name: model}
    for name in ("averages", "model"):
        # A run's checkpoint: weights by path. The model's name, the first part, differs if the process built several
        # models. If the run averages its weights, the averages are its model.
        saved = {_below(path): path for path in _children(graph, items[name])} if name in items else {}
        weights = {saved[_below(weight.path)]: weight.value for weight in model.weights if _below(weight.path) in saved}
        if len(weights) == len(model.weights):
            return {name: weights}
    for name, node in nodes.items():
        if _is_own_encoder(graph, node):
            parts = model.checkpoint_items if name == "encoder" else {}
            return {name: model.encoder_network, **{part: item for part, item in parts.items() if part in items}}
    return None


def _load_file(model: Any, path: str) -> str:
    """Loads a Keras file; returns whether it is of the "model" or its "encoder"."""
    with contextlib.ExitStack() as opened:
        file: Any = path
        if path.endswith(".keras"):
            file = opened.enter_context(opened.enter_context(zipfile.ZipFile(path)).open("model.weights.h5"))
        weights = opened.enter_context(h5py.File(file))
        is_encoder = "embeddings_layer_norm" in weights
        names: list[str] = []
        weights.visit(names.append)
    _check_blocks(model, sum(_BLOCK_IN_FILE.search(name) is not None for name in names))
    (model.encoder_network if is_encoder else model).load_weights(path)
    return "encoder" if is_encoder else "model"


def _blocks_saved(prefix: str, items: Mapping[str, Any]) -> int:
    """Returns the number of transformer blocks of a checkpoint's encoder."""
    graph = _object_graph(prefix)
    root = _children(graph, 0)
    for name, item in items.items():
        inside = _children(graph, root.get(name, 0))
        if isinstance(item, Mapping):
            return len({match[0] for path in inside if (match := _BLOCK_OF_RUN.search(path))})
        inside = _children(graph, inside["encoder_network"]) if "encoder_network" in inside else inside
        if "transformer_layers" in inside:
            return len(_children(graph, inside["transformer_layers"]))
    return 0


def _check_blocks(model: Any, saved: int) -> None:
    """Checks the number of blocks: loading would silently ignore the further blocks of a deeper model."""
    blocks = getattr(model.encoder_network, "transformer_layers", None)
    if blocks is not None and len(blocks) != saved:
        raise ValueError(f"{saved} transformer blocks instead of {len(blocks)}")


def _restore(prefix: str, items: Mapping[str, Any]) -> None:
    tf.train.Checkpoint(**items).read(prefix).assert_existing_objects_matched().expect_partial()


def _object_graph(prefix: str) -> Any:
    """Returns a checkpoint's object graph; None if it is name-based or cannot be read."""
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
