"""Which package does a passage of documentation come from? A linear layer on encoders that are not trained further.

    mlm-pipeline export --run out/run --format encoder --output out/encoder
    python -m bench.quality.probe --encoder out/encoder out/other-encoder

Each encoder's outputs are averaged over the tokens of a passage, and scaled to mean 0 and deviation 1. A softmax layer
is trained on that, with as many passages of each package; the test passages come from other modules.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import pipeline.training.modeling  # noqa: F401  Registers what the files hold.
from examples.fine_tune import PACKAGES, SHORTEST, encode, read_tokenizer
from pipeline.sample.package_sources import documents, source_files
from pipeline.seeding import generator

LENGTH = 64  # Tokens of a passage; longer ones are cut.
_STEPS = 300  # Of the linear layer, over all its passages.


def main() -> None:
    """Prints the share of test passages whose package is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, nargs="+", type=Path, help="what `export --format encoder` wrote")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, help="installed packages to take passages from")
    parser.add_argument("--examples", nargs="+", type=int, default=[50, 200, 800], help="training passages of each")
    parser.add_argument("--test-examples", type=int, default=400, help="test passages of each package")
    parser.add_argument("--seeds", type=int, default=5, help="draws of training passages, averaged")
    arguments = parser.parse_args()
    for folder in arguments.encoder:
        read_tokenizer(folder)  # Now: it says if a folder is no export, and gathering passages takes half a minute.
    train = [passages(package, "train", max(arguments.examples)) for package in arguments.packages]
    test = [passages(package, "test", arguments.test_examples) for package in arguments.packages]
    print(f"guessing gets {1 / len(train):.1%} right")
    print(f"{'passages of each package':<30}" + "".join(f"{count:>8}" for count in arguments.examples))
    for folder in arguments.encoder:
        for name, random in ((str(folder), False), (f"{folder}, random weights", True)):
            features = [_features(folder, texts, random=random) for texts in (*train, *test)]
            accuracies = [
                np.mean(
                    [
                        accuracy(features[: len(train)], features[len(train) :], count, seed)
                        for seed in range(arguments.seeds)
                    ]
                )
                for count in arguments.examples
            ]
            print(f"{name:<30}" + "".join(f"{share:>8.1%}" for share in accuracies), flush=True)


def passages(package: str, part: str, count: int) -> list[str]:
    """Different passages of a package, in random order: of two thirds of its modules ("train"), or the rest ("test").

    Raises:
        SystemExit: if there are too few.
    """
    modules = source_files(package)
    order = generator(0, "modules").permutation(len(modules))
    cut = 2 * len(modules) // 3
    found: dict[str, None] = {}  # A set that keeps its order.
    for index in order[:cut] if part == "train" else order[cut:]:
        if len(found) >= 10 * count:
            break
        texts = [passage for document in documents(modules[index])[0] for passage in document]
        found |= dict.fromkeys(text for text in texts if len(text) >= SHORTEST)
    if len(found) < count:
        raise SystemExit(f"{package} has {len(found)} passages for {part}, not {count}: ask for fewer")
    return [list(found)[i] for i in generator(0, "passages").permutation(len(found))[:count]]


def accuracy(train: Sequence[np.ndarray], test: Sequence[np.ndarray], count: int, seed: int) -> float:
    """The share of test passages that a linear layer classifies correctly.

    Args:
        train: the features of each class's passages, float32 `[passages, width]`.
        test: those of other passages.
        count: how many passages of each class to train on, drawn at random.
        seed: of the draw and the layer's weights.
    """
    draw = generator(seed, "probe")
    chosen = [features[draw.permutation(len(features))[:count]] for features in train]
    x, y = np.concatenate(chosen), np.repeat(np.arange(len(train)), count)
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    keras.utils.set_random_seed(seed)
    layer = keras.Sequential([keras.layers.Dense(len(train), kernel_regularizer=keras.regularizers.L2(1e-3))])
    layer.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(1e-2, _STEPS, 0.0)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
        steps_per_execution=_STEPS,  # A step takes less than its start.
    )
    layer.fit(tf.data.Dataset.from_tensors(((x - mean) / deviation, y)).repeat(_STEPS), shuffle=False, verbose=0)
    found = [np.asarray(layer((features - mean) / deviation)).argmax(1) for features in test]
    return float(np.mean(np.concatenate(found) == np.repeat(np.arange(len(test)), [len(part) for part in test])))


def _features(folder: Path, texts: Sequence[str], *, random: bool) -> np.ndarray:
    """The mean of an encoder's outputs over each text's tokens, float32 `[texts, width]`."""
    encoder: Any = keras.saving.load_model(folder / "encoder.keras", compile=False)
    if random:
        keras.utils.set_random_seed(0)
        encoder = type(encoder).from_config(encoder.get_config())
    inputs = encode(read_tokenizer(folder), list(texts), LENGTH)
    outputs = []
    for start in range(0, len(texts), 100):
        batch = {name: values[start : start + 100] for name, values in inputs.items() if name in encoder.inputs}
        mask = np.asarray(inputs["input_mask"][start : start + 100], np.float32)[:, :, None]
        sequence = np.asarray(encoder(batch)["sequence_output"])
        outputs.append((sequence * mask).sum(1) / mask.sum(1))
    return np.concatenate(outputs)


if __name__ == "__main__":
    main()
