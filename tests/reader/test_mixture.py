"""Several corpora read as one: exact shares of tokens, and everything that holds of one corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from oracles.numbered import number_of, write_numbered

from pipeline.errors import ConfigError, CorpusError
from pipeline.reader.batches import ShuffledBatches
from pipeline.reader.mixture import check_alike, example_shares, mean_tokens
from pipeline.reader.source import open_corpus
from pipeline.training.configs import DataConfig
from pipeline.training.corpora import open_corpora
from pipeline.training.data.loader import build_dataset, training_batches

Make = Callable[..., str]
SIZES = ((900, 600, 77), (300, 41))


@pytest.fixture
def mixture(numbered: Make) -> Callable[..., list[str]]:
    """The directories of two corpora of some kind, whose examples' numbers differ."""

    def make(kind: str = "static", **options: Any) -> list[str]:
        return [numbered(kind, sizes, first=first, **options) for sizes, first in zip(SIZES, (0, 500_000), strict=True)]

    return make


def config(paths: list[str], weights: tuple[float, ...] = (0.8, 0.2), **options: Any) -> DataConfig:
    defaults = {"global_batch_size": 24, "is_training": True, "seed": 3, "trim": False}
    return DataConfig(input_path=tuple(paths), weights=weights, **{**defaults, **options})


def first_source(numbers: np.ndarray) -> np.ndarray:
    return numbers < 500_000


@pytest.mark.parametrize("kind", ["static", "dynamic", "gzip", "binned"])
def test_shares_are_exact_over_any_stretch(mixture: Any, kind: str) -> None:
    paths = mixture(kind)
    batches = training_batches(config(paths, (0.8, 0.2)))
    found = [batches.read(step, batches.slots(step)) for step in range(300)]
    by_shape: dict[int, list[np.ndarray]] = {}
    for batch in found:
        by_shape.setdefault(batch["input_word_ids"].shape[1], []).append(first_source(number_of(batch)))
    for of_shape in by_shape.values():
        for steps in (1, 10, len(of_shape)):
            for begin in range(0, len(of_shape) - steps, 7):
                counts = sum(int(mine.sum()) for mine in of_shape[begin : begin + steps])
                assert abs(counts - 0.8 * 24 * steps) <= 2  # Examples of both have 15 tokens, as the manifests say.
    for step in (0, 1, 17, 300):
        counted = sum(int(first_source(number_of(batch)).sum()) for batch in found[:step])
        assert batches.examples_before(step) == [counted, 24 * step - counted]


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_pipelines_and_restarts_change_nothing(mixture: Any, kind: str) -> None:
    data = config(mixture(kind), (0.7, 0.3))

    def read(pipelines: int, first_step: int, steps: int) -> list[dict[str, bytes]]:
        parts = []
        for index in range(pipelines):
            context = tf.distribute.InputContext(pipelines, index, pipelines)
            dataset = build_dataset(data, context, start_example=24 * first_step)
            parts.append(list(dataset.take(steps).as_numpy_iterator()))
        return [
            {name: np.concatenate([part[name] for part in together]).tobytes() for name in together[0]}
            for together in zip(*parts, strict=True)
        ]

    whole = read(1, 0, 200)
    for pipelines in (2, 3, 8):
        assert read(pipelines, 0, 200) == whole
        assert read(pipelines, 123, 40) == whole[123:163]


def test_each_corpus_has_epochs_of_its_own(mixture: Any) -> None:
    """The smaller corpus comes again sooner, and no example of it before all others have come."""
    paths = mixture()
    batches = training_batches(config(paths, (0.5, 0.5)))
    read: list[list[tuple[int, int]]] = [[], []]  # Epochs and numbers, by corpus.
    for step in range(200):
        slots = batches.slots(step)
        for source, epoch, number in zip(
            slots.sources, slots.epochs, number_of(batches.read(step, slots)), strict=True
        ):
            read[source].append((int(epoch), int(number)))
    for pairs, sizes in zip(read, SIZES, strict=True):
        assert len(set(pairs)) == len(pairs)
        assert {epoch for epoch, _ in pairs} == set(range(-(-len(pairs) // sum(sizes))))
        for epoch in range(len(pairs) // sum(sizes)):
            assert sum(pair[0] == epoch for pair in pairs) == sum(sizes)


def test_a_corpus_of_a_mixture_is_read_in_its_own_order(mixture: Any) -> None:
    """Whatever else is mixed in, and with whatever weight."""
    paths = mixture()
    sources = [open_corpus(path, "train") for path in paths]
    orders = []
    for weights in ([1.0, 1.0], [5.0, 1.0]):
        batches = ShuffledBatches(sources, 24, seed=1, weights=weights)
        numbers = np.concatenate([number_of(batches.read(step, batches.slots(step))) for step in range(60)])
        orders.append(numbers[first_source(numbers)][:600])
    assert set(orders[0][:500]) & set(orders[1][:500])
    alone = ShuffledBatches(sources[:1], 24, seed=1)
    numbers = np.concatenate([number_of(alone.read(step, alone.slots(step))) for step in range(30)])
    # By the turn: a batch is sorted by lanes.
    assert set(numbers[:24]) <= set(orders[1])


def test_without_weights_each_has_what_it_has(mixture: Any) -> None:
    paths = mixture()
    batches = training_batches(config(paths, ()))
    counts = batches.examples_before(10_000)
    sizes = [sum(sizes) for sizes in SIZES]
    np.testing.assert_allclose(np.array(counts) / 240_000, np.array(sizes) / sum(sizes), atol=1e-5)


def test_weights_are_shares_of_tokens(tmp_path: Path, numbered: Make) -> None:
    """A corpus of shorter examples gives more of them."""
    paths = [numbered("static", (500,)), str(tmp_path / "other")]
    write_numbered(Path(paths[1]), (500,), first=600_000)
    manifest = (tmp_path / "other" / "manifest.json").read_text()
    (tmp_path / "other" / "manifest.json").write_text(manifest.replace('"tokens": 7500', '"tokens": 3750'))
    sources = [open_corpus(path, "train") for path in paths]
    assert [mean_tokens(source) for source in sources] == [15.0, 7.5]
    shares = example_shares(sources, [0.5, 0.5])
    assert shares[1] / shares[0] == pytest.approx(2)
    counts = training_batches(config(paths, (0.5, 0.5))).examples_before(1000)
    assert counts == [8000, 16_000]


def test_evaluation_is_of_all(mixture: Any) -> None:
    paths = mixture()
    found = list(build_dataset(config(paths, is_training=False, global_batch_size=8)).as_numpy_iterator())
    assert [len(batch["input_word_ids"]) for batch in found] == [8, 8, 4] * 2
    numbers = np.concatenate([number_of(batch) for batch in found])
    assert first_source(numbers).sum() == 20
    assert len(set(numbers)) == 40


def test_others_are_refused(numbered: Make, tmp_path: Path) -> None:
    one = numbered("static", (100,))
    for kind, message in (
        ("dynamic", r"same shapes.*4 predictions.*masks drawn when examples are read"),
        ("one segment", r"same shapes.*sentence pairs.*single segments"),
        ("binned", r"same shapes.*of 24 tokens.*of 16 and 24 and 40 tokens"),
        ("names of v1", r"same shapes.*v2 names.*v1 names"),
    ):
        with pytest.raises(CorpusError, match=message):
            training_batches(config([one, numbered(kind, (100,))]))
    other = tmp_path / "other"
    write_numbered(other, (100,))
    text = (other / "manifest.json").read_text()
    sha256 = open_corpus(one, "train").manifest.tokenizer.sha256  # type: ignore[union-attr]
    (other / "manifest.json").write_text(text.replace(sha256, "0" * 64))
    with pytest.raises(CorpusError, match=r"one vocabulary, but .* differ.*--vocab .*vocab\.txt"):
        training_batches(config([one, str(other)]))
    flipped = text.replace('"lower_case": true', '"lower_case": false')
    if flipped == text:
        flipped = text.replace('"lower_case": false', '"lower_case": true')
    (other / "manifest.json").write_text(flipped)
    with pytest.raises(CorpusError, match="the same vocabulary in another case"):
        training_batches(config([one, str(other)]))
    with pytest.raises(CorpusError, match="must consist of corpora"):
        check_alike([open_corpus(one, "train"), open_corpus(one, "train").__class__(open_corpus(one, "train").bins)])
    for weights in ((1.0,), (1.0, 1.0, 1.0)):
        with pytest.raises(ConfigError, match="2 weights, all above 0"):
            training_batches(config([one, numbered("static", (101,))], weights))
    with pytest.raises(ConfigError, match="weights must be between"):
        config([one, one], (1.0, 0.0))
    with pytest.raises(ConfigError, match="weights can only be used with several corpora"):
        training_batches(config([one], (1.0,)))


def test_names_on_the_command_line(numbered: Make, tmp_path: Path) -> None:
    one, other = numbered("static", (100,)), numbered("static", (101,))
    assert open_corpora(one).input_path == one
    assert open_corpora([f"{one}:0.8"]).weights == ()
    both = open_corpora([f"{one}:0.8", f"{other}:2"])
    assert (both.directories, both.weights) == ((one, other), (0.8, 2.0))
    assert open_corpora([one, other]).weights == ()
    with_colon = tmp_path / "a:1"
    write_numbered(with_colon, (10,))
    assert open_corpora([str(with_colon), one]).directories == (str(with_colon), one)
    assert open_corpora([f"{with_colon}:3", f"{one}:1"]).weights == (3.0, 1.0)
    for named, message in (
        ([f"{one}:0.8", other], f"must have a weight.*none for {other}"),
        ([f"{one}:0", f"{other}:1"], "must be above 0"),
        ([f"{one}:nan", f"{other}:1"], "must be above 0"),
        ([one, one + "/"], "given only once"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_corpora(named)
    with pytest.raises(CorpusError, match="not a finished corpus"):
        open_corpora([one, str(tmp_path / "missing")])
