"""Observed slots: how many requests are worked on at once."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from virtual_runs import closed, plan_of, run_virtually
from virtual_server import model

from bench.analysis.run.columns import Columns
from bench.analysis.run.slots import Slots, mean_at_once, most_at_once, observe_slots
from bench.analysis.run.summarise import summarise
from bench.results.record import RequestRecord
from bench.scenario.plan import Load

Made = Callable[[list[RequestRecord]], Columns]
Request = Callable[..., RequestRecord]


def closed_loop(
    a_request: Request,
    users: int,
    slots: int,
    requests: int = 40,
    unnamed: float = 0.0,
    **other: Any,
) -> list[RequestRecord]:
    """Users before a first-come-first-served server with so many slots; seconds.

    Args:
        unnamed: time in a slot that the server counts as no part.
    """
    rng = np.random.default_rng(users * 100 + slots)
    free = [0.0] * slots
    ready = [(0.001 * u, u) for u in range(users)]
    heapq.heapify(ready)
    records = []
    for i in range(requests):
        sent, user = heapq.heappop(ready)
        start = max(heapq.heappop(free), sent) + unnamed
        prefill, decode = 0.2, 1.0 + float(rng.uniform(0, 0.2))
        heapq.heappush(free, start + prefill + decode)
        heapq.heappush(ready, (start + prefill + decode + 0.002, user))
        queue = start - sent
        made = a_request(
            sent, ttft=queue + prefill + 0.001, queue=queue, decode=decode, index=i, **other
        )
        records.append(made)
    return records


@pytest.mark.parametrize(("users", "slots"), [(2, 1), (4, 1), (3, 2), (6, 4), (8, 4)])
def test_waiting_users_show_all_slots(
    a_request: Request, columns_from: Made, users: int, slots: int
) -> None:
    found = observe_slots(columns_from(closed_loop(a_request, users, slots)))
    assert found == Slots(slots, exact=True)


@pytest.mark.parametrize(("users", "slots"), [(1, 4), (2, 4), (4, 4)])
def test_without_waiting_there_are_at_least_as_many(
    a_request: Request, columns_from: Made, users: int, slots: int
) -> None:
    found = observe_slots(columns_from(closed_loop(a_request, users, slots)))
    assert found == Slots(users, exact=False)


@pytest.mark.parametrize(("users", "slots"), [(1, 1), (2, 2), (4, 4), (4, 8)])
def test_time_in_no_part_is_no_wait_for_a_slot(
    a_request: Request, columns_from: Made, users: int, slots: int
) -> None:
    """llama.cpp counts the prefill of others as no part; another client does the same."""
    records = closed_loop(a_request, users, slots, unnamed=0.4)
    assert observe_slots(columns_from(records)) == Slots(users, exact=False)


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [2, 32, 200])
@pytest.mark.parametrize(("users", "slots"), [(1, 1), (3, 3), (4, 4), (2, 1), (5, 4), (8, 4)])
def test_slots_of_a_simulated_server(tmp_path: Path, users: int, slots: int, tokens: int) -> None:
    """Exact if and only if there are more users than slots, with long and short answers."""
    plan = plan_of(closed(users, 40), predict=tokens)
    run = run_virtually(plan, model(), tmp_path, num_parallel=slots)
    metric = summarise(run.info, run.records).cases[0].metrics["slots_observed"]
    assert metric.stats["value"].value == min(users, slots)
    assert (metric.note == "") == (users > slots)


def test_replies_that_are_not_streamed_tell_by_the_servers_durations(
    a_request: Request, columns_from: Made
) -> None:
    records = closed_loop(a_request, 4, 2, stream=False)
    assert observe_slots(columns_from(records)) == Slots(2, exact=True)


def test_no_requests_tell_nothing(columns_from: Made) -> None:
    assert observe_slots(columns_from([])) is None


@pytest.mark.parametrize(
    ("version", "name", "expected"),
    [
        ("0.12.11", "parallel-1-four-chats", Slots(1, exact=True)),
        ("0.24.0", "parallel-1-four-chats", Slots(1, exact=True)),
        ("0.32.15", "parallel-1-four-chats", Slots(1, exact=True)),
        ("0.12.11", "parallel-4-six-chats", Slots(4, exact=True)),
        ("0.24.0", "parallel-4-six-chats", Slots(4, exact=True)),
        ("0.32.15", "parallel-4-six-chats", Slots(4, exact=True)),
    ],
)
def test_recorded_simultaneous_chats_show_the_slots_of_their_server(
    recorded_together: Callable[[str, str], list[RequestRecord]],
    columns_from: Made,
    version: str,
    name: str,
    expected: Slots,
) -> None:
    assert observe_slots(columns_from(recorded_together(version, name))) == expected


def test_spans_that_only_touch_do_not_overlap() -> None:
    assert most_at_once(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0, 3.0])) == 1


def test_a_moment_of_overlap_is_the_stamps_noise() -> None:
    start = np.arange(10.0)
    assert most_at_once(start, start + 1.001) == 1
    assert most_at_once(start, start + 1.1) == 2


def test_mean_at_once_is_an_average_over_time() -> None:
    # Two spans: 0-4 and 2-6. During 0-4 there are 1, 1, 2, 2 of them.
    start, end = np.array([0.0, 2.0]), np.array([4.0, 6.0])
    assert mean_at_once(start, end, np.array([0.0, 4.0]), np.array([4.0, 8.0])).tolist() == [
        1.5,
        0.5,
    ]


def test_cases_that_differ_in_users_share_what_they_show(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    """One user cannot show four slots; the case with eight of the same server does."""
    few, many = run_of(), run_of(case={"id": "many", "load": Load("closed", users=8)})
    few.records = closed_loop(a_request, 1, 4)
    many.records = closed_loop(a_request, 8, 4, block=1, case="many")
    both = run_of(few.records + many.records, blocks=1)
    summary = both.summary_with(many.plan_case)
    one, eight = summary.cases
    assert one.identity.slots_observed == eight.identity.slots_observed == 4
    assert one.metrics["slots_observed"].stats["value"].value == 4
    assert one.metrics["slots_observed"].note == ""


def test_slots_that_are_only_bounded_are_no_identity(
    run_of: Callable[..., Any], a_request: Request
) -> None:
    case = run_of(closed_loop(a_request, 2, 4)).case_summary()
    assert case.identity.slots_observed is None
    assert case.metrics["slots_observed"].stats["value"].value == 2
    assert case.metrics["slots_observed"].note.startswith("at least")
