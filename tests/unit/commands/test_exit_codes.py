"""The exit code of several runs: a loss that is certain is never hidden."""

from __future__ import annotations

import pytest

from bench.cli.run import _worst
from bench.errors import ExitCode


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 5, 1, 3], 1),  # once 5: an invalid run hid the threshold that failed in another
        ([0, 3, 5], 5),
        ([3, 0], 3),
        ([1, 130], 130),
        ([0, 0], 0),
    ],
)
def test_of_several_runs_the_first_of_1_5_3_counts(codes: list[int], expected: int) -> None:
    assert _worst([ExitCode(code) for code in codes]) == expected
