"""Throughput over the measured window, and its edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.run.columns import Columns
from bench.analysis.run.windows import (
    BlockThroughput,
    block_throughput,
    part_inside,
    window_of,
)
from bench.results.record import Phase, RequestRecord
from bench.results.run import BlockInfo
from bench.wire.exchange import Outcome

Made = Callable[[list[RequestRecord]], Columns]
Request = Callable[..., RequestRecord]
S = 1e9


def work(columns: Columns, start: float, end: float) -> BlockThroughput:
    return block_throughput(columns, (start * S, end * S), np.ones(len(columns), np.bool_))


@pytest.mark.parametrize(
    ("start", "end", "share"),
    [(2, 4, 1), (0, 4, 0.5), (6, 10, 0.5), (0, 10, 0.6), (0, 2, 0), (9, 9, 0), (5, 5, 1)],
)
def test_a_span_counts_with_its_part_inside(start: float, end: float, share: float) -> None:
    found = part_inside(np.array([start * S]), np.array([end * S]), (2 * S, 8 * S))
    assert found[0] == pytest.approx(share)


def test_whole_requests_count_whole(a_request: Request, columns_from: Made) -> None:
    columns = columns_from([a_request(t, ttft=1.0, decode=1.0, tokens=20) for t in (0, 2, 4)])
    done = work(columns, 0, 6)
    assert (done.seconds, done.output_tokens, done.requests) == (6, 60, 3)
    assert done.in_flight_s == 6


def test_a_request_that_straddles_the_end_counts_in_part(
    a_request: Request, columns_from: Made
) -> None:
    # Sent at 0, writes from 1 to 3; the window ends at 2: half of its work.
    done = work(columns_from([a_request(0, ttft=1.0, decode=2.0, tokens=20)]), 0, 2)
    assert done.output_tokens == 10
    assert done.requests == pytest.approx(1 / 2)
    assert done.in_flight_s == 2


def test_ramp_up_requests_count_with_what_reaches_into_the_window(
    a_request: Request, columns_from: Made
) -> None:
    early = a_request(0, ttft=1.0, decode=2.0, tokens=20, phase=Phase.RAMP_UP)
    assert work(columns_from([early]), 2, 4).output_tokens == 10


def test_warm_up_counts_nowhere(a_request: Request, columns_from: Made) -> None:
    done = work(columns_from([a_request(0, phase=Phase.WARMUP)]), 0, 9)
    assert (done.output_tokens, done.requests, done.in_flight_s) == (0, 0, 0)


def test_failed_requests_are_in_flight_and_give_nothing(
    a_request: Request, columns_from: Made
) -> None:
    failed = a_request(0, ttft=1.0, decode=1.0, outcome=Outcome.ABORTED)
    done = work(columns_from([failed]), 0, 4)
    assert (done.output_tokens, done.requests, done.in_flight_s) == (0, 0, 2)


def test_a_request_that_was_never_sent_does_not_count(
    a_request: Request, columns_from: Made
) -> None:
    unsent = a_request(0, outcome=Outcome.CONNECT_ERROR, sent_ns=None, end_ns=None)
    assert work(columns_from([unsent]), 0, 4).in_flight_s == 0


def test_a_reply_that_was_not_streamed_is_written_from_send_to_end(
    a_request: Request, columns_from: Made
) -> None:
    done = work(columns_from([a_request(0, ttft=1.0, decode=1.0, tokens=20, stream=False)]), 0, 1)
    assert done.output_tokens == 10


def test_the_window_is_the_blocks_own(a_request: Request, columns_from: Made) -> None:
    info = BlockInfo(0, "c", 0, 9, 2, 7)
    assert window_of(columns_from([a_request()]), info) == (2, 7)


def test_without_one_it_goes_from_the_first_start_to_the_last_end(
    a_request: Request, columns_from: Made
) -> None:
    records = [
        a_request(1, ttft=1.0, decode=1.0, planned=0.5),
        a_request(0, phase=Phase.WARMUP),
        a_request(3, ttft=1.0, decode=2.0),
    ]
    assert window_of(columns_from(records), None) == (0.5 * S, 6 * S)
    assert window_of(columns_from([]), None) == (0, 0)


spans = st.tuples(st.floats(0, 90), st.floats(0.1, 20), st.floats(0.1, 20), st.integers(1, 500))


@pytest.mark.slow
@given(
    drawn=st.lists(spans, min_size=1, max_size=15), one=st.floats(1, 100), other=st.floats(1, 100)
)
def test_windows_side_by_side_add_up(
    a_request: Request,
    columns_from: Made,
    drawn: list[tuple[float, float, float, int]],
    one: float,
    other: float,
) -> None:
    """Cut a stretch of time anywhere: what is credited to the parts is the whole."""
    records = [a_request(s, ttft=t + 0.1, decode=d, tokens=n) for s, t, d, n in drawn]
    columns = columns_from(records)
    low, high = sorted((one, other))
    pieces = [work(columns, a, b) for a, b in ((0, low), (low, high), (high, 1000))]
    assert sum(p.output_tokens for p in pieces) == pytest.approx(
        sum(n for _, _, _, n in drawn), rel=1e-6
    )
    assert sum(p.requests for p in pieces) == pytest.approx(len(records), rel=1e-6)
    assert sum(p.in_flight_s for p in pieces) == pytest.approx(
        sum(t + 0.1 + d for _, t, d, _ in drawn), rel=1e-6
    )
