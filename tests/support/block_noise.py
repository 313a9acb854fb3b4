"""Series like those of real runs: noise between blocks, correlation inside them, heavy tails."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def blocks_of(
    rng: np.random.Generator,
    blocks: int,
    requests: int,
    *,
    sb: float = 0.01,
    sw: float = 0.02,
    phi: float = 0.0,
    metrics: int = 6,
    heavy: bool = False,
) -> Floats:
    """Logs of metrics that share half of their variance, shape (blocks, requests, metrics).

    Args:
        rng: source.
        blocks: how many.
        requests: in each.
        sb: standard deviation between blocks.
        sw: inside a block.
        phi: AR(1) coefficient inside a block (stationary from its start).
        metrics: how many.
        heavy: shocks of Student's t with 3 degrees of freedom, scaled to the same variance.
    """
    shape = (blocks, requests, metrics + 1)
    shocks = rng.standard_t(3, shape) / np.sqrt(3) if heavy else rng.normal(size=shape)
    series = np.empty(shape)
    series[:, 0] = shocks[:, 0]
    for i in range(1, requests):
        series[:, i] = phi * series[:, i - 1] + np.sqrt(1 - phi**2) * shocks[:, i]
    mixed = (series[:, :, :1] + series[:, :, 1:]) / np.sqrt(2)
    return rng.normal(0, sb, (blocks, 1, 1)) + sw * mixed


def planted(shape: tuple[int, ...], *, at: int | None = None, size: float) -> Floats:
    """A step from request `at` of the whole series on, or (None) a drift over all of it."""
    time = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], 1)
    if at is None:
        return np.log1p(size) * time / time.max()
    return np.where(time >= at, np.log1p(size), 0.0)
