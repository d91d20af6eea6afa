"""StableAdamW and Muon in plain numpy, in float64, from the papers' formulas alone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Weight(NamedTuple):
    """A weight with its state.

    Attributes:
        value: the weight.
        first: its first moment, or Muon's momentum.
        second: its second moment.
        decays: whether it decays.
        orthogonal: whether Muon moves it.
    """

    value: np.ndarray
    first: np.ndarray
    second: np.ndarray
    decays: bool
    orthogonal: bool


def start(value: np.ndarray, *, decays: bool, orthogonal: bool = False) -> Weight:
    value = np.asarray(value, np.float64)
    return Weight(value, np.zeros_like(value), np.zeros_like(value), decays, orthogonal)


def stable_adamw(
    weight: Weight,
    gradient: np.ndarray,
    step: int,
    *,
    rate: float,
    decay: float,
    betas: tuple[float, float],
    eps: float,
) -> Weight:
    """Algorithm 2 of https://arxiv.org/abs/2304.13013, with Adafactor's corrected betas; `step` counts from 1."""
    beta_1, beta_2 = (beta * (1 - beta ** (step - 1)) / (1 - beta**step) for beta in betas)
    first = beta_1 * weight.first + (1 - beta_1) * gradient
    second = beta_2 * weight.second + (1 - beta_2) * gradient**2
    rms = np.sqrt(np.mean(gradient**2 / np.maximum(second, eps**2)))
    rate = rate / max(1.0, rms)
    value = weight.value - rate * decay * weight.decays * weight.value
    return weight._replace(value=value - rate * first / (np.sqrt(second) + eps), first=first, second=second)


def orthogonal(matrix: np.ndarray) -> np.ndarray:
    """Five Newton-Schulz iterations of https://kellerjordan.github.io/posts/muon, on the long side's transpose."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (np.sqrt((x**2).sum()) + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if tall else x


def muon(
    weight: Weight,
    gradient: np.ndarray,
    step: int,
    *,
    rate: float,
    decay: float,
    betas: tuple[float, float],
    eps: float,
    momentum: float,
) -> Weight:
    """Muon as Moonlight scales it (https://arxiv.org/abs/2502.16982, equation 4), and AdamW for other weights."""
    value = weight.value - rate * decay * weight.decays * weight.value
    if weight.orthogonal:
        first = momentum * weight.first + gradient
        scale = 0.2 * np.sqrt(max(value.shape))
        return weight._replace(value=value - rate * scale * orthogonal(gradient + momentum * first), first=first)
    first = betas[0] * weight.first + (1 - betas[0]) * gradient
    second = betas[1] * weight.second + (1 - betas[1]) * gradient**2
    scale = np.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
    return weight._replace(value=value - rate * scale * first / (np.sqrt(second) + eps), first=first, second=second)


def wsd(step: int, *, peak: float, warmup: int, decay: int, total: int, end: float) -> float:
    """Warm-up, stable, 1-sqrt decay; the first step has the rate of step 1."""
    if step < warmup:
        return peak * max(step, 1) / warmup
    past = max(step - (total - decay), 0) / decay
    return end + (peak - end) * (1 - past**0.5)
