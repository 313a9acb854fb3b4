"""Columns of which all rows hold one value take the memory of one row.

Half of what a record has room for is the same, or absent, in all requests of a run.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def kept(values: NDArray[T]) -> NDArray[T]:
    """The same values in as little memory as they take: one, if all are the same (NaN is, too)."""
    first = values[:1]
    same = len(values) and (np.isnan(values).all() if np.isnan(first) else (values == first).all())
    return _repeated(first, len(values)) if same else values.copy()


def picked(values: NDArray[T], rows: NDArray[np.int64]) -> NDArray[T]:
    """Some of the values, in the order given."""
    return _repeated(values, len(rows)) if is_one(values) else values[rows]


def looked_up(table: NDArray[T], codes: NDArray[Any]) -> NDArray[T]:
    """For each code the value that it stands for."""
    return _repeated(table[codes[:1]], len(codes)) if is_one(codes) else table[codes]


def is_one(values: NDArray[Any]) -> bool:
    """Whether a column holds one value for all of its rows, of which there are some."""
    return len(values) > 0 and values.strides[0] == 0


def _repeated(values: NDArray[T], count: int) -> NDArray[T]:
    return np.broadcast_to(values[:1].copy(), count)
