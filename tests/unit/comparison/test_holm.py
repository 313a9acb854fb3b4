"""Corrections for judging several metrics at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from bench.stats.holm import benjamini_hochberg, holm_adjusted

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_holm_by_hand():
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochbergs_own_example():
    # Benjamini & Hochberg (1995), section 3.2: 4 of 15 are rejected at q = .05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert sum(q <= 0.05 for q in benjamini_hochberg(p)) == 4
    assert sum(q <= 0.05 for q in holm_adjusted(p)) == 3


@pytest.mark.slow
@given(p_values)
def test_agree_with_statsmodels(p):
    assert holm_adjusted(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)
    assert benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)


@given(p_values)
def test_correction_never_helps(p):
    for raw, holm, bh in zip(p, holm_adjusted(p), benjamini_hochberg(p), strict=True):
        assert raw <= bh + 1e-12 <= holm + 2e-12


def test_nothing_to_correct():
    assert holm_adjusted([]) == []
    assert benjamini_hochberg([]) == []


def test_refuses_what_is_no_probability():
    with pytest.raises(ValueError):
        holm_adjusted([0.5, 1.5])
