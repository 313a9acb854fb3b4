"""Ratios to the best case: how often their range holds the true one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import case, speed

from bench.analysis.run.summary import Estimate
from bench.report.ratios import against_best, baselines, ratio
from bench.stats.student_t import t_quantile


def test_ends_of_both_intervals_bound_the_ratio() -> None:
    found = ratio(Estimate(40.0, 38.0, 42.0), Estimate(80.0, 79.0, 81.0))
    assert found == Estimate(0.5, 38 / 81, 42 / 79)
    assert ratio(Estimate(40.0), Estimate(80.0, 79.0, 81.0)) is None
    assert ratio(None, Estimate(80.0, 79.0, 81.0)) is None
    assert ratio(Estimate(40.0, 0.0, 42.0), Estimate(80.0, 79.0, 81.0)) is None


def test_the_best_is_valid_and_the_others_stand_against_it() -> None:
    cases = [case(speed(40.0), model="a"), case(speed(50.0), model="b"), case(model="c")]
    best, ratios = against_best(cases, "decode_tok_per_s")
    assert best is cases[1]
    assert [r and r.value for r in ratios] == [0.8, None, None]
    assert against_best(cases[:1], "decode_tok_per_s") == (None, [None])


def test_every_case_may_be_the_baseline_and_ratios_keep_their_intervals() -> None:
    spans = [(40.0, 39.5, 40.5), (50.0, 49.5, 50.5), (20.0, 19.5, 20.5)]
    cases = [case(speed(s[0]), model=m) for s, m in zip(spans, "abc", strict=True)]
    found = dict(baselines(cases, "decode_tok_per_s"))
    assert [len(cells) for cells in found.values()] == [3, 3, 3]
    for (base, cells), low in zip(found.items(), spans, strict=True):
        for cell, span in zip(cells, spans, strict=True):
            if span is low:
                assert cell.text == "baseline"
            else:
                ends = (span[0] / low[0], span[1] / low[2], span[2] / low[1])
                assert (cell.raw, cell.low, cell.high) == pytest.approx(ends), base


@pytest.mark.parametrize("blocks", [3, 6])
@pytest.mark.parametrize("cases", [2, 5, 12])
def test_range_holds_the_true_ratio_though_the_best_was_chosen(cases: int, blocks: int) -> None:
    """Equal and unequal cases, noise between blocks, and blocks of one repetition that correlate.

    Intervals are those of the summary: Student's t over the logs of the block values.
    """
    rng = np.random.default_rng(15)
    half_width = t_quantile(0.975, blocks - 1) / math.sqrt(blocks)
    held = told = 0
    for trial in range(600):
        true = np.log(40.0) + (rng.normal(0, 0.02, cases) if trial % 2 else np.zeros(cases))
        shared = rng.normal(0, 0.02, blocks) if trial % 3 else np.zeros(blocks)
        logs = true[:, None] + rng.normal(0, 0.03, (cases, blocks)) + shared
        means, spreads = logs.mean(axis=1), logs.std(axis=1, ddof=1) * half_width
        seen = [
            Estimate(*(math.exp(x) for x in (m, m - s, m + s)))
            for m, s in zip(means, spreads, strict=True)
        ]
        best = int(means.argmax())
        for i in range(cases):
            if i != best:
                found = ratio(seen[i], seen[best])
                assert found is not None
                assert found.low is not None
                assert found.high is not None
                told += 1
                held += found.low <= math.exp(true[i] - true[best]) <= found.high
    assert held / told >= 0.95
