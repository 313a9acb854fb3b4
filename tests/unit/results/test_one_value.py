"""Columns of one value: the same as any others, in the memory of one row."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.results.one_value import is_one, kept, looked_up, picked

SAME = [np.full(5, 7), np.full(5, np.nan), np.array([0.0] * 5), np.full(5, True)]
DIFFERENT = [np.array([7, 7, 8]), np.array([np.nan, 1.0]), np.array([1.0, np.nan]), np.array([])]


@pytest.mark.parametrize("values", [*SAME, *DIFFERENT], ids=str)
def test_nothing_of_a_column_changes(values: NDArray[np.float64]) -> None:
    short = kept(values)
    np.testing.assert_array_equal(short, values)
    assert short.dtype == values.dtype
    assert is_one(short) == any(values is v for v in SAME)
    rows = np.arange(len(values))[::-2]
    np.testing.assert_array_equal(picked(short, rows), values[rows])
    np.testing.assert_array_equal(picked(short, rows[:0]), values[:0])


def test_a_picked_column_of_one_value_stays_one() -> None:
    assert is_one(picked(kept(np.full(9, 3)), np.array([4, 4, 0, 1])))


@pytest.mark.parametrize("codes", [np.array([1, 0, 2]), np.full(4, 2), np.array([], dtype=int)])
def test_codes_become_values(codes: NDArray[np.int64]) -> None:
    table = np.array(["a", "bb", "ccc"])
    np.testing.assert_array_equal(looked_up(table, kept(codes)), table[codes])
