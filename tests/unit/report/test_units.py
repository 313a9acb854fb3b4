"""Numbers for people: units, rounding, intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.run.summary import Estimate
from bench.report.units import (
    decimals_for,
    duration,
    number,
    percent,
    plural,
    scale_for,
    show,
    show_value,
    supported,
)


@pytest.mark.parametrize(
    ("estimate", "unit", "full"),
    [
        (Estimate(48.123, 47.52, 48.72), "tok/s", "48.1 tok/s ± 0.6"),
        (Estimate(49.468, 49.3, 49.63), "tok/s", "49.5 tok/s ± 0.2"),
        (Estimate(4.946, 4.93, 4.963), "tok/s", "4.95 tok/s ± 0.02"),
        (Estimate(48.0, 46.5, 49.5), "tok/s", "48.0 tok/s ± 1.5"),
        (Estimate(0.5608, 0.5596, 0.562), "s", "0.561 s ± 0.001"),
        (Estimate(444.4444, 444.44439, 444.44441), "tok/s", "444.4 tok/s ± <0.1"),
        (Estimate(444.4444, 444.4444, 444.4444), "tok/s", "444.4 tok/s ± <0.1"),
        (Estimate(1234.5, 1234.2, 1234.8), "tok/s", "1,234 tok/s ± <1"),
        (Estimate(0.0, 0.0, 0.05), "share", "0 % (0–5)"),
        (Estimate(0.2134, 0.19, 0.24), "s", "0.21 s ± 0.03"),
        (Estimate(0.147, 0.1420, 0.1498), "s", "0.147 s (0.142–0.150)"),
        (Estimate(0.302, 0.29, 1.052), "s", "0.30 s (0.29–1.05)"),
        (Estimate(0.0203, 0.0201, 0.0205), "s", "20.3 ms ± 0.2"),
        (Estimate(123.4, 91.0, 160.0), "tok/s", "123 tok/s ± 37"),
        (Estimate(3.5), "s", "3.50 s"),
        (Estimate(0.0000421), "s", "42.1 µs"),
        (Estimate(0.05, 0.02, 0.11), "share", "5 % (2–11)"),
        (Estimate(4.0, 4.0, 4.0), "slots", "4 slots"),
        (Estimate(-0.0001, -0.2, 0.2), "s", "0.0 s ± 0.2"),
    ],
)
def test_an_interval_decides_how_many_digits_are_shown(
    estimate: Estimate, unit: str, full: str
) -> None:
    scale = scale_for("s", 1.0) if estimate.value == -0.0001 else None
    assert show(estimate, unit, scale).full == full


def test_percentile_without_both_ends_is_not_a_number() -> None:
    open_end = Estimate(2.0, low=1.5, high=None, needs=72)
    shown = show(open_end, "s", stat="p95")
    assert shown.raw is None
    assert shown.full == "needs 72 requests"
    assert shown.cell == "needs 72 requests"
    assert not supported(open_end, "p95")


def test_rate_without_interval_is_shown_bare() -> None:
    assert show(Estimate(48.1234), "tok/s").full == "48.1 tok/s"


def test_rate_that_lacks_its_interval_says_so() -> None:
    shown = show(Estimate(48.1234, needs=2, needs_unit="blocks"), "tok/s")
    assert shown.full == "48.1 tok/s (no interval: needs 2 blocks)"
    assert shown.cell == "48.1 (no interval)"


def test_what_holds_only_for_independent_requests_says_so() -> None:
    estimate = Estimate(
        0.0, needs=2, needs_unit="blocks with each outcome", if_independent=(0.0, 0.048)
    )
    shown = show(estimate, "share")
    assert shown.full == "0 % (0–5 if independent)"
    assert shown.cell == "0 (0–5 if independent)"
    unknown = show(Estimate(0.1, needs=2, needs_unit="blocks with each outcome"), "share")
    assert unknown.full == "10.0 % (no interval: needs 2 blocks with each outcome)"


def test_absent_is_a_dash_and_not_zero() -> None:
    assert show(None, "s").full == "—"
    assert show_value(None, "s").full == "—"
    assert show_value(0.0, "s").full == "0 s"


def test_not_a_number_is_not_shown() -> None:
    assert show(Estimate(math.nan), "s").raw is None
    assert show(Estimate(math.inf), "s").raw is None


@pytest.mark.parametrize(
    ("unit", "values", "shown"),
    [
        ("s", [0.0123, 0.09], "ms"),
        ("s", [0.002, 3.4], "ms"),
        ("s", [0.002, 34.0], "s"),
        ("s", [0.2, 3.4], "s"),
        ("s", [0.00002], "µs"),
        ("s", [600.0, 1.0], "min"),
        ("s", [None, 0.0], "s"),
        ("B", [2_019_393_189], "GiB"),
        ("share", [0.5], "%"),
        ("tok/s", [12.0], "tok/s"),
        ("req/s", [1.0], "requests/s"),
    ],
)
def test_one_unit_serves_a_whole_column(unit: str, values: list[float | None], shown: str) -> None:
    assert scale_for(unit, *values).unit == shown


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 0.5))
def test_what_is_shown_holds_the_value_and_half_its_interval(value: float, relative: float) -> None:
    half = value * relative
    decimals = decimals_for(value, value - half, value + half)
    shown = float(number(value, decimals).replace(",", ""))
    step = 10.0**-decimals
    assert abs(shown - value) <= 0.5 * step * (1 + 1e-9)
    # Rounding moves the value by less than the interval that is stated beside it.
    told = show(Estimate(value, value - half, value + half), "").interval.removeprefix("± ")
    stated = float(told.removeprefix("<").replace(",", ""))
    assert stated > 0
    assert half <= stated + 0.5 * step * (1 + 1e-9)
    assert abs(shown - value) <= stated


@given(st.floats(1e-3, 1e3), st.floats(1e-9, 0.5))
def test_no_number_has_more_than_four_digits(value: float, relative: float) -> None:
    decimals = decimals_for(value, value * (1 - relative), value * (1 + relative))
    digits = number(value, decimals).replace(",", "").replace(".", "").lstrip("0")
    # One more where rounding carries: 9.9996 is 10.000.
    assert len(digits) <= 5
    assert len(digits) <= 4 or digits.strip("0") == "1"


@given(st.floats(-1e9, 1e9, allow_nan=False))
def test_numbers_read_back(value: float) -> None:
    text = number(value, 3)
    assert "-" not in text
    assert float(text.replace(",", "").replace("−", "-")) == pytest.approx(value, abs=5.1e-4)


def test_words_for_counts_shares_and_spans() -> None:
    assert plural(1, "request") == "1 request"
    assert plural(2000, "request") == "2,000 requests"
    assert percent(0.634) == "63\u202f%"
    assert percent(0.0052) == "0.5\u202f%"
    assert duration(0.85) == "0.850 s"
    assert duration(200) == "3 min 20 s"
    assert duration(7500) == "2 h 5 min"


def test_a_speed_is_not_shown_as_if_it_might_be_negative() -> None:
    assert show(Estimate(14.0, 0.0, 33.0), "tok/s").cell == "14 (0\u201333)"
    assert show(Estimate(14.0, 2.0, 27.0), "tok/s").cell == "14 \u00b1 13"
