"""A cache that keeps less is named as the reason of slower turns, and of nothing else."""

import pytest

from bench.analysis.comparison.compare_runs import compare_runs, compare_sides
from bench.analysis.comparison.metric_verdicts import Rules
from bench.analysis.comparison.verdict_rule import Verdict
from bench.report.comparison.comparison_page import comparison_page
from bench.report.console import console_text

KEPT = "eligible_cached_share"
RULES = Rules(primary=("user_turn_s.mean",))
FAST = [1.0, 1.01, 0.99] * 2
SLOW = [6.0, 6.1, 5.9] * 2
HIGH = [0.95, 0.96, 0.94] * 2
LOST = [0.0, 0.0, 0.01] * 2


def sides(case_of, times, shares, share=KEPT):
    first, second = (
        case_of({"user_turn_s.mean": t, "decode_tok_per_s": t} | ({share: s} if s else {}))
        for t, s in zip(times, shares, strict=True)
    )
    return first, second


def why(comparison):
    (case,) = comparison.cases
    return {m.metric: m.explained_by for m in case.metrics}


@pytest.mark.parametrize("share", [KEPT, "cached_share"])
def test_a_lost_cache_explains_slower_turns_though_it_does_not_gate(ab_of, case_of, share):
    result = compare_sides(ab_of(*sides(case_of, (FAST, SLOW), (HIGH, LOST), share)), RULES)
    assert result.verdict is Verdict.WORSE
    assert why(result) == {"user_turn_s.mean": (share,), "decode_tok_per_s": ()}
    text = " ".join(console_text(comparison_page([result])).split())
    assert "Why: side b took 0.3 %" in text
    assert "side a 95.0 % (difference −9" in text
    assert text.count("reads more of each prompt again") == 1


def test_two_runs_likewise(run_of, case_of):
    first, second = sides(case_of, (FAST, SLOW), (HIGH, LOST))
    result = compare_runs(run_of("old", first), run_of("new", second), RULES)
    assert why(result)["user_turn_s.mean"] == (KEPT,)


@pytest.mark.parametrize(
    ("times", "shares"),
    [
        ((FAST, SLOW), (LOST, HIGH)),  # more from the cache makes nothing slower
        ((SLOW, FAST), (HIGH, LOST)),
        ((FAST, SLOW), (HIGH, [0.2, 0.99] * 3)),  # no more than chance
        ((FAST, SLOW), (HIGH, [0.93, 0.94, 0.92] * 2)),  # certain, and too little
        ((FAST, SLOW), (HIGH, LOST[:1])),  # one block shows no chance
        ((FAST, SLOW), (HIGH, [])),  # unknown is not 0
    ],
)
def test_what_explains_nothing(ab_of, case_of, times, shares):
    result = compare_sides(ab_of(*sides(case_of, times, shares)), RULES)
    assert not any(why(result).values())
    assert "Why:" not in console_text(comparison_page([result]))


def test_more_from_the_cache_explains_faster_turns(ab_of, case_of):
    result = compare_sides(ab_of(*sides(case_of, (SLOW, FAST), (LOST, HIGH))), RULES)
    assert result.verdict is Verdict.BETTER
    assert why(result)["user_turn_s.mean"] == (KEPT,)
