"""Metrics of sessions and the like: from records in which every value is planted."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from session_runs import AGENT, FAST, plan_of, play, threads_of
from virtual_runs import run_virtually

from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import CaseSummary, ThresholdVerdict
from bench.results.directory import Run
from bench.results.record import Phase
from bench.thresholds import parse_threshold


def _case(run: Run) -> CaseSummary:
    return summarise(run.info, run.records).cases[0]


def _value(case: CaseSummary, id: str, stat: str = "value") -> float | None:
    found = case.metrics[id].stats.get(stat)
    return None if found is None else found.value


@pytest.mark.slow
def test_turns_are_as_long_as_their_requests_without_the_pauses_of_tools(tmp_path: Path) -> None:
    run = play(tmp_path, {"agent": AGENT}, {"closed": {"users": 2, "sessions": 6}})
    case = _case(run)
    waited, paused, started, whole = [], [], [], 0
    for (_, thread), records in threads_of(run).items():
        main = [r for r in records if r.phase is Phase.MEASURE]
        if thread or not main:
            continue
        whole += main[-1].last_of_session
        for turn in {r.turn for r in main}:
            steps = [r for r in main if r.turn == turn]
            assert steps[0].sent_ns is not None
            assert steps[-1].end_ns is not None
            assert steps[-1].first_answer_ns is not None
            pause = sum(r.gap_ns or 0 for r in steps[1:])
            paused.append(pause / 1e9)
            waited.append((steps[-1].end_ns - steps[0].sent_ns - pause) / 1e9)
            started.append((steps[-1].first_answer_ns - steps[0].sent_ns - pause) / 1e9)
    assert case.metrics["user_turn_s"].n == len(waited) == 12
    assert _value(case, "user_turn_s", "mean") == pytest.approx(sum(waited) / 12)
    assert _value(case, "answer_start_s", "mean") == pytest.approx(sum(started) / 12)
    assert _value(case, "tool_pause_s", "mean") == pytest.approx(sum(paused) / 12)
    hours = case.window_s / 3600
    assert _value(case, "session_per_h") == pytest.approx(whole / hours)
    assert _value(case, "user_turn_per_h") == pytest.approx(12 / hours)
    assert case.metrics["first_turn_ttft_s"].n == 6


def test_a_percentile_of_the_context_that_few_requests_do_not_carry_is_judged(
    tmp_path: Path,
) -> None:
    """It ended the analysis: no request has a value of that name."""
    run = play(tmp_path, {"agent": AGENT}, {"closed": {"users": 1, "sessions": 1}})
    expressions = ("context_tokens.p99 <= 100000", "context_tokens.p50 <= 1")
    limits = tuple(map(parse_threshold, expressions))
    info = replace(run.info, plan=replace(run.info.plan, thresholds=limits))
    loose, broken = summarise(info, run.records).thresholds
    assert (loose.verdict, loose.passed) == (ThresholdVerdict.UNSUPPORTED, False)
    assert "p99 needs 368 requests" in loose.message
    assert broken.verdict is ThresholdVerdict.NOT_MET


def test_unknown_is_not_zero(tmp_path: Path) -> None:
    case = _case(play(tmp_path, {"agent": AGENT}, {"closed": {"users": 1, "sessions": 1}}))
    assert case.metrics["cached_share"].n == 0
    assert "does not say" in case.metrics["cached_share"].note
    assert case.metrics["text_per_s"].n == 0
    assert case.metrics["json_valid_rate"].n == 0


def test_the_cached_share_is_that_of_the_truth(tmp_path: Path) -> None:
    plan = plan_of({"agent": AGENT}, {"closed": {"users": 2, "sessions": 4}})
    run = run_virtually(plan, FAST, tmp_path, num_parallel=4, version="0.33.3")
    case = _case(run)
    measured = [r for r in run.records if r.phase is Phase.MEASURE]
    prompt = sum(r.server.prompt_eval_count or 0 for r in measured)
    cached = [r.server.prompt_eval_cached_count for r in measured]
    assert all(count is not None for count in cached)
    assert _value(case, "cached_share") == pytest.approx(sum(c or 0 for c in cached) / prompt)
    eligible = kept = 0
    for records in threads_of(run).values():
        for one, two in pairwise(records):
            if two.phase is not Phase.MEASURE or two.fresh:
                continue
            had = (one.server.prompt_eval_count or 0) + (one.server.eval_count or 0)
            most = min(two.server.prompt_eval_count or 0, had)
            eligible += most
            kept += min(two.server.prompt_eval_cached_count or 0, most)
    assert _value(case, "eligible_cached_share") == pytest.approx(kept / eligible)
    values = case.blocks[0].values
    assert values["cached_share"] == pytest.approx(_value(case, "cached_share"))


def test_a_changing_head_voids_the_cache_and_only_that(tmp_path: Path) -> None:
    talk = {"turns": 5, "shared_tokens": 800, "first_tokens": 100, "turn_tokens": 30, "pause": 1}
    shares = {}
    for head in ("shared", "changing"):
        prompts = {"conversation": talk | {"head": head, "output_tokens": 20}}
        plan = plan_of(prompts, {"closed": {"users": 1, "sessions": 4}})
        run = run_virtually(plan, FAST, tmp_path / head, num_parallel=2, version="0.33.3")
        shares[head] = _value(_case(run), "eligible_cached_share")
    assert shares["shared"] is not None
    assert shares["changing"] is not None
    assert shares["shared"] > 0.8 > 0.1 > shares["changing"]


def test_without_a_count_the_kept_share_is_suspected_from_a_cold_fit(tmp_path: Path) -> None:
    talk = {"turns": 5, "shared_tokens": 800, "first_tokens": 100, "turn_tokens": 30, "pause": 1}
    for head in ("shared", "changing"):
        prompts = {"conversation": talk | {"head": head, "output_tokens": 20}}
        plan = plan_of(prompts, {"closed": {"users": 1, "sessions": 2}}, blocks=3)
        cases = {
            version: _case(
                run_virtually(
                    plan, FAST, tmp_path / head / version, num_parallel=2, version=version
                )
            )
            for version in ("0.32.15", "0.33.3")
        }
        counted = _value(cases["0.33.3"], "eligible_cached_share")
        suspected = _value(cases["0.32.15"], "suspected_cached_share")
        assert suspected == pytest.approx(counted, abs=0.03)
        assert cases["0.32.15"].metrics["eligible_cached_share"].n == 0
        assert cases["0.33.3"].metrics["suspected_cached_share"].n == 0


def test_nothing_is_suspected_of_requests_that_shared_the_server(tmp_path: Path) -> None:
    talk = {"turns": 3, "first_tokens": 300, "turn_tokens": 30, "pause": 0, "output_tokens": 40}
    load = {"closed": {"users": 4, "sessions": 4}}
    run = run_virtually(plan_of({"conversation": talk}, load, blocks=3), FAST, tmp_path)
    assert _case(run).metrics["suspected_cached_share"].n == 0
