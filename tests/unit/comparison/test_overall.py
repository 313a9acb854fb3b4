"""One verdict of many: what outweighs what, and that the exit code says the same."""

from __future__ import annotations

import pytest

from bench.analysis.comparison.result import MetricComparison, exit_code, overall
from bench.analysis.comparison.verdict_rule import Verdict

WORSE, BETTER, SAME = Verdict.WORSE, Verdict.BETTER, Verdict.NO_CHANGE
OPEN, WITHHELD, NONE = Verdict.INCONCLUSIVE, Verdict.NOT_COMPARABLE, Verdict.NO_SAMPLES


def metric(verdict: Verdict, indicative: bool = False, primary: bool = True) -> MetricComparison:
    return MetricComparison(
        "decode_tok_per_s", "tok/s", "higher", primary, 0.05, 0.025, verdict, indicative
    )


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        # A firm loss is never hidden.
        ([(WORSE, False), (WITHHELD, False), (OPEN, False)], (WORSE, False, 1)),
        ([(NONE, False), (WITHHELD, False)], (NONE, False, 1)),
        ([(WORSE, False), (WORSE, True)], (WORSE, False, 1)),
        # An indication concludes nothing, so it hides neither of these.
        ([(WORSE, True), (WITHHELD, False)], (WITHHELD, False, 4)),
        ([(WORSE, True), (OPEN, False)], (WORSE, True, 3)),
        ([(BETTER, False), (SAME, True)], (SAME, True, 3)),
        ([(SAME, False), (SAME, True)], (SAME, True, 3)),
        ([(BETTER, False), (SAME, False)], (BETTER, False, 0)),
        ([], (NONE, False, 1)),
    ],
)
def test_the_gravest_verdict_by_its_exit_code(judged, expected):
    for order in (judged, judged[::-1]):
        verdict, indicative = overall([metric(*one) for one in order])
        assert (verdict, indicative, exit_code(verdict, indicative)) == expected


def test_what_does_not_gate_decides_nothing():
    assert overall([metric(SAME), metric(WORSE, primary=False)]) == (SAME, False)
