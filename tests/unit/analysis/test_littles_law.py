"""A broken measurement is found, and honest short and overloaded ones are not called broken."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from littles_law_runs import CLOSED, OPEN, S, case_of, closed_block, data_of, open_block

from bench.analysis.run.littles_law import littles_law
from bench.wire.exchange import Outcome


@pytest.mark.slow
@pytest.mark.parametrize("hold", [True, False])
def test_closed_loops_of_honest_runs_are_no_alarm(a_request, hold):
    """With the load held to the end, and as older versions left it: drained."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(150):
        data = case_of(
            lambda index: closed_block(rng, a_request, index, requests=12, hold=hold), CLOSED
        )
        alarms += bool(list(littles_law(data)))
    assert alarms == 0


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.6, 2.0])
def test_open_loops_of_honest_runs_are_no_alarm_overloaded_or_not(a_request, load):
    rng = np.random.default_rng(2)
    alarms = 0
    for duration in (None, 12):
        for _ in range(75):
            data = case_of(
                lambda index, d=duration: open_block(rng, a_request, index, load, duration=d), OPEN
            )
            alarms += bool(list(littles_law(data)))
    assert alarms == 0


def test_lost_records_of_a_closed_loop_are_found(a_request):
    rng = np.random.default_rng(3)
    rows, info = closed_block(rng, a_request, 0, requests=60)
    kept = [r for i, r in enumerate(rows) if i % 8]
    assert list(littles_law(data_of(CLOSED, [rows], {0: info}))) == []
    found = list(littles_law(data_of(CLOSED, [kept], {0: info})))
    assert "4 users" in found[0].message


def test_wrong_stamps_of_a_closed_loop_are_found(a_request):
    rng = np.random.default_rng(4)
    rows, info = closed_block(rng, a_request, 0, requests=60)
    late = [dataclasses.replace(r, end_ns=r.end_ns + S // 5) for r in rows]
    assert list(littles_law(data_of(CLOSED, [late], {0: info})))


def test_lost_records_of_an_open_loop_are_found(a_request):
    rng = np.random.default_rng(5)
    rows, info = open_block(rng, a_request, 0, load=0.6, n=60)
    found = list(littles_law(data_of(OPEN, [rows[:-5]], {0: info})))
    assert "55" in found[0].message


def test_failed_requests_that_hold_slots_are_found(a_request):
    rng = np.random.default_rng(6)
    rows, info = closed_block(rng, a_request, 0, requests=60)
    bad = [dataclasses.replace(r, outcome=Outcome.TIMEOUT) if i % 10 == 0 else r
           for i, r in enumerate(rows)]  # fmt: skip
    found = list(littles_law(data_of(CLOSED, [bad], {0: info})))
    assert "ended well" in found[0].message


def test_users_who_think_have_no_request_all_the_time(a_request):
    from bench.scenario.plan import Distribution

    rng = np.random.default_rng(7)
    rows, info = closed_block(rng, a_request, 0, requests=60)
    thinking = dataclasses.replace(CLOSED, think_time_s=Distribution("fixed", {"value": 1.0}))
    kept = [r for i, r in enumerate(rows) if i % 3]
    assert list(littles_law(data_of(thinking, [kept], {0: info}))) == []
