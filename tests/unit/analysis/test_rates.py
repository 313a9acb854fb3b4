"""Tokens per second: what is counted over what is timed, and when there is no rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.analysis.run import rates
from bench.analysis.run.columns import Columns
from bench.ollama.eras import era_of
from bench.results.record import RequestRecord
from bench.wire.exchange import ServerTimings

NEWEST = era_of("0.32.15")
Made = Callable[[list[RequestRecord]], Columns]
Request = Callable[..., RequestRecord]


def timings(**given: int | None) -> ServerTimings:
    usual: dict[str, int | None] = {
        "total_duration": 3_000_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": 400,
        "prompt_eval_duration": 500_000_000,
        "eval_count": 101,
        "eval_duration": 2_000_000_000,
    }
    return ServerTimings(**(usual | given))


@pytest.fixture
def columns(a_request: Request, columns_from: Made) -> Callable[..., Columns]:
    """`columns({...}, {...})`: requests with these server numbers."""

    def made(*servers: dict[str, int | None]) -> Columns:
        told = [timings(**server) for server in servers]
        return columns_from(
            [
                a_request(ttft=0.6, decode=2.4, tokens=t.eval_count or 101, server=t, index=i)
                for i, t in enumerate(told)
            ]
        )

    return made


Numbers = Callable[..., Columns]


def test_decode_counts_the_steps_that_were_timed(columns: Numbers) -> None:
    parts = rates.decode(columns({}), NEWEST)
    assert parts.per_request.tolist() == [50.0]
    assert parts.note == ""


def test_ollamas_own_convention_counts_the_first_token_too(columns: Numbers) -> None:
    assert rates.ollama_decode(columns({}), NEWEST).per_request.tolist() == [50.5]


def test_mlx_times_the_first_token(columns: Numbers) -> None:
    mlx = era_of("0.32.15", "safetensors")
    assert rates.decode(columns({}), mlx).per_request.tolist() == [50.5]


def test_one_token_is_not_a_million_tokens_per_second(columns: Numbers) -> None:
    """The engine's floor of 1 us at one token: 1,000,000 tok/s by count / duration."""
    one = columns({"eval_count": 1, "eval_duration": 1_000})
    for parts in (rates.decode(one, NEWEST), rates.ollama_decode(one, NEWEST)):
        assert np.isnan(parts.per_request).all()
        assert parts.note == "a decode rate needs at least 16 output tokens"


@pytest.mark.parametrize(("tokens", "given"), [(15, False), (16, True)])
def test_a_decode_rate_needs_sixteen_tokens(columns: Numbers, tokens: int, given: bool) -> None:
    parts = rates.decode(columns({"eval_count": tokens}), NEWEST)
    assert np.isfinite(parts.per_request).all() == given


def test_a_decode_rate_no_machine_reaches_is_refused_and_counted(columns: Numbers) -> None:
    parts = rates.decode(columns({"eval_count": 100, "eval_duration": 1_000_000}, {}), NEWEST)
    assert np.isnan(parts.per_request[0]) and parts.per_request[1] == 50
    assert parts.note == "eval_duration is shorter than any machine takes for that many tokens"


def test_a_prefill_rate_no_machine_reaches_is_refused_and_counted(columns: Numbers) -> None:
    parts = rates.prefill(columns({"prompt_eval_duration": 100_000}, {}), NEWEST, busted=True)
    assert parts.implausible.tolist() == [True, False]
    assert np.isnan(parts.per_request[0]) and parts.per_request[1] == 800


@pytest.mark.parametrize("missing", ["eval_count", "eval_duration"])
def test_absent_is_not_zero(columns: Numbers, missing: str) -> None:
    parts = rates.decode(columns({missing: None}), NEWEST)
    assert np.isnan(parts.per_request).all()
    assert parts.note == f"the server does not say {missing}"


def test_a_zero_is_a_number_that_was_not_measured(columns: Numbers) -> None:
    parts = rates.decode(columns({"eval_duration": 0}), NEWEST)
    assert np.isnan(parts.per_request).all()
    assert parts.note == "eval_duration is zero, which says nothing"


def test_prefill_of_a_unique_prompt_is_count_over_duration(columns: Numbers) -> None:
    assert rates.prefill(columns({}), NEWEST, busted=True).per_request.tolist() == [800.0]


def test_prefill_of_a_repeated_prompt_is_not_told(columns: Numbers) -> None:
    parts = rates.prefill(columns({}), NEWEST, busted=False)
    assert np.isnan(parts.per_request).all()
    assert parts.note.startswith("cache state unknown")


def test_prefill_leaves_out_the_cached_tokens_where_they_are_told(columns: Numbers) -> None:
    era = era_of("0.33.3")
    hit = columns({"prompt_eval_cached_count": 300}, {"prompt_eval_cached_count": 0})
    assert rates.prefill(hit, era, busted=False).per_request.tolist() == [200.0, 800.0]


def test_prefill_of_an_almost_full_hit_is_not_told(columns: Numbers) -> None:
    hit = columns({"prompt_eval_cached_count": 399})
    parts = rates.prefill(hit, era_of("0.33.3"), busted=False)
    assert np.isnan(parts.per_request).all()


def test_a_short_unique_prompt_has_none_because_the_template_may_be_cached(
    columns: Numbers,
) -> None:
    short = columns({"prompt_eval_count": 60})
    assert np.isnan(rates.prefill(short, NEWEST, busted=True).per_request).all()
    # Told counts need no such care.
    told = columns({"prompt_eval_count": 60, "prompt_eval_cached_count": 20})
    assert rates.prefill(told, era_of("0.33.3"), busted=True).per_request.tolist() == [80.0]


@pytest.mark.parametrize("version", ["0.3.14", "0.30.0"])
def test_where_the_count_leaves_out_cached_tokens_it_is_honest_by_itself(
    columns: Numbers, version: str
) -> None:
    parts = rates.prefill(columns({"prompt_eval_count": 60}), era_of(version), busted=False)
    assert parts.per_request.tolist() == [120.0]


def test_two_releases_time_only_the_last_batch_of_a_prompt(columns: Numbers) -> None:
    parts = rates.prefill(columns({}), era_of("0.12.6"), busted=True)
    assert np.isnan(parts.per_request).all()
    assert "last batch" in parts.note


def test_whole_milliseconds_give_no_rate_of_a_few_of_them(columns: Numbers) -> None:
    old = era_of("0.6.1")
    few = columns({"prompt_eval_duration": 19_000_000}, {"prompt_eval_duration": 20_000_000})
    assert np.isnan(rates.prefill(few, old, busted=True).per_request).tolist() == [True, False]


@pytest.mark.parametrize("version", ["0.12.11", "0.24.0", "0.32.15"])
def test_recorded_streams_give_their_known_rates(
    recorded: Callable[[str, str], RequestRecord], columns_from: Made, version: str
) -> None:
    record = recorded(version, "chat-stream")
    said: Any = record.server
    parts = rates.decode(columns_from([record]), era_of(version))
    assert parts.per_request[0] == pytest.approx(23 / (said.eval_duration / 1e9))
    assert said.eval_count == 24
    assert np.isnan(rates.prefill(columns_from([record]), era_of(version), True).per_request[0])


@pytest.mark.parametrize("version", ["0.12.11", "0.24.0", "0.32.15"])
def test_recorded_single_tokens_give_no_rate(
    recorded: Callable[[str, str], RequestRecord], columns_from: Made, version: str
) -> None:
    record = recorded(version, "chat-one-token")
    assert record.server.eval_count == 1
    assert record.server.eval_duration == (1_000 if version == "0.32.15" else None)
    assert np.isnan(rates.decode(columns_from([record]), era_of(version)).per_request[0])


@pytest.mark.parametrize("version", ["0.12.11", "0.24.0", "0.32.15"])
def test_a_recorded_cache_hit_has_no_prefill_rate(
    recorded: Callable[[str, str], RequestRecord], columns_from: Made, version: str
) -> None:
    """The same prompt again: the count is the whole prompt, the duration almost nothing."""
    first = recorded(version, "chat-stream").server
    again = recorded(version, "chat-stream-same-prompt-again")
    assert again.server.prompt_eval_count == first.prompt_eval_count
    parts = rates.prefill(columns_from([again]), era_of(version), busted=False)
    assert np.isnan(parts.per_request[0])
