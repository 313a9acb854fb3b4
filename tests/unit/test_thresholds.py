from __future__ import annotations

import copy
import math
import pickle
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics import METRICS
from bench.thresholds import (
    MetricRef,
    Threshold,
    compared_texts,
    from_file,
    metric_texts,
    parse_compared,
    parse_metric,
    parse_threshold,
    stored_threshold,
    to_file,
)


def test_a_threshold_is_taken_apart() -> None:
    text = "ttft_s.p95 <= 2"
    assert parse_threshold(text) == Threshold("ttft_s", "p95", "<=", 2.0, text)


@pytest.mark.parametrize(
    ("text", "metric", "statistic", "op", "value"),
    [
        ("decode_tok_per_s>=40", "decode_tok_per_s", "", ">=", 40),
        ("decode_tok_per_s.p5 > 30", "decode_tok_per_s", "p5", ">", 30),
        ("error_rate <= 1%", "error_rate", "", "<=", 0.01),
        ("ttft_s.p99 < 800ms", "ttft_s", "p99", "<", 0.8),
        ("e2e_s.max < 1m30s", "e2e_s", "max", "<", 90),
        ("gpu_share >= 1", "gpu_share", "", ">=", 1),
    ],
)
def test_forms(text: str, metric: str, statistic: str, op: str, value: float) -> None:
    made = parse_threshold(text)
    assert (made.metric, made.statistic, made.op) == (metric, statistic, op)
    assert made.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ttft <= 2", "did you mean ttft_s"),
        ("ttft_s <= 2", "say which statistic of ttft_s, e.g. ttft_s.p95"),
        ("ttft_s.p42 <= 2", "no statistic 'p42': give one of mean, p50"),
        ("error_rate.p95 <= 2", "one value per case"),
        ("ttft_s.p95 == 2", "cannot be used"),
        ("ttft_s.p95 <= fast", "is not a number"),
        ("ttft_s.p95", "METRIC OPERATOR VALUE"),
        ("ttft_s.p95 <= nan", "is not a number"),
        ("", "METRIC OPERATOR VALUE"),
    ],
)
def test_what_is_no_threshold_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("op", "below", "equal", "above"),
    [
        ("<=", True, True, False),
        ("<", True, False, False),
        (">=", False, True, True),
        (">", False, False, True),
    ],
)
def test_a_threshold_holds(op: str, below: bool, equal: bool, above: bool) -> None:
    made = parse_threshold(f"ttft_s.p95 {op} 2")
    assert (made.holds(1.9), made.holds(2.0), made.holds(2.1)) == (below, equal, above)


def test_metric_texts_read_back() -> None:
    assert str(parse_metric("ttft_s.p50")) == "ttft_s.p50"
    assert parse_metric("decode_tok_per_s") == MetricRef("decode_tok_per_s")


UNITS_REFUSED = [
    ("decode_tok_per_s >= 1m", "1m is a time of 60 s; decode_tok_per_s is counted in tok/s"),
    ("ttft_s.p95 <= 200%", "200% is a share; ttft_s is a time: write seconds or a duration"),
    ("error_rate <= 2s", "2s is a time of 2 s; error_rate is a share: write e.g. 1% or 0.01"),
    ("output_tokens.p50 >= 5%", "5% is a share; output_tokens is counted in tokens: write 5"),
    ("in_flight <= 4 tok/s", "'tok/s' is no unit of it; in_flight is counted in requests"),
    ("request_per_s >= 1 tok/s", "is counted in req/s: write 1"),
    ("error_rate <= 5", "5 is 500 %; error_rate is a share between 0 and 1: write e.g. 5%"),
]


@pytest.mark.parametrize(("text", "why"), UNITS_REFUSED)
def test_a_wrong_unit_is_refused_with_its_meaning(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("error_rate <= 1", "would hold whatever is measured: error_rate lies between 0 and 1"),
        ("error_rate >= 0", "would hold whatever is measured"),
        ("goodput_share > 100%", "can never hold"),
        ("ttft_s.p95 < 0", "can never hold: ttft_s is never below 0"),
        ("ttft_s.p95 >= 0s", "would hold whatever is measured: ttft_s is never below 0"),
        ("decode_tok_per_s >= 0", "would hold whatever is measured"),
        ("decode_tok_per_s >= -3", "would hold whatever is measured"),
    ],
)
def test_what_holds_always_or_never_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gpu_share >= 1", 1.0),
        ("gpu_share >= 100%", 1.0),
        ("overhead_s.mean >= 0", 0.0),
        ("overhead_s.mean <= -1ms", -0.001),
        ("decode_tok_per_s >= 40 tok/s", 40.0),
        ("ttft_s.p95 <= 2 s", 2.0),
        ("goodput_per_s > 0", 0.0),
    ],
)
def test_what_can_hold_or_not_is_taken(text: str, value: float) -> None:
    assert parse_threshold(text).value == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "decode_tok_per_s.p95 >= 40",
            "no statistic 'p95': give one of p5, p50, or decode_tok_per",
        ),
        ("decode_tok_per_s. >= 40", "no statistic ''"),
        ("prompt_tokens <= 40", "say which statistic of prompt_tokens"),
        ("output_tokens.p5 <= 40", "give one of mean, p50, p90, p95, p99, min, max"),
    ],
)
def test_a_statistic_that_does_not_exist_is_refused_with_those_that_do(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_threshold(text)


def test_a_threshold_says_what_it_means() -> None:
    assert parse_threshold("ttft_s.p95<=800ms").meaning == (
        "Time to first text, p95: at most 0.8 s"
    )
    assert parse_threshold("error_rate < 1%").meaning == "Errors: below 1 %"
    assert parse_threshold("decode_tok_per_s >= 40").meaning == "Decode speed: at least 40 tok/s"


def test_a_threshold_is_frozen_and_travels() -> None:
    made = parse_threshold("ttft_s.p95 <= 2")
    with pytest.raises(AttributeError):
        made.value = 3.0
    assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)
    assert {made, parse_threshold("ttft_s.p95 <= 2")} == {made}


def test_in_files_a_threshold_is_its_text() -> None:
    made = parse_threshold("e2e_s.p50 <= 1m")
    text = msgspec.json.encode([made], enc_hook=to_file)
    assert text == b'["e2e_s.p50 <= 1m"]'
    assert msgspec.json.decode(text, type=list[Threshold], dec_hook=from_file) == [made]


@pytest.mark.parametrize(
    ("text", "value"),
    [("decode_tok_per_s >= 1m", 60.0), ("ttft_s.p95 <= 200%", 2.0), ("error_rate <= 1", 1.0)],
)
def test_what_an_earlier_version_took_can_still_be_read(text: str, value: float) -> None:
    assert stored_threshold(text).value == value
    with pytest.raises(ValueError):
        parse_threshold(text)


FINITE = st.floats(0.001, 1e6, allow_nan=False).map(lambda x: float(f"{x:.6g}"))
SPACE = st.sampled_from(["", " ", "  "])


@given(st.sampled_from(metric_texts()), st.sampled_from(["<=", "<", ">=", ">"]), FINITE, SPACE)
def test_every_metric_can_be_given_a_limit_in_its_own_unit(
    metric: str, op: str, number: float, space: str
) -> None:
    kind = METRICS[metric.partition(".")[0]]
    value = number / 1.1e6 if kind.kind == "share" else number
    for unit in {"", kind.unit}:
        made = parse_threshold(f"{space}{metric}{space}{op}{space}{value!r}{space}{unit}")
        assert (str(made.ref), made.op, made.value) == (metric, op, pytest.approx(value))
        assert parse_threshold(made.text) == made
        assert stored_threshold(made.text) == made
        assert made.holds(made.value) == (op in ("<=", ">="))
        assert made.holds(made.value * 2) == (not made.is_upper_limit)


@given(st.sampled_from(metric_texts()), st.sampled_from(["ms", "s", "m", "h", "1h30m"]), FINITE)
def test_a_duration_is_for_times_and_nothing_else(metric: str, unit: str, number: float) -> None:
    text = f"{metric} <= {number:.3f}{unit}" if unit[0] != "1" else f"{metric} <= {unit}"
    if METRICS[metric.partition(".")[0]].unit == "s":
        assert parse_threshold(text).value > 0
    else:
        with pytest.raises(ValueError, match="is a time of"):
            parse_threshold(text)


def read_or_refused(text: str) -> Threshold | str:
    try:
        return parse_threshold(text)
    except ValueError as error:
        return str(error)


@given(st.text(max_size=40))
def test_any_text_is_a_threshold_or_is_refused_in_words(text: str) -> None:
    made = read_or_refused(text)
    assert isinstance(made, str) or math.isfinite(made.value)


@given(
    st.sampled_from([*metric_texts(), "ttft", "x.p95", "ttft_s.", ".p95"]),
    st.sampled_from(["<=", "<", ">=", ">", "=", "==", "!=", "<>", "=<"]),
    st.text("0123456789.eE+-_%msh tok/infaN\n", max_size=9),
)
def test_nearly_a_threshold_is_one_or_is_refused_in_words(metric: str, op: str, end: str) -> None:
    text = f"{metric} {op} {end}"
    made = read_or_refused(text)
    if isinstance(made, str):
        assert "could not convert" not in made
    else:
        assert math.isfinite(made.value)
        assert stored_threshold(text) == made


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("prompt_tokens.mean", "nothing that more or less of is better"),
        ("in_flight", "nothing that more or less of is better"),
        ("gpu_share", "nothing that every block has"),
        ("decode_tok_per_s.p5", "blocks are compared by decode_tok_per_s"),
        ("ttft_s.max", "compared by ttft_s.mean, ttft_s.p50, ttft_s.p90, ttft_s.p95, ttft_s.p99"),
        ("ttft", "did you mean ttft_s"),
    ],
)
def test_what_no_comparison_can_rest_on_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_compared(text)


@pytest.mark.parametrize("text", compared_texts())
def test_what_a_comparison_can_rest_on_is_taken(text: str) -> None:
    assert str(parse_compared(text)) == text


def test_every_metric_has_words_and_a_unit() -> None:
    for id, kind in METRICS.items():
        assert id == kind.id
        assert kind.label
        assert kind.meaning.endswith(".")
        assert kind.formula
        assert id.endswith("_s") >= (kind.unit in ("s", "tok/s", "req/s"))
        assert (kind.kind == "time") <= (kind.unit == "s")
        assert (kind.kind == "share") == (kind.unit == "")
