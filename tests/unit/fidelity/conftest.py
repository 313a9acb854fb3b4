"""Planted divergences: whole distributions, so that the truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

VOCABULARY = 5_000


@dataclass(frozen=True)
class Planted:
    """Lists of both models at many places, with the true divergence of each."""

    reference: list[list[tuple[str, float]]]
    candidate: list[list[tuple[str, float]]]
    truth: np.ndarray


def log_softmax(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def lists(log_p):
    top = np.argsort(-log_p, axis=1)[:, :20]
    rows = zip(top, np.take_along_axis(log_p, top, axis=1), strict=True)
    return [[(f" t{i}", float(v)) for i, v in zip(*row, strict=True)] for row in rows]


def planted(spreads, seed=1, width=3.0, vocabulary=VOCABULARY, tail=None):
    """One place for each spread: logits N(0, width^2), errors N(0, spread^2), or heavy ones."""
    draw = np.random.default_rng(seed)
    reference, candidate, truth = [], [], []
    for some in np.array_split(np.asarray(spreads, float), max(1, len(spreads) // 200)):
        logits = draw.normal(0, width, (len(some), vocabulary))
        size = logits.shape
        errors = draw.normal(size=size) if tail is None else draw.standard_t(tail, size)
        if tail is not None:
            errors *= np.sqrt((tail - 2) / tail)
        p, q = log_softmax(logits), log_softmax(logits + errors * some[:, None])
        truth.append((np.exp(p) * (p - q)).sum(axis=1))
        reference += lists(p)
        candidate += lists(q)
    return Planted(reference, candidate, np.concatenate(truth))


@pytest.fixture(scope="session", name="planted")
def planted_fixture():
    return planted
