"""Lists of two models at many places, from whole distributions, so that the divergence is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VOCABULARY = 5_000


@dataclass(frozen=True)
class Planted:
    """Lists of both models at many places, with the true divergence of each."""

    reference: list[list[tuple[str, float]]]
    candidate: list[list[tuple[str, float]]]
    truth: np.ndarray


def log_softmax(logits):
    """Log-probabilities of each row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def lists(log_p):
    """The 20 likeliest tokens of each row, as servers list them."""
    top = np.argpartition(-log_p, 20, axis=1)[:, :20] if log_p.shape[1] > 20 else None
    top = np.tile(np.arange(log_p.shape[1]), (len(log_p), 1)) if top is None else top
    values = np.take_along_axis(log_p, top, axis=1)
    order = np.argsort(-values, axis=1)
    rows = zip(*(np.take_along_axis(a, order, axis=1) for a in (top, values)), strict=True)
    return [[(f" t{i}", float(v)) for i, v in zip(*row, strict=True)] for row in rows]


def planted(spreads, seed=1, width=3.0, vocabulary=VOCABULARY, tail=None):
    """One place for each spread: logits N(0, width^2), errors N(0, spread^2), or heavy ones.

    Args:
        spreads: standard deviation of the errors at each place.
        seed: of the draw.
        width: of the logits, one for all places or one for each.
        vocabulary: tokens.
        tail: degrees of freedom of Student's t; None = normal errors.
    """
    draw = np.random.default_rng(seed)
    spreads = np.asarray(spreads, float)
    widths = np.broadcast_to(np.asarray(width, float), spreads.shape)
    reference, candidate, truth = [], [], []
    for part in np.array_split(np.arange(len(spreads)), max(1, len(spreads) // 200)):
        size = len(part), vocabulary
        logits = draw.normal(0, 1, size) * widths[part, None]
        errors = draw.normal(size=size) if tail is None else draw.standard_t(tail, size)
        if tail is not None:
            errors *= np.sqrt((tail - 2) / tail)
        p, q = log_softmax(logits), log_softmax(logits + errors * spreads[part, None])
        truth.append((np.exp(p) * (p - q)).sum(axis=1))
        reference += lists(p)
        candidate += lists(q)
    return Planted(reference, candidate, np.concatenate(truth))
