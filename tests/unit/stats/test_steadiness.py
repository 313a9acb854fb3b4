"""Steps and drifts in blocks: what is found, and how often a steady case is called unsteady."""

from __future__ import annotations

import numpy as np
import pytest
from block_noise import blocks_of, planted
from numpy.typing import NDArray

from bench.stats.steadiness import MIN_BLOCKS, find_changes, usable_blocks

REPETITIONS = 60


def changes_of(values: NDArray[np.float64]):
    return find_changes(list(values), np.median(values, axis=1))


def labelled(
    shape: tuple[int, int],
    size: float = 0.0,
    step: bool = True,
    draws: int = REPETITIONS,
    **noise: float,
) -> float:
    rng = np.random.default_rng(20260101)
    hits = 0
    for _ in range(draws):
        values = blocks_of(rng, *shape, **noise)
        at = int(rng.integers(shape[0] * shape[1] // 5, shape[0] * shape[1] * 4 // 5))
        values = values + planted(shape, at=at if step else None, size=size)
        hits += bool(changes_of(values))
    return hits / draws


@pytest.mark.parametrize("shape", [(3, 12), (3, 25), (6, 12)])
@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_steady_blocks_are_rarely_labelled(shape: tuple[int, int], phi: float) -> None:
    # At most 5 %; 60 draws of 5 % exceed 11 % in 1 of 40 cases.
    assert labelled(shape, phi=phi) <= 0.11


@pytest.mark.slow
def test_noise_between_blocks_is_no_step() -> None:
    # A third of the orders of three blocks are monotone: nothing can be said from them.
    assert labelled((3, 12), sb=0.1) <= 0.11
    assert labelled((6, 12), sb=0.1) <= 0.11


def test_heavy_tails_are_no_step() -> None:
    assert labelled((3, 25), heavy=True, phi=0.6) <= 0.11


@pytest.mark.slow
def test_steps_and_drifts_are_found() -> None:
    assert labelled((3, 25), -0.1, draws=20) >= 0.6
    assert labelled((6, 12), -0.1, draws=20) >= 0.8
    assert labelled((10, 12), -0.05, draws=20) >= 0.75
    assert labelled((3, 25), -0.1, step=False, draws=20) >= 0.85


def test_a_step_inside_a_block_has_its_place() -> None:
    values = blocks_of(np.random.default_rng(2), 3, 25) + planted((3, 25), at=37, size=-0.1)
    change = changes_of(values)[0]
    assert (change.kind, change.inside, change.block) == ("step", True, 1)
    assert change.at * 25 == pytest.approx(12, abs=2)


def test_a_step_between_blocks_has_its_block() -> None:
    values = blocks_of(np.random.default_rng(2), 8, 12) + planted((8, 12), at=48, size=-0.1)
    (change,) = changes_of(values)
    assert (change.kind, change.inside, change.block) == ("step", False, 4)


def test_a_drift_is_no_step() -> None:
    values = blocks_of(np.random.default_rng(2), 1, 80) + planted((1, 80), size=-0.2)
    (change,) = changes_of(values)
    assert change.kind == "drift"


def test_only_the_metrics_that_moved_are_named() -> None:
    values = blocks_of(np.random.default_rng(3), 3, 40)
    values[..., 2:3] += planted((3, 40), at=60, size=-0.2)
    assert changes_of(values)[0].columns == (2,)


def test_one_outlier_is_no_step() -> None:
    values = blocks_of(np.random.default_rng(5), 3, 20)
    values[1, 10] += 3.0
    assert changes_of(values) == []


def test_equal_values_are_steady() -> None:
    assert changes_of(np.zeros((3, 20, 2))) == []
    steps = np.round(blocks_of(np.random.default_rng(6), 3, 20, sb=0, sw=1), 0)
    assert changes_of(steps) == []


def test_the_answer_does_not_depend_on_chance() -> None:
    values = blocks_of(np.random.default_rng(7), 3, 25) + planted((3, 25), at=37, size=-0.05)
    assert changes_of(values) == changes_of(values)


def test_short_blocks_are_left_out() -> None:
    assert usable_blocks([25, 25, 4]) == [0, 1]
    assert usable_blocks([100, 100, 20]) == [0, 1]
    assert usable_blocks([5, 5, 5]) == []
    assert usable_blocks([]) == []


def test_many_blocks_are_judged_by_their_values_alone() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(0, 0.01, (200, 1)) + np.where(np.arange(200) >= 100, 0.05, 0.0)[:, None]
    (change,) = find_changes([], values)
    assert not change.inside
    assert change.block == pytest.approx(100, abs=3)
    assert find_changes([], values[: MIN_BLOCKS - 1]) == []
