"""The fit against servers whose speed is known, and against servers that are not of its kind."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.simulation.fit import ServiceFit, fit_service, relative_fit
from bench.simulation.fleet import Workload, simulate_fleet
from bench.simulation.misfit import REFUSE, WARN, off_by_size, worst
from bench.simulation.served import Served
from bench.simulation.service import ServiceParameters

PREFILL_TOK_PER_S = 3000.0
TRUE = ServiceParameters(
    slots=4,
    prefill_ns_per_token=1e9 / PREFILL_TOK_PER_S,
    base_ns=15e6,
    per_sequence_ns=1e6,
    per_token_ns=300.0,
    jitter=0.02,
)


def measured(seed: int, *, noise: float = 0.0, square_ns: float = 0.0, n: int = 200) -> Served:
    """A run on `TRUE`, with noise on its prefills and time for the square of their length.

    Args:
        seed: of arrivals, lengths and noise.
        noise: coefficient of variation of log-normal factors with mean 1.
        square_ns: added to a prefill for each token times each token.
        n: requests.
    """
    rng = np.random.default_rng(seed)
    work = Workload(
        np.cumsum(rng.exponential(1e9 / 0.6, n)).astype(np.int64),
        np.clip(rng.lognormal(math.log(400), 0.8, n), 5, 4000).astype(np.int64),
        np.clip(rng.lognormal(math.log(100), 0.5, n), 2, 600).astype(np.int64),
    )
    done = simulate_fleet(TRUE, work, seed=seed)
    sigma = math.sqrt(math.log(1 + noise * noise))
    factor = rng.lognormal(-sigma * sigma / 2, sigma, n)
    prompt = work.prompt_n.astype(float)
    first = done.started_ns + (done.first_ns - done.started_ns) * factor + square_ns * prompt**2
    return Served(
        started=done.started_ns.astype(float),
        first=first,
        end=first + (done.end_ns - done.first_ns),
        prompt_n=prompt,
        context_n=prompt,
        output_n=work.output_n.astype(float),
        outside=(done.started_ns - done.at_ns).astype(float),
    )


def fits(n: int, **how: float) -> list[ServiceFit]:
    return [fit_service(measured(seed, **how), slots=4) for seed in range(n)]  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "within"), [(0.0, 0.02), (0.1, 0.03), (0.3, 0.05), (0.5, 0.10)])
def test_noise_does_not_make_the_prefill_faster(noise: float, within: float) -> None:
    """Weighted by what was measured, the last one was 5,075 tokens per second."""
    speeds = [1e9 / f.parameters.prefill_ns_per_token for f in fits(6, noise=noise)]
    assert np.mean(speeds) == pytest.approx(PREFILL_TOK_PER_S, rel=within)


@pytest.mark.slow
def test_a_server_of_the_models_kind_is_not_called_a_misfit() -> None:
    for noise in (0.0, 0.1, 0.5):
        assert [worst(f.off) for f in fits(6, noise=noise)] == [None] * 6


@pytest.mark.slow
def test_prefill_that_grows_with_the_square_is_seen_and_far_off_is_to_be_refused() -> None:
    for fit in fits(6, noise=0.1, square_ns=200.0):
        off = worst(fit.off)
        assert off is not None
        assert off.what == "prefill"
        assert off.share >= WARN
    for fit in fits(6, square_ns=500.0):
        off = worst(fit.off)
        assert off is not None
        assert off.share >= REFUSE
        assert str(off).startswith("prefill of ")


def batches(step_ns: Callable[[int], float]) -> Served:
    """Twenty times one, two, four and eight requests that decode 100 tokens side by side."""
    rows, at = [], 0.0
    for together in (1, 2, 4, 8) * 20:
        first, end = at + 1e7, at + 1e7 + 99 * step_ns(together)
        rows += [(at, first, end, 50.0, 50.0, 100.0, 0.0)] * together
        at = end + 1e9
    return Served(*np.array(rows).T)


def test_decoding_that_slows_down_more_and_more_is_seen() -> None:
    straight = fit_service(batches(lambda n: 1e7 + 2e6 * n), slots=8)
    assert worst(straight.off) is None
    bent = worst(fit_service(batches(lambda n: 1e7 + 1e6 * n**2), slots=8).off)
    assert bent is not None
    assert bent.what == "decode"


def test_each_half_is_held_against_the_fit_to_the_other() -> None:
    (fit,) = fits(1, noise=0.1)
    left_out = [g for g in fit.off if "left out" in g.group]
    assert {g.what for g in left_out} == {"prefill", "decode"}
    assert len(left_out) == 4
    assert all(0.9 < g.ratio < 1.1 for g in left_out)


def test_ratios_and_their_errors_are_those_of_the_textbook() -> None:
    # Cochran, Sampling Techniques, 6.4: R = sum y / sum x, v(R) = n s_d^2 / (sum x)^2.
    rng = np.random.default_rng(3)
    ratios, errors = [], []
    for _ in range(400):
        expected = rng.uniform(1e8, 2e8, 50)
        took = 1.2 * expected * rng.lognormal(-0.02, 0.2, 50)
        (group,) = off_by_size("prefill", "tokens", np.ones(50), took, expected)
        ratios.append(group.ratio)
        errors.append(group.error)
    assert np.mean(ratios) == pytest.approx(1.2, rel=0.01)
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.15)


@settings(max_examples=40)
@given(
    st.floats(0.1, 100), st.floats(0.0, 50), st.integers(0, 1000), st.sampled_from([0.0, 0.2, 0.5])
)
def test_a_relative_fit_gives_back_the_line(
    slope: float, start: float, seed: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    design = np.column_stack([rng.uniform(1, 100, 400), np.ones(400)])
    sigma = math.sqrt(math.log(1 + noise * noise))
    line = design @ [slope, start]
    found = relative_fit(design, line * rng.lognormal(-sigma * sigma / 2, sigma, 400))
    assert np.all(found >= 0)
    middle = np.array([50.0, 1.0])
    assert middle @ found == pytest.approx(middle @ [slope, start], rel=1e-6 + 0.25 * noise)
