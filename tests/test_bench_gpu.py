"""The benchmark on GPUs, as far as a machine without one can tell."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bench.gpu import find_peak, flops_per_token, make_rows, shape_of


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", None),
        ("Tesla T4", 65),
        ("NVIDIA GeForce RTX 4090", 165),
    ],
)
def test_a_cards_peak_is_found_by_its_name(card: str, peak: int | None) -> None:
    assert find_peak(card) == peak


def test_the_models_operations() -> None:
    """BERT-Base has 85M weights in the matrices of its layers; local layers attend to 128 positions."""
    bert = shape_of("bert-base", 512, 30_522)
    layers, head = 6 * 84_934_656, 6 * 0.15 * (768**2 + 768 * 30_522)
    assert flops_per_token(bert) == pytest.approx(layers + head + 12 * 768 * 12 * 512)
    assert shape_of("modernbert-base", 1024, 50_368)["attended"] == 8 * 1024 + 14 * 128


def test_rows_are_packed() -> None:
    batch = make_rows(8, 128, 1000)
    assert 0.95 < batch["input_mask"].mean() <= 1
    assert batch["input_sequence_ids"].max() > 2
    assert np.take_along_axis(batch["input_mask"], batch["masked_lm_positions"], axis=1).all()
    assert ((batch["input_sequence_ids"] > 0) == batch["input_mask"]).all()


@pytest.mark.slow
def test_it_measures() -> None:
    command = [sys.executable, "-m", "bench.gpu", "--device", "cpu", "--models", "bert-tiny", "--lengths", "32"]
    command += ["--tokens", "128", "--vocab-size", "512", "--loops", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split(" | ") for line in done.stdout.splitlines()[4:]]
    assert [row[2] for row in rows] == ["this", "this, XLA"]
    assert all(float(row[3].replace(",", "")) > 0 for row in rows)
