from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.beam.corpus.config import CorpusConfig
from pipeline.cli import main
from pipeline.errors import InputError
from pipeline.inspection.corpus import open_corpus
from pipeline.inspection.estimate import Estimate, estimate_corpus, render_estimate

Make = Callable[..., Path]


def actual(directory: Path) -> dict[str, int]:
    """What a corpus came to."""
    statistics = open_corpus(str(directory)).manifest.statistics
    totals = {
        name: sum(statistics[split][name] for split in ("train", "validation"))
        for name in ("text_tokens", "examples", "tokens", "bytes")
    }
    return totals | {"documents": statistics["text"]["documents"]}


def test_an_input_of_a_sample_s_size_is_predicted_exactly(make: Make) -> None:
    directory = make()
    estimate = estimate_corpus(open_corpus(str(directory)).config)
    assert estimate.whole
    assert estimate.totals == actual(directory)
    assert set(estimate.errors.values()) == {0.0}
    assert estimate.blocks == len({name.name.split("-")[1] for name in directory.glob("train-*")})


def test_packed_rows_are_predicted(make: Make) -> None:
    directory = make(packing="best-fit", pairing="single-sentences")
    manifest = open_corpus(str(directory)).manifest
    estimate = estimate_corpus(open_corpus(str(directory)).config)
    names = ("sequences", "padding", "padding_unpacked")
    packed = {name: sum(manifest.statistics[s][name] for s in ("train", "validation")) for name in names}
    assert estimate.totals == actual(directory) | packed
    text = render_estimate(estimate, 1)
    shares = [packed[name] / (packed[name] + estimate.totals["tokens"]) for name in names[1:]]
    assert re.search(rf"padding +{100 * shares[0]:.1f} %\n *padding without packing +{100 * shares[1]:.1f} %", text)


@pytest.fixture(scope="module")
def large_text(many_words: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 6 MB whose second half has longer words and documents, and some small files."""
    folder = tmp_path_factory.mktemp("large")
    draw = random.Random(4)
    words = many_words.decode().split()[-3000:]
    suffixes = ("", "ing", "ed")

    def document(sentences: int, suffix: bool) -> str:
        lines = []
        for _ in range(draw.randint(2, sentences)):
            chosen = draw.choices(words, k=draw.randint(4, 25))
            lines.append(" ".join(word + suffix * draw.choice(suffixes) for word in chosen) + ".")
        return "\n".join(lines) + "\n\n"

    with (folder / "large.txt").open("w") as file:
        for sentences, suffix in ((20, False), (60, True)):
            written = 0
            while written < 3_000_000:
                written += file.write(document(sentences, suffix))
    for number in range(20):
        (folder / f"small{number}.txt").write_text("".join(document(20, True) for _ in range(20)))
    return folder


@pytest.mark.parametrize("packing", ["none", "best-fit"])
def test_a_sample_tells_the_whole_within_fifteen_percent(
    make: Make, large_text: Path, many_words: bytes, tmp_path: Path, packing: str
) -> None:
    from pipeline.beam.corpus.make import make_corpus

    (tmp_path / "vocab.txt").write_bytes(many_words)
    options: dict[str, Any] = {"format": "bert", "max_seq_length": 64, "max_predictions_per_seq": 10}
    options |= {"dupe_factor": 2, "validation_fraction": 0.1, "block_bytes": 1 << 20, "packing": packing}
    config = CorpusConfig(
        input=(str(large_text),), output=str(tmp_path / "corpus"), vocab=str(tmp_path / "vocab.txt"), **options
    )
    estimate = estimate_corpus(config, sample_bytes=1_000_000)
    assert not estimate.whole
    assert estimate.sample_bytes < 0.2 * estimate.input_bytes
    assert not (tmp_path / "corpus").exists()
    make_corpus(config, show_progress=False)
    for name, number in actual(tmp_path / "corpus").items():
        assert estimate.totals[name] == pytest.approx(number, rel=0.15), name
    assert estimate_corpus(config, sample_bytes=1_000_000).totals == estimate.totals
    assert all(error > 0 for error in estimate.errors.values())


def test_time_goes_by_the_blocks_of_the_busiest_worker() -> None:
    estimate = Estimate({}, {}, 1, 1, blocks=3, whole=True, startup_seconds=2, seconds=30, worker_bytes=1)
    one, two, many = (estimate.run_seconds(workers) for workers in (1, 2, 100))
    assert (one - two, one - many) == pytest.approx((10, 20))


def test_the_table_says_what_it_rests_on() -> None:
    totals = {"documents": 10.0, "examples": 1234.0, "bytes": 5e6}
    errors = {"documents": 0.0, "examples": 0.05, "bytes": 0.05}
    estimate = Estimate(totals, errors, 10_000, 1000, 4, False, 2.0, 600.0, 1e9)
    text = render_estimate(estimate, 4)
    for part in (
        "1,234  ± 10.0 %",
        "5.0 MB",
        "time with 1 worker",
        "time with 4 workers",
        "1.0 GB",
        "1.0 kB of 10.0 kB",
    ):
        assert part in text


def test_the_command(make: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = open_corpus(str(make())).config
    options = ["--vocab", config.vocab, "--max-seq-length", "64", "--max-predictions-per-seq", "10"]
    assert main(["estimate", *config.input, *options, "--workers", "2"]) == 0
    assert "the counts are exact" in capsys.readouterr().out
    assert main(["estimate", str(tmp_path / "nothing"), *options]) == 2
    assert main(["estimate", *config.input, *options, "--sample-bytes", "1"]) == 2
    with pytest.raises(InputError):
        estimate_corpus(CorpusConfig(input=("nowhere",), output="x", vocab=config.vocab))
