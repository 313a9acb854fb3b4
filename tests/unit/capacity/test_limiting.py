"""What a single user shows, which promise is broken, and what a short probe proves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy import stats
from session_runs import plan_of
from virtual_runs import run_virtually
from virtual_server import model

from bench.analysis.capacity.judge import Bound, ProbeVerdict
from bench.analysis.capacity.judged_search import JudgedSearch
from bench.analysis.capacity.limit import ProbeShare
from bench.analysis.capacity.probe import Probe, Purpose, SearchSettings
from bench.analysis.capacity.probed import alone, broken_promise
from bench.analysis.capacity.promises import (
    ProbeOutcome,
    ProbeSample,
    PromiseAtProbe,
    parse_promises,
    waited,
)
from bench.analysis.capacity.result import PromiseResult
from bench.analysis.run.columns import Columns
from bench.analysis.run.evidence import columns_of

AGENT = {
    "turns": 2,
    "tool_steps": 2,
    "shared_tokens": 200,
    "first_tokens": 100,
    "turn_tokens": 40,
    "tool_tokens": 60,
    "output_tokens": 4,
    "titles": False,
    "subagents": {"chance": 0},
}


def alone_playing(sessions: int, folder: Path) -> Columns:
    """The requests of agents that one user plays one after the other."""
    load = {"closed": {"users": 1, "sessions": sessions}}
    plan = plan_of({"agent": AGENT}, load, options={"num_predict": 4, "num_ctx": 4096})
    run = run_virtually(plan, model(context_length=65_536), folder)
    columns = columns_of(run.records, [c.id for c in run.info.plan.cases])
    return columns.select(columns.measured)


def test_turns_that_are_all_late_break_a_promise_however_many_requests_they_have(
    tmp_path: Path,
) -> None:
    """Once eight late turns of eight counted as eight late requests of all, which is no wonder."""
    measured = alone_playing(4, tmp_path)
    promises = parse_promises(["user_turn_s.p50 <= 0.001"])
    turns, requests = len(waited(measured, promises[0])), len(measured)
    assert turns == 8 and requests >= 20
    assert stats.binom.sf(7, turns, 0.5) < 0.01 < stats.binom.sf(7, requests, 0.5)
    assert alone(measured, promises, None)[0] == promises[0].text


def test_many_late_requests_are_reckoned_with(tmp_path: Path) -> None:
    """Binomial coefficients of thousands of requests are larger than any float."""
    one = alone_playing(1, tmp_path)
    many = one.select(np.resize(np.arange(len(one)), 3000))
    assert alone(many, parse_promises(["e2e_s.p50 <= 0.001"]), None)[0]
    assert not alone(many, parse_promises(["e2e_s.p50 <= 100"]), None)[0]


def broken(text: str, in_time: int) -> PromiseAtProbe:
    (promise,) = parse_promises([text])
    return PromiseAtProbe(promise, Bound(2, 2, 2, 100), ProbeShare(1, in_time, 100, 1))


def test_the_promise_that_is_broken_most_clearly_has_the_most_late_for_what_it_allows() -> None:
    """45 % in time is little for a median, and 60 % far less for a 95th percentile."""
    both = (broken("ttft_s.p50 <= 1", 45), broken("e2e_s.p95 <= 1", 60))
    for order in (both, both[::-1]):
        outcome = ProbeOutcome(order, False, ProbeVerdict.FAIL, ProbeVerdict.FAIL)
        assert broken_promise(outcome) is both[1].promise


def test_a_probe_with_nothing_left_to_judge_has_no_share() -> None:
    (promise,) = parse_promises(["tpot_s.p95 <= 1"])
    share = ProbeShare.of(1.0, np.zeros(0), 1.0)
    bound = Bound(math.nan, -math.inf, math.inf, 0)
    found = PromiseAtProbe(promise, bound, share)
    assert PromiseResult.of(found).kept_share is None


def test_turns_and_not_their_requests_make_a_probe_long_enough() -> None:
    """160 turns of ten requests each at 200 users are 0.8 turns a user: nothing has settled."""
    search = JudgedSearch(SearchSettings(200, whole=True), parse_promises(["user_turn_s.p95 <= 2"]))
    sample = ProbeSample((np.ones(160),), np.zeros(1600))
    probe = Probe(200, 160, Purpose.CONFIRM_PASS)
    assert search.record(probe, sample).verdict is ProbeVerdict.UNDECIDED
    assert search.record(probe, ProbeSample((np.ones(1000),), np.zeros(1000))).verdict is (
        ProbeVerdict.PASS
    )
