"""Fine-tunes an exported encoder to tell whether the words of a passage stand in their order.

    mlm-pipeline export --run out/run --format encoder --output out/encoder
    python examples/fine_tune.py --encoder out/encoder

The passages are those of the sample corpus (`mlm-pipeline sample-corpus`); in half of them some neighbouring words have
changed places. A package's modules are divided, so that no module has passages in both training and test. Trained are
two classifiers of one architecture in the same way: one begins with the exported weights, one with random ones.
docs/fine-tuning.md tells what came of it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import pipeline.training.modeling  # noqa: F401  Registers what the file holds.
from pipeline.manifest import TokenizerDescription
from pipeline.sample.package_sources import documents, source_files
from pipeline.seeding import generator
from pipeline.tokenizers import Tokenizer, load_tokenizer

PACKAGES = ("python", "numpy", "keras", "tensorflow", "apache-beam")
SHORTEST = 60  # Characters of a passage.
SWAPS, FIRST_WORDS = 3, 12  # Pairs that change places, among the first words: what follows may be cut off.


class Examples(NamedTuple):
    """Passages and whether they were disturbed.

    Attributes:
        inputs: the encoder's, int32 `[examples, length]` each.
        labels: int32 `[examples]`, 1 where words have changed places.
    """

    inputs: dict[str, np.ndarray]
    labels: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune an exported encoder on passages of documentation.")
    parser.add_argument("--encoder", required=True, type=Path, help="what `export --format encoder` wrote")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, help="installed packages to take passages from")
    parser.add_argument("--examples", nargs="+", type=int, default=[50, 250, 1000], help="training passages of a class")
    parser.add_argument("--test-examples", type=int, default=500, help="test passages of a class")
    parser.add_argument("--length", type=int, default=32, help="tokens of a passage; no more than in pre-training")
    parser.add_argument("--steps", type=int, default=300, help="steps of training, 32 passages each")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seeds", type=int, default=3, help="repetitions, over which accuracies are averaged")
    arguments = parser.parse_args()

    warnings.filterwarnings("ignore", message="Gradients do not exist")  # The pooled output has no part in it.
    tokenizer = read_tokenizer(arguments.encoder)
    path = str(arguments.encoder / "encoder.keras")
    most = max(arguments.examples)
    train, test = collect(tokenizer, arguments.packages, most, arguments.test_examples, arguments.length)
    print("guessing gets 50.0% right")
    print(f"{'passages of a class':>20}{'pre-trained':>14}{'random':>14}")
    for count in arguments.examples:
        few = first_of_each_class(train, count)
        accuracies = {}
        for kind in ("pre-trained", "random"):
            accuracies[kind] = np.mean(
                [fine_tune(path, kind == "random", few, test, seed, arguments) for seed in range(arguments.seeds)]
            )
        print(f"{count:>20}{accuracies['pre-trained']:>14.1%}{accuracies['random']:>14.1%}", flush=True)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer beside an exported encoder."""
    names = ("tokenizer_description.json", "tokenizer.json")  # The former if the vocabulary has the latter name.
    described = next((path for name in names if (path := folder / name).exists()), None)
    if described is None:
        raise SystemExit(f"{folder} is not a directory that `mlm-pipeline export --format encoder` wrote")
    return load_tokenizer(TokenizerDescription(**json.loads(described.read_text())), str(folder))


def fine_tune(
    path: str, from_scratch: bool, train: Examples, test: Examples, seed: int, arguments: argparse.Namespace
) -> float:
    """Trains a classifier; returns the share of test passages that it gets right."""
    keras.utils.set_random_seed(seed)
    model = build_classifier(path, classes=2, from_scratch=from_scratch)
    rate = keras.optimizers.schedules.PolynomialDecay(arguments.learning_rate, arguments.steps, 0.0)
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=0.01),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # On a CPU, compiling takes longer than it saves.
    )
    order = generator(seed, "fine-tuning").permutation(np.resize(np.arange(len(train.labels)), arguments.steps * 32))
    # Exactly what the model takes: Keras goes by the order of names otherwise. ModernBERT has no `input_type_ids`.
    inputs, held_out = ({name: part.inputs[name] for name in model.input} for part in (train, test))
    inputs = {name: values[order] for name, values in inputs.items()}
    model.fit(inputs, train.labels[order], batch_size=32, shuffle=False, verbose=0)
    return float(model.evaluate(held_out, test.labels, batch_size=256, verbose=0, return_dict=True)["accuracy"])


def build_classifier(path: str, classes: int, *, from_scratch: bool) -> keras.Model:
    """A classifier upon the mean of an encoder's outputs.

    The mean rather than the pooled output: that is the first token's, and tells what pre-training asked of it, whether
    one sentence follows another.

    Args:
        path: the encoder's .keras file.
        classes: number of classes.
        from_scratch: whether to take the architecture alone, with random weights.
    """
    encoder: Any = keras.saving.load_model(path, compile=False)
    if from_scratch:
        encoder = type(encoder).from_config(encoder.get_config())
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in encoder.inputs}
    sequence = encoder(inputs)["sequence_output"]
    mean = keras.layers.GlobalAveragePooling1D()(sequence, mask=inputs["input_mask"])
    logits = keras.layers.Dense(classes, name="class")(keras.layers.Dropout(0.1)(mean))
    return keras.Model(inputs, logits)


def collect(
    tokenizer: Tokenizer, packages: Sequence[str], train_count: int, test_count: int, length: int
) -> tuple[Examples, Examples]:
    """As many passages of each class: of two thirds of the packages' modules for training, of the rest for testing."""
    found: dict[str, list[str]] = {"train": [], "test": []}
    counts = {"train": train_count, "test": test_count}
    for number, package in enumerate(packages):
        draw = generator(0, "passages", number)
        modules = source_files(package)
        cut = 2 * len(modules) // 3
        order = draw.permutation(len(modules))
        for part, chosen in (("train", order[:cut]), ("test", order[cut:])):
            count = -(-2 * counts[part] // len(packages))
            passages: dict[str, None] = {}  # A set that keeps its order.
            for index in chosen:
                if len(passages) >= 10 * count:
                    break
                texts = [passage for document in documents(modules[index])[0] for passage in document]
                passages |= dict.fromkeys(text for text in texts if len(text) >= SHORTEST and " " in text.strip())
            if len(passages) < count:
                raise SystemExit(f"{package} has {len(passages)} passages for {part}, not {count}: ask for fewer")
            found[part] += [list(passages)[i] for i in draw.permutation(len(passages))[:count]]
    train, test = (_divide(tokenizer, found[part], counts[part], length) for part in ("train", "test"))
    return train, test


def _divide(tokenizer: Tokenizer, passages: list[str], count: int, length: int) -> Examples:
    """Leaves some passages at random as they are, and disturbs as many others."""
    draw = generator(0, "classes")
    order = draw.permutation(len(passages))
    intact = [passages[i] for i in order[:count]]
    disturbed = [disturb(passages[i], draw) for i in order[count : 2 * count]]
    return Examples(encode(tokenizer, intact + disturbed, length), np.repeat(np.array([0, 1], np.int32), count))


def disturb(passage: str, draw: np.random.Generator) -> str:
    """Lets some pairs of neighbouring words change places."""
    words = passage.split()
    for first in draw.integers(0, min(len(words), FIRST_WORDS) - 1, SWAPS):
        words[first], words[first + 1] = words[first + 1], words[first]
    return " ".join(words)


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
