"""Which devices a training runs on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pipeline.errors import ConfigError, TrainingError
from pipeline.training.configs import RuntimeConfig
from pipeline.training.dataset_errors import record_check, remember_check

# What TensorFlow raises, whatever it was doing, when a machine of a cluster is lost.
LOST_MACHINE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)


def build_strategy(config: RuntimeConfig) -> tf.distribute.Strategy:
    """Builds the `tf.distribute` strategy that `config` names.

    Raises:
        ConfigError: if its devices or machines are not there.
    """
    kind = config.distribution_strategy
    if kind == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if kind == "multi_worker_mirrored":
        _check_tf_config()
        return tf.distribute.MultiWorkerMirroredStrategy()
    if kind == "tpu":
        return _tpu_strategy(config.tpu)
    return tf.distribute.get_strategy()


def _check_tf_config() -> None:
    """Refuses a cluster whose members are not named: TensorFlow would silently train on one machine."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        described = json.loads(text or "{}")
        workers = described["cluster"].get("worker", []) + described["cluster"].get("chief", [])
        complete = bool(workers) and {"type", "index"} <= described["task"].keys()
    except (ValueError, KeyError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise ConfigError(
            "multi_worker_mirrored needs the environment variable TF_CONFIG, which names the machines and this one",
            received=repr(text) if text else "none",
            do='Set it to {"cluster": {"worker": ["host1:port", "host2:port"]}, "task": {"type": "worker", "index":'
            " 0}} with a different index on each machine",
        )


def _tpu_strategy(name: str) -> tf.distribute.Strategy:
    try:
        if not name and not tf.config.list_physical_devices("TPU"):
            raise ValueError("no TPU on this machine")
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name or "local")
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise ConfigError(
            "distribution_strategy is tpu, but no TPU can be reached",
            received=" ".join(str(error).split())[:300],
            do="Set runtime.tpu to its name or address, or choose another distribution_strategy",
        ) from error


def is_chief() -> bool:
    """Whether this process writes the run's files: the only one, or the first of a cluster."""
    task = json.loads(os.environ.get("TF_CONFIG") or "{}").get("task", {})
    return task.get("type", "chief") == "chief" or (
        task.get("type") == "worker" and task.get("index") == 0 and not _has_chief()
    )


def _has_chief() -> bool:
    return bool(json.loads(os.environ["TF_CONFIG"]).get("cluster", {}).get("chief"))


def is_one_device(strategy: tf.distribute.Strategy) -> bool:
    """Whether a strategy is none: all is computed on TensorFlow's first device."""
    return not tf.distribute.has_strategy() and strategy is tf.distribute.get_strategy()


def distribute(strategy: tf.distribute.Strategy, build: Callable[[Any], tf.data.Dataset]) -> Any:
    """A dataset's batches for every device.

    Args:
        strategy: where they go.
        build: makes a dataset of batches for an `InputContext`, or for None where there is one device.
    """
    if is_one_device(strategy):
        return build(None)
    checks: list[Any] = []

    def noted(context: Any) -> tf.data.Dataset:
        batches = build(context)
        checks.append(record_check(batches))
        return batches

    distributed = strategy.distribute_datasets_from_function(noted)
    return remember_check(distributed, checks[0])


def check_agreement(strategy: tf.distribute.Strategy, step: int) -> None:
    """Makes sure that all machines continue from the same step.

    Raises:
        TrainingError: if one does not find the checkpoint that another one found.
    """

    @tf.function
    def mean(value: Any) -> Any:
        values = strategy.run(tf.identity, args=(value,))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None) / strategy.num_replicas_in_sync

    found = float(mean(tf.constant(step, tf.float64)))
    if found != step:
        raise TrainingError(
            "All machines must continue from the same checkpoint",
            received=f"step {step:,} on this machine, and {found:,.1f} on average",
            do="Put the run's directory on a file system that all machines share",
        )
