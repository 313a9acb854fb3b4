from __future__ import annotations

import pytest

from bench.doctor.checkup import Status
from bench.doctor.self_test import LoadStep, SelfTest, ceiling_findings
from bench.load.watch import nearest_rank


def step(offered, error_ms=0.02, reached=1.0, server_late_ms=0.1):
    return LoadStep(offered, offered * reached, 0.003, error_ms, 0.02, 0.0, server_late_ms, 0.2)


def found(*steps):
    test = SelfTest("kernel", "why", steps, 20_000.0)
    return {f.what: f for f in ceiling_findings(test)}


def test_the_trusted_load_is_the_highest_one_below_which_all_are_exact():
    said = found(step(1000), step(5000), step(10_000, error_ms=0.15), step(20_000, error_ms=4))
    assert said["trusted up to"].status is Status.FINE
    assert said["trusted up to"].said.startswith("10,000 chunks per second, which is 333 users")
    assert "at 20,000 per second the stamp error is 4.0 ms" in said["trusted up to"].said
    assert "0.150 ms" in said["stamp error"].said and "10,000" in said["stamp error"].said
    assert said["requests"].said.startswith("20,000 short requests")


def test_a_load_that_did_not_come_is_not_trusted():
    said = found(step(1000), step(5000), step(10_000, reached=0.8))
    assert said["trusted up to"].said.startswith("5,000")
    assert "only 8,000 came" in said["trusted up to"].said


def test_the_machine_is_told_from_this_program():
    said = found(step(1000), step(5000), step(10_000, error_ms=9, server_late_ms=30))
    assert "the test's own server was 30 ms late" in said["trusted up to"].said


def test_a_busy_machine_is_trusted_with_nothing():
    said = found(step(1000, error_ms=3))
    assert {said[what].status for what in ("stamp error", "trusted up to")} == {Status.CAUTION}
    assert said["stamp error"].advice


def test_what_is_usable_but_not_exact_is_said_with_its_error():
    said = found(step(1000, error_ms=0.5), step(5000, error_ms=0.6))
    assert said["stamp error"].status is Status.CAUTION
    assert said["trusted up to"].said.startswith("5,000")


@pytest.mark.parametrize(
    ("values", "p", "expected"),
    [([], 0.5, None), ([7], 0.99, 7), (range(1, 101), 0.99, 99), ([3, 1, 2], 0.5, 2)],
)
def test_nearest_rank(values, p, expected):
    assert nearest_rank(values, p) == expected
