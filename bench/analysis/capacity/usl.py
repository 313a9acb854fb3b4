"""The Universal Scalability Law: X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)).

N users give throughput X; lambda is the throughput of one, sigma the cost of waiting for what is
shared, kappa the cost of keeping it consistent. Gunther, Guerrilla Capacity Planning, 2007.

Only for N up to the observed slots: above them Ollama is a FIFO queue, whose hard bend the law's
smooth curve cannot draw. A model, always shown beside the measured points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats.student_t import t_quantile

Floats = NDArray[np.float64]
MIN_LEVELS = 6
"""Fewer load levels than this cannot hold three coefficients and say how well."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A fitted coefficient with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class UslFit:
    """A fitted law.

    Attributes:
        peak_users: N* = sqrt((1 - sigma) / kappa), where throughput is highest; None unless it
            lies inside, or within 25 % of, the measured range.
        r2: share of the variance of X that the law explains.
    """

    rate_of_one: Coefficient
    sigma: Coefficient
    kappa: Coefficient
    peak_users: float | None
    r2: float

    def throughput(self, users: ArrayLike) -> Floats:
        """The law at these numbers of users."""
        n = np.asarray(users, dtype=np.float64)
        return _law(n, np.array([self.rate_of_one.value, self.sigma.value, self.kappa.value]))


def fit_usl(users: ArrayLike, throughput: ArrayLike) -> UslFit:
    """Least squares on X (not on its reciprocal, which would weight low loads most).

    Gauss-Newton from the linearised fit; the intervals are from the Jacobian and t with n - 3
    degrees of freedom.

    Args:
        users: at least `MIN_LEVELS` distinct numbers of users, all up to the observed slots.
        throughput: measured, same length; any unit per time.

    Raises:
        ValueError: too few levels, or data that no law of this form fits.
    """
    n = np.asarray(users, dtype=np.float64)
    x = np.asarray(throughput, dtype=np.float64)
    if len(np.unique(n)) < MIN_LEVELS:
        raise ValueError(f"the law needs at least {MIN_LEVELS} load levels, there are {len(n)}")
    beta = _linear_start(n, x)
    for _ in range(100):
        jacobian = _jacobian(n, beta)
        step, *_ = np.linalg.lstsq(jacobian, x - _law(n, beta), rcond=None)
        before, beta = beta, _damped(n, x, beta, step.astype(np.float64))
        if beta is before or np.all(np.abs(step) <= 1e-10 * (np.abs(beta) + 1e-6)):
            break
    residual = x - _law(n, beta)
    freedom = len(n) - 3
    total = float(np.sum((x - x.mean()) ** 2))
    covariance = np.linalg.pinv(_jacobian(n, beta).T @ _jacobian(n, beta))
    variance = float(residual @ residual) / freedom
    half = t_quantile(0.975, freedom) * np.sqrt(np.maximum(np.diag(covariance), 0) * variance)
    one, sigma, kappa = (
        Coefficient(float(b), float(b - h), float(b + h)) for b, h in zip(beta, half, strict=True)
    )
    return UslFit(
        rate_of_one=one,
        sigma=sigma,
        kappa=kappa,
        peak_users=_peak(sigma.value, kappa.value, float(n.max())),
        r2=1 - float(residual @ residual) / total if total else 1.0,
    )


def _law(n: Floats, beta: Floats) -> Floats:
    rate, sigma, kappa = beta
    return np.asarray(rate * n / (1 + sigma * (n - 1) + kappa * n * (n - 1)))


def _jacobian(n: Floats, beta: Floats) -> Floats:
    law = _law(n, beta)
    slowdown = 1 + beta[1] * (n - 1) + beta[2] * n * (n - 1)
    return np.column_stack(
        [law / beta[0], -law * (n - 1) / slowdown, -law * n * (n - 1) / slowdown]
    )


def _linear_start(n: Floats, x: Floats) -> Floats:
    """N / X is linear in 1, (N - 1), N (N - 1): a start, not the answer."""
    design = np.column_stack([np.ones_like(n), n - 1, n * (n - 1)])
    (a, b, c), *_ = np.linalg.lstsq(design, n / x, rcond=None)
    if a <= 0:
        raise ValueError("throughput does not grow from one user on: no law of this form fits")
    return np.array([1 / a, b / a, c / a])


def _damped(n: Floats, x: Floats, beta: Floats, step: Floats) -> Floats:
    """Halve the step until it makes the fit better; `beta` itself where none does."""
    before = float(np.sum((x - _law(n, beta)) ** 2))
    for _ in range(30):
        moved = beta + step
        if moved[0] > 0 and float(np.sum((x - _law(n, moved)) ** 2)) < before:
            return np.asarray(moved)
        step = step / 2
    return beta


def _peak(sigma: float, kappa: float, most_users: float) -> float | None:
    if kappa <= 0 or sigma >= 1:
        return None
    peak = math.sqrt((1 - sigma) / kappa)
    return peak if peak <= 1.25 * most_users else None
