"""A number that the client moved by more than its interval makes the run invalid, and no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.analysis.run.client_checks import spread_evenly
from bench.analysis.run.gaps import Gaps
from bench.results.record import RequestRecord
from bench.results.run import ClientHealth, RunWarning, TransportInfo
from bench.scenario.plan import Arrivals, Load

Request = Callable[..., RequestRecord]
RunOf = Callable[..., Any]

OPEN = {"load": Load("open", rate_per_s=0.3, arrivals=Arrivals("poisson"), requests=30)}
FOUR_USERS = {"load": Load("closed", users=4, requests=40)}


def bent(run: Any) -> RunWarning | None:
    summary = run.summary()
    found = next((w for w in summary.warnings if w.code == "client_bent"), None)
    assert summary.valid == (found is None)
    return found


def streamed(a_request: Request, spread_s: float = 0.0, late_s: float = 0.0) -> list[RequestRecord]:
    """Thirty requests, three seconds apart, with a TTFT of 0.5 s that varies by so much."""
    rng = np.random.default_rng(1)
    return [
        a_request(
            3.0 * i + late_s,
            ttft=0.5 + float(rng.uniform(-spread_s, spread_s)),
            planned=3.0 * i,
            index=i,
            block=i % 3,
            prompt_sha256=f"{i:016x}",
            chunk_gaps_ns=[],
        )
        for i in range(30)
    ]


@pytest.mark.parametrize(
    ("lag_ms", "transport", "expected"),
    [(6.0, "user", True), (1.5, "user", False), (6.0, "kernel", False)],
)
def test_a_lag_bends_exact_times_unless_the_kernel_stamps(
    run_of: RunOf, a_request: Request, lag_ms: float, transport: str, expected: bool
) -> None:
    run = run_of(
        [a_request(3.0 * i, index=i, block=i % 3) for i in range(30)],  # TTFT 500 ms, always
        blocks=3,
        block_info={"health": ClientHealth(loop_lag_p99_ms=lag_ms)},
        run={"transport": TransportInfo(transport)},
    )
    assert bool(bent(run)) == expected


def test_a_lag_within_the_interval_bends_nothing(run_of: RunOf, a_request: Request) -> None:
    def run(lag_ms: float) -> Any:
        return run_of(
            streamed(a_request, spread_s=0.2),
            blocks=3,
            case=OPEN,
            block_info={"health": ClientHealth(loop_lag_p99_ms=lag_ms, loop_lag_mean_ms=lag_ms)},
            run={"transport": TransportInfo("user")},
        )

    assert bent(run(20.0)) is None
    assert bent(run(200.0)) is not None


def test_missing_kernel_stamps_let_the_lag_in(run_of: RunOf, a_request: Request) -> None:
    def run(user_stamps: int) -> Any:
        health = ClientHealth(loop_lag_p99_ms=50.0, reads=1000, user_stamps=user_stamps)
        return run_of(
            [a_request(3.0 * i, index=i, block=i % 3) for i in range(30)],
            blocks=3,
            block_info={"health": health},
            run={"transport": TransportInfo("kernel")},
        )

    assert bent(run(5)) is None
    assert bent(run(50)) is not None


def test_late_sends_bend_what_counts_from_the_planned_time(
    run_of: RunOf, a_request: Request
) -> None:
    def run(spread_s: float, late_s: float) -> Any:
        return run_of(streamed(a_request, spread_s, late_s), blocks=3, case=OPEN)

    found = bent(run(0.01, 0.1))
    assert found is not None and "100.0 ms after they were due" in found.message
    assert found.advice.endswith("use --workers 2.")
    assert "off by 0.1 s," in found.message
    assert bent(run(0.2, 0.01)) is None  # well within the interval
    assert bent(run(0.01, 0.0002)) is None


def test_the_time_of_connecting_is_not_the_clients(run_of: RunOf, a_request: Request) -> None:
    records = [
        a_request(3.0 * i + 0.1, planned=3.0 * i, index=i, block=i % 3, connect_ns=100_000_000)
        for i in range(30)
    ]
    assert bent(run_of(records, blocks=3, case=OPEN)) is None


@pytest.mark.parametrize(("idle_ms", "expected"), [(1.0, False), (300.0, True)])
def test_users_that_idle_bend_the_rates(
    run_of: RunOf, a_request: Request, idle_ms: float, expected: bool
) -> None:
    """Four users, each asking anew every 2 s: 300 ms of it is 15 %, 1 ms is nothing."""
    records = [
        a_request(2.0 * (i // 4), decode=1.5, ttft=0.3, index=i, block=i // 20, user=i % 4)
        for i in range(60)
    ]
    run = run_of(
        records,
        blocks=3,
        case=FOUR_USERS,
        block_info={"health": ClientHealth(send_late_mean_ms=idle_ms)},
    )
    found = bent(run)
    assert bool(found) == expected
    assert found is None or "_per_s.value" in found.message


def test_rates_reach_as_high_as_users_that_ask_at_once_would_get(
    run_of: RunOf, a_request: Request
) -> None:
    """Answers of 10 ms and a client that takes 0.3 ms between them, as with short embeddings."""
    cycle_s, idle_s = 0.0103, 0.0003
    records = [
        a_request(
            10.0 * (i // 100) + cycle_s * (i % 100),
            ttft=0.002,
            decode=0.008,
            index=i,
            block=i // 100,
            user=0,
        )
        for i in range(300)
    ]
    run = run_of(
        records,
        blocks=3,
        case={"load": Load("closed", users=1, requests=100)},
        block_info={"health": ClientHealth(send_late_mean_ms=idle_s * 1e3)},
    )
    assert bent(run) is None
    rate = run.summary().cases[0].metrics["request_per_s"].stats["value"]
    assert rate.low <= rate.value < 1 / (cycle_s - idle_s) <= rate.high < 1.05 * rate.value
    (told,) = (w for w in run.summary().warnings if w.code == "users_idled")
    assert "0.3 ms after they were ready" in told.message and "2.9% higher" in told.message
    assert not told.invalidates


@pytest.mark.parametrize(("lag_ms", "expected"), [(5.0, False), (120.0, True)])
@pytest.mark.parametrize("thresholds", [(), ("itl_s.p50 <= 1",)])
def test_shared_reads_bend_the_gaps_only_if_the_client_was_late(
    run_of: RunOf,
    a_request: Request,
    lag_ms: float,
    expected: bool,
    thresholds: tuple[str, ...],
) -> None:
    """Gaps of 100 ms and of 0, as when every chunk waited for the one behind it."""
    records = []
    for i in range(30):
        whole = a_request(3.0 * i, ttft=0.5, decode=1.0, tokens=21, index=i, block=i % 3)
        gaps = [500_000_000, *([100_000_000, 0] * 10), 0]
        records.append(RequestRecord(**{**fields_of(whole), "chunk_gaps_ns": gaps}))
    health = ClientHealth(loop_lag_p99_ms=lag_ms, reads=400, coalesced_lines=330)
    run = run_of(
        records,
        blocks=3,
        block_info={"health": health},
        run={"transport": TransportInfo("kernel")},
        thresholds=thresholds,
    )
    found = next((w for w in run.summary().warnings if w.code == "client_bent"), None)
    assert bool(found) == expected
    if found is not None:
        assert found.message.startswith("itl_s.")
        assert found.invalidates == bool(thresholds)


def test_chunks_of_one_read_are_spread_over_the_gap_before_them() -> None:
    gaps = Gaps(np.array([4.0, 0.0, 2.0, 0.0, 3.0, 0.0, 0.0]), np.array([0, 0, 0, 1, 1, 1, 1]))
    assert spread_evenly(gaps).tolist() == [2.0, 2.0, 2.0, 0.0, 1.0, 1.0, 1.0]


def fields_of(record: RequestRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
