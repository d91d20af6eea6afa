"""Fine-tunes an exported encoder to tell which package a passage of documentation comes from.

    mlm-pipeline export --run out/run --format encoder --output out/encoder
    python examples/fine_tune.py --encoder out/encoder

The passages are those of the sample corpus (`mlm-pipeline sample-corpus`); a package's modules are divided, so that no
module has passages in both training and test. Trained are two classifiers of one architecture in the same way: one
begins with the exported weights, one with random ones. docs/fine-tuning.md tells what came of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import pipeline.training.modeling  # noqa: F401  Registers what the file holds.
from pipeline.manifest import TokenizerDescription
from pipeline.seeding import generator
from pipeline.text.package_sources import documents, source_files
from pipeline.tokenizers import Tokenizer, load_tokenizer

PACKAGES = ("python", "numpy", "keras", "tensorflow", "apache-beam", "beartype", "pymongo", "pillow")
SHORTEST = 60  # Characters of a passage.


class Examples(NamedTuple):
    """Passages and where they come from.

    Attributes:
        inputs: the encoder's, int32 `[examples, length]` each.
        labels: int32 `[examples]`, indices of packages.
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune an exported encoder on passages of documentation.")
    parser.add_argument("--encoder", required=True, type=Path, help="what `export --format encoder` wrote")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, help="installed packages, each a class")
    parser.add_argument("--examples", nargs="+", type=int, default=[10, 50, 200], help="training passages of a class")
    parser.add_argument("--test-examples", type=int, default=150, help="test passages of a class")
    parser.add_argument("--length", type=int, default=32, help="tokens of a passage; no more than in pre-training")
    parser.add_argument("--steps", type=int, default=200, help="steps of training, 32 passages each")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seeds", type=int, default=3, help="repetitions, over which accuracies are averaged")
    arguments = parser.parse_args()

    description = TokenizerDescription(**json.loads((arguments.encoder / "tokenizer.json").read_text()))
    tokenizer = load_tokenizer(description, str(arguments.encoder))
    path = str(arguments.encoder / "encoder.keras")
    most = max(arguments.examples)
    train, test = collect(tokenizer, arguments.packages, most, arguments.test_examples, arguments.length)
    print(f"{len(arguments.packages)} packages; guessing gets {1 / len(arguments.packages):.1%} right")
    print(f"{'passages of a class':>20}{'pre-trained':>14}{'random':>14}")
    for count in arguments.examples:
        few = first_of_each_class(train, count)
        accuracies = {}
        for kind in ("pre-trained", "random"):
            accuracies[kind] = np.mean(
                [fine_tune(path, kind == "random", few, test, seed, arguments) for seed in range(arguments.seeds)]
            )
        print(f"{count:>20}{accuracies['pre-trained']:>14.1%}{accuracies['random']:>14.1%}", flush=True)


def fine_tune(
    path: str, from_scratch: bool, train: Examples, test: Examples, seed: int, arguments: argparse.Namespace
) -> float:
    """Trains a classifier; returns the share of test passages that it gets right."""
    keras.utils.set_random_seed(seed)
    classes = int(test.labels.max()) + 1
    model = build_classifier(path, classes, from_scratch=from_scratch)
    rate = keras.optimizers.schedules.PolynomialDecay(arguments.learning_rate, arguments.steps, 0.0)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # On a CPU, compiling takes longer than it saves.
    )
    order = generator(seed, "fine-tuning").permutation(np.resize(np.arange(len(train.labels)), arguments.steps * 32))
    inputs = {name: values[order] for name, values in train.inputs.items()}
    model.fit(inputs, train.labels[order], batch_size=32, shuffle=False, verbose=0)
    return float(model.evaluate(test.inputs, test.labels, batch_size=256, verbose=0, return_dict=True)["accuracy"])


def build_classifier(path: str, classes: int, *, from_scratch: bool) -> keras.Model:
    """A classifier upon the pooled output of an encoder.

    Args:
        path: the encoder's .keras file.
        classes: number of classes.
        from_scratch: whether to take the architecture alone, with random weights.
    """
    encoder: Any = keras.saving.load_model(path, compile=False)
    if from_scratch:
        encoder = type(encoder).from_config(encoder.get_config())
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in encoder.inputs}
    pooled = encoder(inputs)["pooled_output"]
    logits = keras.layers.Dense(classes, name="package")(keras.layers.Dropout(0.1)(pooled))
    return keras.Model(inputs, logits)


def collect(
    tokenizer: Tokenizer, packages: list[str], train_count: int, test_count: int, length: int
) -> tuple[Examples, Examples]:
    """Passages of each package at random: of two thirds of its modules for training, of the others for testing."""
    texts: dict[str, list[str]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for label, package in enumerate(packages):
        draw = generator(0, "passages", label)
        files = source_files(package)
        cut = 2 * len(files) // 3
        order = draw.permutation(len(files))
        for part, chosen, count in (("train", order[:cut], train_count), ("test", order[cut:], test_count)):
            found: dict[str, None] = {}  # A set that keeps its order.
            for index in chosen:
                if len(found) >= 10 * count:
                    break
                passages = [passage for document in documents(files[index])[0] for passage in document]
                found |= dict.fromkeys(passage for passage in passages if len(passage) >= SHORTEST)
            kept = [list(found)[i] for i in draw.permutation(len(found))[:count]]
            if len(kept) < count:
                raise SystemExit(f"{package} has {len(kept)} passages for {part}, not {count}: ask for fewer")
            texts[part] += kept
            labels[part] += [label] * count
    train, test = (
        Examples(encode(tokenizer, texts[part], length), np.array(labels[part], np.int32)) for part in ("train", "test")
    )
    return train, test


def encode(tokenizer: Tokenizer, texts: list[str], length: int) -> dict[str, np.ndarray]:
    """`[CLS] text [SEP]`, cut to `length` tokens and padded to them."""
    ids, splits = tokenizer.encode(texts)
    special = tokenizer.special_ids
    word_ids = np.full((len(texts), length), special["pad"], np.int32)
    mask = np.zeros((len(texts), length), np.int32)
    for row, (begin, end) in enumerate(itertools.pairwise(splits)):
        tokens = [special["cls"], *ids[begin:end][: length - 2], special["sep"]]
        word_ids[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    return {"input_word_ids": word_ids, "input_mask": mask, "input_type_ids": np.zeros_like(mask)}


def first_of_each_class(examples: Examples, count: int) -> Examples:
    """The first `count` examples of each class."""
    rows = np.concatenate(
        [np.flatnonzero(examples.labels == label)[:count] for label in range(examples.labels.max() + 1)]
    )
    return Examples({name: values[rows] for name, values in examples.inputs.items()}, examples.labels[rows])


if __name__ == "__main__":
    main()
