"""Reads TensorFlow checkpoints: name-based ones of google-research/bert and object-based ones of tensorflow/models."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pipeline import files
from pipeline.errors import InputError
from pipeline.training.bert import PretrainerConfig
from pipeline.training.exchange.families.bert import from_google_config, make_config
from pipeline.training.exchange.hf_import import lower_case_beside, read_if_there, read_json
from pipeline.training.exchange.source_model import SourceModel
from pipeline.training.exchange.tf_names import to_torch_layout, translate_names

_CONFIG = "bert_config.json"
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_EMBEDDINGS = "bert.embeddings"
_LAYER = re.compile(r"bert\.encoder\.layer\.(\d+)\.intermediate\.dense\.weight")
_QUERY = "bert.encoder.layer.0.attention.self.query.weight"


def find_checkpoint(path: str) -> str | None:
    """Returns the prefix of the TensorFlow checkpoint at a path; None if there is none.

    Args:
        path: a prefix, one of a checkpoint's files, or a directory with one checkpoint, or with TensorFlow's record of
            the latest one.
    """
    prefix = re.sub(r"\.(index|data-\d+-of-\d+)$", "", path)
    if os.path.exists(f"{prefix}.index"):
        return prefix
    if not os.path.isdir(path):
        return None
    import tensorflow as tf

    found = [
        files.join(path, name.removesuffix(".index")) for name in files.list_names(path) if name.endswith(".index")
    ]
    return tf.train.latest_checkpoint(path) or (found[0] if len(found) == 1 else None)


def read_checkpoint(prefix: str) -> SourceModel:
    """Reads the model of a checkpoint.

    bert_config.json and vocab.txt may be in the same directory, as in google-research/bert's archives. That project's
    checkpoints need the former, because their variables do not show the number of heads.

    Raises:
        InputError: if it is damaged, does not contain a BERT, or lacks its configuration.
    """
    import tensorflow as tf

    with _named_damage(prefix):
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
        names = dict(_object_names(reader)) if _OBJECT_GRAPH in shapes else {name: name for name in shapes}
        keys = translate_names(names)
        if _QUERY not in keys:
            raise InputError(
                f"{prefix} is not a checkpoint of a BERT of google-research/bert or tensorflow/models",
                received=f"variables such as {', '.join(sorted(names)[:3])}",
            )
    folder = os.path.dirname(prefix)
    vocabulary = read_if_there(folder, "vocab.txt")

    def read_weights() -> dict[str, np.ndarray]:
        with _named_damage(prefix):
            return {name: to_torch_layout(name, reader.get_tensor(key), key=key) for name, key in keys.items()}

    return SourceModel(
        path=prefix,
        config=_config(folder, {name: tuple(shapes[key]) for name, key in keys.items()}, source=prefix),
        read_weights=read_weights,
        vocabulary=vocabulary,
        lower_case=lower_case_beside(folder, "vocab.txt", vocabulary),
    )


@contextlib.contextmanager
def _named_damage(prefix: str) -> Iterator[None]:
    """Converts TensorFlow's exceptions for a damaged checkpoint to an error that names it."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.OpError, ValueError, IndexError) as error:  # The reader converts some of its errors.
        raise InputError(
            f"The TensorFlow checkpoint {prefix} is damaged", received=str(error)[:200], do="Copy its files again"
        ) from error


def _object_names(reader: Any) -> Iterator[tuple[str, str]]:
    """Yields the names and keys of an object-based checkpoint's variables, except those of an optimiser."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_OBJECT_GRAPH))
    for node in graph.nodes:
        for attribute in node.attributes:
            key = attribute.checkpoint_key
            if attribute.full_name and not key.startswith("optimizer/") and ".OPTIMIZER_SLOT/" not in key:
                yield attribute.full_name.removesuffix(":0"), key


def _config(folder: str, shapes: Mapping[str, tuple[int, ...]], *, source: str) -> PretrainerConfig:
    """Returns the configuration in bert_config.json, or else that of the shapes of tensorflow/models' variables."""
    has_next_sentence = "cls.seq_relationship.weight" in shapes
    query = shapes[_QUERY]
    path = files.join(folder, _CONFIG)
    if files.exists(path):
        return from_google_config(read_json(path), source=path, has_next_sentence=has_next_sentence)
    if len(query) != 3:
        raise InputError(
            f"No {_CONFIG} next to {source}, whose variables do not show the number of attention heads",
            do=f"Copy {_CONFIG} there from the archive of the checkpoint",
        )
    encoder = {
        "vocab_size": shapes[f"{_EMBEDDINGS}.word_embeddings.weight"][0],
        "hidden_size": query[0],
        "num_layers": 1 + max(int(match[1]) for name in shapes if (match := _LAYER.fullmatch(name))),
        "num_attention_heads": query[1],
        "intermediate_size": shapes["bert.encoder.layer.0.intermediate.dense.weight"][-1],
        "max_position_embeddings": shapes[f"{_EMBEDDINGS}.position_embeddings.weight"][0],
        "type_vocab_size": shapes[f"{_EMBEDDINGS}.token_type_embeddings.weight"][0],
    }
    return make_config(encoder, activation="gelu", has_next_sentence=has_next_sentence, source=source)
