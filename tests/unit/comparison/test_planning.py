"""What a comparison takes, from a pilot: the noise of pairs, and what is said of the pilot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.analysis.comparison.compare_runs import compare_sides
from bench.analysis.comparison.metric_verdicts import Rules
from bench.analysis.comparison.planning import plan_comparison
from bench.commands.comparing import plan_pairs
from bench.errors import MeasurementInvalid, NotComparable
from bench.report.comparison.plan_page import plan_page
from bench.report.formats import render
from bench.results.run import RunStatus, RunWarning

RULES = Rules(primary=("decode_tok_per_s",))


def pilot_values(pairs: int, sd: float, level: float = 50.0, seed: int = 1):
    """Block values of both sides whose prompts differ by 30 % and whose pairs by `sd`."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.3, pairs)
    a, b = (level * np.exp(shared + rng.normal(0, sd / 2**0.5, pairs)) for _ in range(2))
    return {"decode_tok_per_s": a.tolist()}, {"decode_tok_per_s": b.tolist()}


def plan_of(subject):
    return plan_comparison(subject.info, [], subject.summary, RULES)


def test_a_run_in_pairs_is_planned_by_its_pairs(case_of, ab_of):
    a, b = pilot_values(200, 0.04)
    plan = plan_of(ab_of(case_of(a), case_of(b)))
    (decode,) = plan.metrics
    assert decode.in_pairs and decode.blocks == 200
    assert decode.pair_sd == pytest.approx(0.04, rel=0.1)
    assert decode.pair_sd_low < 0.04 < decode.pair_sd_high
    # By the spread of blocks, 30 %, it would be hundreds.
    assert plan.pairs is not None and 7 <= plan.pairs <= 10


def test_a_short_pilot_is_not_sure_and_asks_for_more(case_of, ab_of):
    a, b = pilot_values(6, 0.04)
    (decode,) = plan_of(ab_of(case_of(a), case_of(b))).metrics
    assert decode.pair_sd_high / decode.pair_sd == pytest.approx(2.45, abs=0.01)
    text = render(plan_page(plan_of(ab_of(case_of(a), case_of(b)))), "console")
    assert "Noise of a pair" in text and "6 pairs" in text


def test_plan_and_ab_give_the_same_number(case_of, ab_of):
    a, b = pilot_values(6, 0.15)
    run = ab_of(case_of(a), case_of(b))
    compared = compare_sides(run, RULES)
    (row,) = (m for m in compared.cases[0].metrics if m.primary)
    assert row.verdict == "inconclusive"
    assert row.pairs_needed == plan_of(run).pairs


def test_an_invalid_pilot_is_refused(case_of, ab_of, stored):
    a, b = pilot_values(6, 0.01)
    bent = (RunWarning("client_lag", "the client was late", invalidates=True),)
    run = ab_of(case_of(a), case_of(b), valid=False, warnings=bent)
    with pytest.raises(MeasurementInvalid, match="the client was late"):
        plan_pairs(stored(replace(run, info=replace(run.info, warnings=bent))))
    assert any("not a valid measurement" in n for n in plan_of(run).notes)


def test_an_interrupted_pilot_is_named(case_of, ab_of):
    a, b = pilot_values(6, 0.01)
    run = ab_of(case_of(a), case_of(b), status=RunStatus.INTERRUPTED, done=9)
    plan = plan_of(run)
    assert plan.notes == ("The pilot is incomplete (interrupted): 9 of 12 blocks.",)
    assert "9 of 12 blocks" in render(plan_page(plan), "markdown")


def test_a_pilot_without_a_whole_block_is_refused(case_of, ab_of, stored):
    a, b = pilot_values(6, 0.01)
    run = ab_of(case_of(a), case_of(b), status=RunStatus.INTERRUPTED, done=0)
    with pytest.raises(NotComparable, match="no complete block"):
        plan_pairs(stored(run))


def test_a_metric_of_which_a_pilot_tells_nothing_is_named(case_of, ab_of):
    values = {"decode_tok_per_s": [50.0, 50.5, 49.5, 50.2] * 2}
    run = ab_of(case_of(values), case_of(values))
    rules = Rules(primary=("decode_tok_per_s", "ttft_s.p50"))
    plan = plan_comparison(run.info, (), run.summary, rules)
    assert plan.notes == ("Nothing is known of the noise of ttft_s.p50: not planned for.",)
    page = render(plan_page(plan), "console")
    assert "every wanted change" not in page and "that could be planned for" in page
