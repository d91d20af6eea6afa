"""Lets tensorflow/models' own tests import this package instead of theirs: a pytest plugin of `bench/peer_tests.py`.

Their modules' names are mapped to ours, and `tf_keras` (Keras 2) to `keras`. What else is adapted is what their tests
take from Keras 2 or from the inside of their classes; each adaptation says why.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import importlib.machinery
import operator
import os
import re
import sys
import types
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Their modules, and ours that take their place.
MODULES = {
    "official": "pipeline.training",
    "official.core.task_factory": "pipeline.training.task_factory",
    "official.core.config_definitions": "pipeline.training.configs",
    "official.modeling": "pipeline.training.modeling",
    "official.modeling.activations": "pipeline.training.modeling.activations",
    "official.modeling.hyperparams": "pipeline.config.base",
    "official.modeling.optimization": "pipeline.training.optimization",
    "official.modeling.optimization.configs": "pipeline.training.optimization.configs",
    "official.modeling.optimization.configs.learning_rate_config": "pipeline.training.optimization.configs",
    "official.modeling.optimization.configs.optimization_config": "pipeline.training.optimization.configs",
    "official.modeling.optimization.configs.optimizer_config": "pipeline.training.optimization.configs",
    "official.modeling.optimization.lamb": "pipeline.training.optimization.optimizers",
    "official.modeling.optimization.lr_schedule": "pipeline.training.optimization.lr_schedule",
    "official.modeling.optimization.optimizer_factory": "pipeline.training.optimization.optimizer_factory",
    "official.modeling.tf_utils": "pipeline.training.modeling.activations",
    "official.nlp": "pipeline.training",
    "official.nlp.configs": "pipeline.training",
    "official.nlp.configs.bert": "pipeline.training.bert",
    "official.nlp.configs.encoders": "pipeline.training.encoders",
    "official.nlp.data": "pipeline.training.data",
    "official.nlp.data.create_pretraining_data": "bench.peer_masking",
    "official.nlp.data.pretrain_dataloader": "pipeline.training.data.pretrain_dataloader",
    "official.nlp.data.pretrain_dynamic_dataloader": "pipeline.training.data.pretrain_dynamic_dataloader",
    "official.nlp.modeling": "pipeline.training.modeling",
    "official.nlp.modeling.layers": "pipeline.training.modeling",
    "official.nlp.modeling.layers.cls_head": "pipeline.training.modeling.classification_head",
    "official.nlp.modeling.layers.masked_lm": "pipeline.training.modeling.masked_lm",
    "official.nlp.modeling.layers.on_device_embedding": "pipeline.training.modeling.on_device_embedding",
    "official.nlp.modeling.layers.position_embedding": "pipeline.training.modeling.position_embedding",
    "official.nlp.modeling.layers.transformer_encoder_block": "pipeline.training.modeling.transformer_encoder_block",
    "official.nlp.modeling.models": "pipeline.training.modeling",
    "official.nlp.modeling.models.bert_pretrainer": "pipeline.training.modeling.bert_pretrainer",
    "official.nlp.modeling.networks": "pipeline.training.modeling",
    "official.nlp.modeling.networks.albert_encoder": "pipeline.training.modeling.albert_encoder",
    "official.nlp.modeling.networks.bert_encoder": "pipeline.training.modeling.bert_encoder",
    "official.nlp.tasks": "pipeline.training",
    "official.nlp.tasks.masked_lm": "pipeline.training.masked_lm",
    "official.nlp.tools": "pipeline.tokenizers",
    "official.nlp.tools.tokenization": "pipeline.tokenizers.tokenization",
}
# Imported by modules whose tests in scope do not use them.
ABSENT = ("official.projects", "official.projects.teams", "official.projects.teams.teams", "orbit")


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules of `MODULES`: those of this package, with their mapped submodules."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in MODULES and name not in ABSENT and name != "tf_keras":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        if spec.name == "tf_keras":
            return Forwarding(spec.name, keras, KERAS_2)
        if spec.name in ABSENT:
            return ModuleType(spec.name)
        return Forwarding(spec.name, importlib.import_module(MODULES[spec.name]), {})

    def exec_module(self, module: ModuleType) -> None:
        module.__path__ = []


class Forwarding(ModuleType):
    """A module whose names are another's, but for a few."""

    def __init__(self, name: str, module: Any, others: dict[str, Any]) -> None:
        super().__init__(name)
        self.__dict__.update(others)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._module, name)


# === What Keras 3 calls otherwise ===


class Shape(tuple[Any, ...]):
    """A shape of Keras 3, a tuple, with what tests call on TensorFlow's."""

    __slots__ = ()

    def as_list(self) -> list[Any]:
        return list(self)


def _input(shape: Any = None, **options: Any) -> Any:
    # Keras 2 takes a number for the shape of one axis.
    return keras.Input((shape,) if isinstance(shape, int) else shape, **options)


def _serialize(value: Any, use_legacy_format: bool = False) -> Any:
    # Keras 3 has one format.
    return keras.optimizers.serialize(value)


def _deserialize(config: Any, use_legacy_format: bool = False) -> Any:
    return keras.optimizers.deserialize(config)


def _sgd(lr: float) -> Any:
    # Keras 3 knows the learning rate by its whole name alone.
    return keras.optimizers.SGD(learning_rate=lr)


# Keras 3's optimisers are those that were experimental.
_EXPERIMENTAL = types.SimpleNamespace(Optimizer=keras.optimizers.Optimizer)
_OPTIMIZERS = {"serialize": _serialize, "deserialize": _deserialize, "SGD": _sgd, "experimental": _EXPERIMENTAL}
KERAS_2: dict[str, Any] = {
    "Input": _input,
    "optimizers": types.SimpleNamespace(**{**vars(keras.optimizers), **_OPTIMIZERS}),
}


def _with_extension(path: Any) -> Any:
    # Keras 3 saves no SavedModel by `save`: a file in its own format instead.
    return path if str(path).endswith(".keras") else f"{path}.keras"


def _adapt_optimizers() -> None:
    # Keras 3 numbers optimisers of one class by their names. It keeps a rate in float32 and returns that number, where
    # tests expect the one that they gave.
    get_config = keras.optimizers.Optimizer.get_config

    def with_name_and_rate(self: Any) -> dict[str, Any]:
        config = get_config(self)
        config["name"] = re.sub(r"_\d+$", "", config["name"])
        if isinstance(config["learning_rate"], float):
            config["learning_rate"] = float(str(np.float32(config["learning_rate"])))
        return config

    keras.optimizers.Optimizer.get_config = with_name_and_rate


def _adapt_saving() -> None:
    save, load = keras.Model.save, keras.models.load_model
    keras.Model.save = lambda self, path, **options: save(self, _with_extension(path), **options)
    models = {**vars(keras.models), "load_model": lambda path, **options: load(_with_extension(path), **options)}
    KERAS_2["models"] = types.SimpleNamespace(**models)


def _adapt_keras() -> None:
    shape = keras.KerasTensor.shape
    keras.KerasTensor.shape = property(lambda self: Shape(shape.fget(self)))
    # The names of Keras 2's variables say which layers they are in.
    keras.Variable.name = property(lambda self: self.path, lambda self, name: None)


# === What their tests read inside of their classes ===

PRIVATE = {
    "BertEncoder": {
        "_embedding_layer": "word_embeddings",
        "_position_embedding_layer": "position_embedding",
        "_type_embedding_layer": "type_embeddings",
        "_embedding_norm_layer": "embeddings_layer_norm",
        "_embedding_projection": "embedding_projection",
        "_transformer_layers": "transformer_layers",
        "_pooler_layer": "pooler",
    },
    "TransformerEncoderBlock": {
        "_attention_layer": "self_attention",
        "_attention_dropout": "self_attention._dropout",
        "_inner_dropout_layer": "inner_dropout_layer",
        "_output_dropout": "output_dropout_layer",
    },
}


def _adapt_private_names() -> None:
    from pipeline.tokenizers import normalizer
    from pipeline.training import modeling
    from pipeline.training.optimization import optimizers

    for class_name, names in PRIVATE.items():
        for theirs, ours in names.items():
            setattr(getattr(modeling, class_name), theirs, property(functools.partial(_private, ours)))

    for name in ("decays", "adapts"):
        theirs = {"decays": "_do_use_weight_decay", "adapts": "_do_layer_adaptation"}[name]
        setattr(optimizers.LAMB, theirs, lambda self, path, name=name: getattr(self, name)(path))
    optimizers.LAMB._get_hyper = lambda self, name: getattr(self, name)
    tokenization = importlib.import_module("official.nlp.tools.tokenization")
    for name in ("is_whitespace", "is_control", "is_punctuation"):
        setattr(tokenization, f"_{name}", getattr(normalizer, name))


def _private(name: str, owner: Any) -> Any:
    value = operator.attrgetter(name)(owner)
    if value is None:  # Theirs has no such attribute then.
        raise AttributeError(name)
    return value


def install() -> None:
    """Makes the mapped modules importable."""
    sys.meta_path.insert(0, Finder())
    if "TF_DETERMINISTIC_OPS" in os.environ:  # As a suite's `main` does.
        tf.config.experimental.enable_op_determinism()
    _adapt_keras()
    _adapt_saving()
    _adapt_optimizers()
    _adapt_private_names()


install()
