"""Per-request times, by hand and from recorded exchanges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bench.analysis.run.columns import Columns
from bench.analysis.run.gaps import Streams
from bench.analysis.run.latency import latencies
from bench.results.record import RequestRecord
from bench.results.records import records_of
from bench.wire.exchange import ServerTimings

Made = Callable[[list[RequestRecord]], Columns]
Request = Callable[..., RequestRecord]
Recorded = Callable[[str, str], RequestRecord]

S = 1_000_000_000


def one(columns_from: Made, record: RequestRecord) -> dict[str, float]:
    return {id: float(v[0]) for id, v in latencies(columns_from([record])).items()}


def test_a_closed_loop_counts_from_the_send(a_request: Request, columns_from: Made) -> None:
    times = one(columns_from, a_request(10.0, ttft=0.5, decode=2.0, tokens=21))
    assert times["ttft_s"] == 0.5
    assert times["e2e_s"] == 2.5
    assert times["tpot_s"] == 0.1
    assert np.isnan(times["send_delay_s"])


def test_an_open_loop_counts_from_when_it_was_due(a_request: Request, columns_from: Made) -> None:
    times = one(columns_from, a_request(10.0, planned=9.75, ttft=0.5, decode=2.0))
    assert times["ttft_s"] == 0.75
    assert times["answer_ttft_s"] == 0.75
    assert times["e2e_s"] == 2.75
    assert times["send_delay_s"] == 0.25


def test_thinking_is_text_and_the_answer_comes_later(
    a_request: Request, columns_from: Made
) -> None:
    record = a_request(0.0, ttft=0.5, first_thinking_ns=S // 4)
    times = one(columns_from, record)
    assert (times["ttft_s"], times["answer_ttft_s"]) == (0.25, 0.5)


def test_thinking_without_an_answer_has_no_answer_ttft(
    a_request: Request, columns_from: Made
) -> None:
    record = a_request(0.0, first_thinking_ns=S // 4, first_answer_ns=None)
    times = one(columns_from, record)
    assert times["ttft_s"] == 0.25
    assert np.isnan(times["answer_ttft_s"])


def test_a_reply_that_was_not_streamed_has_no_ttft(a_request: Request, columns_from: Made) -> None:
    times = one(columns_from, a_request(0.0, stream=False))
    assert np.isnan([times["ttft_s"], times["answer_ttft_s"], times["tpot_s"]]).all()
    assert times["e2e_s"] == 1.5


def test_one_token_has_no_time_per_token(a_request: Request, columns_from: Made) -> None:
    assert np.isnan(one(columns_from, a_request(tokens=1))["tpot_s"])


def test_queue_is_what_the_server_spent_on_nothing_else(
    a_request: Request, columns_from: Made
) -> None:
    waiting = a_request(ttft=1.0, queue=0.7, load=0.1, decode=2.0)
    columns = columns_from([waiting, a_request(0.5, index=1)])
    times = {id: float(v[0]) for id, v in latencies(columns).items()}
    assert times["queue_s"] == pytest.approx(0.7)
    assert np.isnan(times["unaccounted_s"])
    assert times["prompt_eval_s"] == pytest.approx(0.2)
    parts = sum(times[id] for id in ("queue_s", "load_s", "prompt_eval_s", "eval_s"))
    assert parts == pytest.approx(times["total_s"])


def test_a_request_that_was_alone_waited_for_no_other(
    a_request: Request, columns_from: Made
) -> None:
    times = one(columns_from, a_request(ttft=1.0, queue=0.7, load=0.1, decode=2.0))
    assert (times["queue_s"], times["unaccounted_s"]) == (0, pytest.approx(0.7))


def test_queue_is_never_negative(a_request: Request, columns_from: Made) -> None:
    server = ServerTimings(S, S // 4, 10, None, S // 4 + 10**6, 20, S // 2)
    assert one(columns_from, a_request(tokens=20, server=server))["unaccounted_s"] == 0


def test_an_absent_eval_duration_of_one_token_was_no_time(
    a_request: Request, columns_from: Made
) -> None:
    server = ServerTimings(S, S // 4, 10, None, S // 4, 1, None)
    assert one(columns_from, a_request(tokens=1, server=server))["unaccounted_s"] == 0.5


def test_an_absent_eval_duration_of_many_tokens_is_absent(
    a_request: Request, columns_from: Made
) -> None:
    server = ServerTimings(S, S // 4, 10, None, S // 4, 20, None)
    assert np.isnan(one(columns_from, a_request(server=server))["queue_s"])


def test_overhead_is_the_clients_time_beyond_the_servers(
    a_request: Request, columns_from: Made
) -> None:
    server = ServerTimings(S, 0, 10, None, 0, 20, S)
    record = a_request(2.0, planned=1.0, ttft=0.5, decode=1.0, server=server)
    assert one(columns_from, record)["overhead_s"] == 0.5


def gaps(columns_from: Made, *records: RequestRecord) -> list[float]:
    columns = columns_from(list(records))
    found = Streams(records_of(records), columns).gaps_of(columns.row)
    return found.seconds.tolist()


def test_gaps_are_between_first_and_last_text(a_request: Request, columns_from: Made) -> None:
    record = a_request(0.0, ttft=0.5, decode=1.0, tokens=5)
    assert record.chunk_gaps_ns == [S // 2, S // 4, S // 4, S // 4, S // 4, 0]
    # The done line, which came with the last text here, is no chunk of text.
    assert gaps(columns_from, record) == [0.25] * 4


def test_lines_around_the_text_are_no_gaps(a_request: Request, columns_from: Made) -> None:
    record = a_request(
        1.0,
        first_answer_ns=3 * S,
        last_text_ns=5 * S,
        chunk_gaps_ns=[S, S, S, S, 3 * S],  # at 2 (empty), 3, 4, 5, 8 (done)
    )
    assert gaps(columns_from, record) == [1.0, 1.0]


def test_lines_of_one_read_have_gaps_of_nothing(a_request: Request, columns_from: Made) -> None:
    record = a_request(
        0.0,
        first_answer_ns=S,
        last_text_ns=2 * S,
        chunk_gaps_ns=[S, 0, S, 0, 1],  # two at 1 s, two at 2 s, then the done line
        text_chunks=4,
    )
    assert gaps(columns_from, record) == [0.0, 1.0, 0.0]


def test_gaps_know_their_request(a_request: Request, columns_from: Made) -> None:
    records = [
        a_request(0.0, tokens=3, index=0),
        a_request(0.0, stream=False, index=1),
        a_request(9.0, tokens=4, index=2),
    ]
    columns = columns_from(records)
    found = Streams(records_of(records), columns).gaps_of(columns.row)
    assert set(found.row.tolist()) == {0, 2}
    assert found.of_rows(np.array([2])).row.tolist() == [2] * (found.row == 2).sum()
    assert len(found.of_rows(np.array([1])).seconds) == 0


@pytest.mark.parametrize("version", ["0.12.11", "0.24.0", "0.32.15"])
def test_a_recorded_stream_has_the_times_of_its_lines(
    recorded: Recorded, columns_from: Made, version: str
) -> None:
    record = recorded(version, "chat-stream")
    times = one(columns_from, record)
    assert record.first_answer_ns == record.first_chunk_ns is not None
    assert times["ttft_s"] == pytest.approx(record.first_chunk_ns / 1e9)
    assert record.text_chunks == 24
    assert record.chunks == 25
    assert len(gaps(columns_from, record)) == 23
    assert sum(gaps(columns_from, record)) == pytest.approx(times["tpot_s"] * 23)
    assert 0 <= times["queue_s"] < times["total_s"] <= times["e2e_s"] + 0.005


@pytest.mark.parametrize("version", ["0.12.11", "0.24.0", "0.32.15"])
def test_recorded_thinking_comes_before_the_answer(
    recorded: Recorded, columns_from: Made, version: str
) -> None:
    times = one(columns_from, recorded(version, "thinking-chat-stream"))
    assert times["ttft_s"] < times["answer_ttft_s"] < times["e2e_s"]
