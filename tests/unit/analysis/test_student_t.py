"""Student's t, beta and binomial, against scipy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.stats.incomplete_beta import beta_cdf, beta_quantile, binomial_cdf
from bench.stats.student_t import t_cdf, t_quantile, two_sided_p


@pytest.mark.parametrize(
    ("df", "table"), [(1, 12.706), (2, 4.303), (5, 2.571), (30, 2.042), (math.inf, 1.960)]
)
def test_t_quantiles_are_those_of_the_tables(df: float, table: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(table, abs=5e-4)


@given(st.floats(0.001, 0.999), st.floats(0.5, 1e6))
def test_t_quantile_agrees_with_scipy(p: float, df: float) -> None:
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6, abs=1e-9)


@given(st.floats(-50, 50), st.floats(0.5, 1e5))
def test_t_cdf_agrees_with_scipy(t: float, df: float) -> None:
    assert t_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), abs=1e-10)


@given(st.floats(-30, 30), st.floats(1, 500))
def test_two_sided_p_keeps_small_tails(t: float, df: float) -> None:
    assert two_sided_p(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-6, abs=1e-300)


def test_two_sided_p_at_infinity() -> None:
    assert two_sided_p(math.inf, 5) == 0.0
    assert two_sided_p(1.959963985, math.inf) == pytest.approx(0.05)


@given(st.floats(0, 1), st.floats(0.1, 1e4), st.floats(0.1, 1e4))
def test_beta_cdf_agrees_with_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-8)


@given(st.floats(0.01, 0.99), st.floats(0.5, 1e3), st.floats(0.5, 1e3))
def test_beta_quantile_inverts_the_cdf(p: float, a: float, b: float) -> None:
    assert beta_cdf(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-9)


@given(st.integers(1, 100_000), st.floats(0.01, 0.99), st.floats(-0.1, 1.1))
def test_binomial_cdf_agrees_with_scipy(n: int, p: float, at: float) -> None:
    k = round(at * n)
    assert binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), abs=1e-8)
