"""Somebody else's requests are found where the server had room for all of this run's."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from virtual_runs import MODEL, closed, plan_of, run_virtually
from virtual_server import ask, model

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import Summary
from bench.results.record import Phase, RequestRecord
from bench.results.run import RunWarning
from bench.scenario.plan import Arrivals, Distribution, Load
from bench.server.app import App
from bench.wire.exchange import Outcome

Request = Callable[..., RequestRecord]
RunOf = Callable[..., Any]


def found(summary: Summary) -> list[RunWarning]:
    return [w for w in summary.warnings if w.code == "other_load"]


async def second_user(app: App) -> None:
    """Asks for 60 tokens (0.6 s), and again 0.9 s later."""
    options = {"num_ctx": 4096, "num_predict": 60}
    await asyncio.sleep(1.0)
    while True:
        body = {"model": MODEL, "prompt": "hello " * 20, "keep_alive": "30m", "options": options}
        await ask(app, "/api/generate", body)
        await asyncio.sleep(0.9)


@pytest.mark.slow
@pytest.mark.parametrize(("users", "requests"), [(1, 8), (1, 40), (2, 8), (2, 40), (4, 40)])
def test_a_second_user_is_seen(tmp_path: Path, users: int, requests: int) -> None:
    """As many slots as users: some of what several users wait may be their own prefill."""
    plan = plan_of(closed(users, requests), predict=40)
    run = run_virtually(plan, model(), tmp_path, num_parallel=users, beside=second_user)
    summary = summarise(run.info, run.records)
    [warning] = found(summary)
    # The simulated server spends no time in no part but in its queue.
    waited = sum(_unnamed_s(r) > 0.1 for r in run.records if r.phase is Phase.MEASURE)
    count = int(warning.message.split()[0])
    assert (count == waited) if users == 1 else (2 <= count <= waited)
    assert f"of {requests} requests waited" in warning.message
    assert warning.invalidates and "without that, " in warning.message
    assert not summary.valid


@pytest.mark.slow
@pytest.mark.parametrize(("users", "slots"), [(1, 1), (1, 4), (2, 2), (4, 4), (4, 1), (8, 4)])
def test_a_server_of_ones_own_has_no_second_user(tmp_path: Path, users: int, slots: int) -> None:
    plan = plan_of(closed(users, 40), predict=40)
    run = run_virtually(plan, model(), tmp_path, num_parallel=slots)
    assert not found(summarise(run.info, run.records))


def test_an_open_loop_queues_behind_itself(tmp_path: Path) -> None:
    load = Load("open", rate_per_s=1.2, requests=60, arrivals=Arrivals("poisson"))
    plan = plan_of(load, predict=40)
    run = run_virtually(plan, model(), tmp_path, num_parallel=1)
    assert not found(summarise(run.info, run.records))


def _unnamed_s(record: RequestRecord) -> float:
    s = record.server
    parts = (s.load_duration, s.prompt_eval_duration, s.eval_duration)
    return ((s.total_duration or 0) - sum(p or 0 for p in parts)) / 1e9


def test_few_short_waits_that_bend_nothing_leave_the_run_valid(
    run_of: RunOf, a_request: Request
) -> None:
    records = [
        a_request(
            6.0 * i, ttft=0.5 + wait, queue=wait, decode=4.0, tokens=81, index=i, block=i // 20
        )
        for i, wait in enumerate([0.5 if i in (7, 31) else 0.0 for i in range(60)])
    ]
    summary = run_of(records, blocks=3).summary()
    [warning] = found(summary)
    assert "2 of 60 requests waited" in warning.message and "0.5 s (median)" in warning.message
    assert not warning.invalidates


def test_time_that_every_request_spends_alike_is_no_second_user(
    run_of: RunOf, a_request: Request
) -> None:
    """Rendering and tokenising a long prompt that is in the cache, say."""
    records = [
        a_request(4.0 * i, ttft=0.45, queue=0.4, prompt_tokens=30_000, index=i) for i in range(30)
    ]
    assert not found(run_of(records).summary())


def test_after_a_request_that_was_given_up_the_next_ones_may_wait(
    run_of: RunOf, a_request: Request
) -> None:
    records = []
    for i in range(30):
        late = i in (8, 16)
        kind = {"outcome": Outcome.TIMEOUT} if i in (7, 15) else {}
        records.append(
            a_request(
                3.0 * i, ttft=1.5 if late else 0.5, queue=1.0 if late else 0.0, index=i, **kind
            )
        )
    assert not found(run_of(records).summary())


@pytest.mark.slow
@pytest.mark.parametrize("users", [2, 4])
def test_the_prefill_of_ones_own_requests_is_no_second_user(
    run_of: RunOf, a_request: Request, users: int
) -> None:
    """llama.cpp reads one prompt after the other; who waits for that finds it in no part."""
    for seed in range(60):
        rng = np.random.default_rng([seed, users])
        reader = 0.0
        ready = [(0.01 * u, u) for u in range(users)]
        records = []
        for i in range(40):
            sent, user = heapq.heappop(ready)
            queue = max(0.0, reader - sent)
            prefill = float(0.5 * rng.lognormal(0, 0.5))
            decode = float(1.0 * rng.lognormal(0, 0.2))
            reader = sent + queue + prefill
            heapq.heappush(ready, (reader + decode + 0.003, user))
            records.append(
                a_request(
                    sent, ttft=queue + prefill + 0.001, queue=queue, decode=decode, index=i,
                    user=user,
                )
            )  # fmt: skip
        run = run_of(records, case={"load": Load("closed", users=users)})
        assert not found(run.summary()), seed


def test_a_reload_by_another_client_is_seen(tmp_path: Path) -> None:
    """It takes 0.3 s, and nothing but a load_duration tells of it."""

    async def other_options(app: App) -> None:
        await asyncio.sleep(3.35)
        options = {"num_ctx": 2048, "num_predict": 5}
        body = {"model": MODEL, "prompt": "hello", "keep_alive": "30m", "options": options}
        await ask(app, "/api/generate", body)

    think = Distribution("fixed", {"value": 0.2})
    plan = plan_of(Load("closed", users=1, requests=15, think_time_s=think), predict=40)
    quick = model(cold_load_s=0.3, warm_load_s=0.3)
    alone = run_virtually(plan, quick, tmp_path / "alone", num_parallel=1)
    assert "reloaded" not in {w.code for w in alone.info.warnings}
    run = run_virtually(plan, quick, tmp_path / "other", num_parallel=1, beside=other_options)
    [warning] = [w for w in run.info.warnings if w.code == "reloaded"]
    assert "1 request waited" in warning.message and warning.invalidates
