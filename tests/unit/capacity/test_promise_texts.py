"""What a search for capacity can be asked, and what is refused before anything is measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.capacity.promises import parse_promises
from bench.errors import UsageError
from bench.metrics import METRICS
from bench.thresholds import metric_texts


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("decode_tok_per_s>=0", "it would hold whatever is measured"),
        ("decode_tok_per_s>=40", "say tpot_s.p95 <= 0.025 instead"),
        ("decode_tok_per_s.p50<=30", "a promise is about times, not speeds"),
        ("prompt_tokens.p95<=100", "a promise is about a percentile of a time"),
        ("ttft_s.mean<=1", "a promise is about a percentile of a time"),
        ("ttft_s.p95>=1", "a promise is an upper limit"),
        ("itl_s.p95<=1", "say tpot_s"),
        ("error_rate<=1", "it would hold whatever is measured"),
        ("error_rate>=1%", "a promise is about a percentile of a time"),
        ("ttft_s.p95<=200%", "200% is a share; ttft_s is a time"),
    ],
)
def test_what_cannot_be_promised_is_refused_with_what_can(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_promises([text])


@given(
    st.sampled_from(metric_texts()),
    st.sampled_from(["<=", "<", ">=", ">"]),
    st.sampled_from(["0", "-1", "0.5", "1", "30", "5%", "2s", "1m"]),
)
def test_a_promise_is_an_upper_limit_of_a_percentile_or_is_refused(
    metric: str, op: str, value: str
) -> None:
    try:
        (promise,) = parse_promises([f"{metric}{op}{value}"])
    except UsageError:
        return
    kind = METRICS[promise.metric]
    assert promise.is_upper_limit
    assert promise.value >= 0 or kind.signed
    assert promise.metric == "error_rate" or (kind.kind == "time" and promise.quantile)
