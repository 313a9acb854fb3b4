"""What is known to move a request's numbers, and so is neither noise nor unsteadiness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.analysis.run.columns import Columns, Floats, Ints


def lengths(requests: Columns) -> list[Floats]:
    """Prompt and output length: times go with their logs, speeds rather with themselves."""
    counts = [np.maximum(n, 1.0) for n in (requests.prompt_tokens, requests.output_tokens)]
    return [values for n in counts for values in (n, np.log(n))]


def explained(logs: Floats, block: Ints, causes: Sequence[Floats]) -> Floats:
    """The part of each log that the causes explain, about its block's mean.

    Least squares with a level for each block, so that what differs between blocks is left alone.
    Causes that are not finite or do not vary are left out.
    """
    within = [_within(x, block) for x in causes if np.isfinite(x).all()]
    moving = [x for x in within if x.size and x.std() > 1e-9]
    if not moving or not logs.size:
        return np.zeros_like(logs)
    design = np.column_stack([x / x.std() for x in moving])
    targets = np.column_stack([_within(column, block) for column in logs.T])
    return np.asarray(design @ np.linalg.lstsq(design, targets, rcond=None)[0], dtype=np.float64)


def _within(values: Floats, block: Ints) -> Floats:
    """Values less the mean of their block."""
    _, number, size = np.unique(block, return_inverse=True, return_counts=True)
    return np.asarray(values - (np.bincount(number, weights=values) / size)[number])
