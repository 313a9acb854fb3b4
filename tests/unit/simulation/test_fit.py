from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from bench.simulation.fit import fit_service
from bench.simulation.fleet import Workload, simulate_fleet
from bench.simulation.profile import load_profile
from bench.simulation.served import Floats, Served
from bench.simulation.service import ServiceParameters


def workload(rate: float, n: int, seed: int) -> Workload:
    rng = np.random.default_rng(seed)
    return Workload(
        np.cumsum(rng.exponential(1e9 / rate, n)).astype(np.int64),
        rng.lognormal(np.log(200), 0.7, n).astype(np.int64) + 5,
        np.clip(rng.lognormal(np.log(100), 0.5, n), 2, 512).astype(np.int64),
    )


def served_by(parameters: ServiceParameters, rates: tuple[float, ...], n: int = 120) -> Served:
    """A measured run: one block a rate, one after the other."""
    parts, begin = [], 0
    for seed, rate in enumerate(rates):
        work = workload(rate, n, seed)
        done = simulate_fleet(parameters, work, seed=seed)
        times = (done.started_ns + begin, done.first_ns + begin, done.end_ns + begin)
        parts.append((*times, work.prompt_n, work.prompt_n, work.output_n, 0 * work.prompt_n))
        begin += int(done.end_ns.max()) + 10**9
    return Served(*(np.concatenate(p).astype(float) for p in zip(*parts, strict=True)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "rates", "tried"),
    [
        ("gpu-80gb", (0.1, 0.3, 0.5), (0.4, 0.6)),
        ("gpu-12gb", (0.1, 0.3, 0.5), (0.4, 0.6)),
        ("laptop-cpu", (0.01, 0.03, 0.05), (0.04, 0.05)),
    ],
)
def test_predictions_hold_at_slots_and_rates_that_were_not_measured(
    profile: str, rates: tuple[float, ...], tried: tuple[float, ...]
) -> None:
    true = load_profile(profile).models[0].service(slots=4, batch_tokens=512, slowdown=1)
    fit = fit_service(served_by(true, rates), slots=4)
    for slots in (2, 4, 8):
        for rate in tried:
            work = workload(rate * slots / 4, 2000, 99)
            real = simulate_fleet(replace(true, slots=slots), work, seed=5)
            said = simulate_fleet(replace(fit.parameters, slots=slots), work, seed=6)
            for p in (0.5, 0.95):
                expected = np.quantile(real.ttft_s, p)
                assert np.quantile(said.ttft_s, p) == pytest.approx(expected, rel=0.15)
            assert said.end_ns.max() == pytest.approx(real.end_ns.max(), rel=0.05)


def test_the_draws_hold_the_truth() -> None:
    true = load_profile("gpu-12gb").models[0].service(slots=4, batch_tokens=512, slowdown=1)
    fit = fit_service(served_by(true, (0.1, 0.3, 0.5)), slots=4)
    assert fit.requests >= 300
    assert fit.decode_error < 0.02
    step = [d.base_ns + 3 * d.per_sequence_ns + 800 * d.per_token_ns for d in fit.draws]
    truth = true.base_ns + 3 * (true.per_sequence_ns + true.sample_ns) + 800 * true.per_token_ns
    assert np.quantile(step, 0.025) * 0.99 <= truth <= np.quantile(step, 0.975) * 1.01


def test_one_user_at_a_time_needs_no_company() -> None:
    true = ServiceParameters(slots=1, prefill_ns_per_token=1e6, base_ns=2e7)
    fit = fit_service(served_by(true, (0.05,), n=60), slots=1)
    total = fit.parameters.base_ns + fit.parameters.per_sequence_ns
    total += 300 * fit.parameters.per_token_ns
    assert total == pytest.approx(2e7, rel=0.02)
    # A prefill shorter than a step takes a whole step: slightly more than tokens x time.
    assert fit.parameters.prefill_ns_per_token == pytest.approx(1e6, rel=0.03)


def wandering(served: Served, pace: Callable[[Floats], Floats]) -> Served:
    """The same requests, one after the other, on a server whose pace changes with time."""
    order = np.argsort(served.started)
    cut = Served(*(getattr(served, f.name)[order] for f in fields(Served)))
    factor = pace(np.cumsum(cut.end - cut.started))
    prefill, decode = (cut.first - cut.started) * factor, (cut.end - cut.first) * factor
    end = np.cumsum(prefill + decode + 1e6)
    return replace(cut, started=end - decode - prefill, first=end - decode, end=end)


@pytest.mark.parametrize("jitter", [0.0, 0.1])
@pytest.mark.parametrize("swing", [0.0, 0.2])
def test_wandering_pace_and_jitter_are_told_apart(swing: float, jitter: float) -> None:
    true = ServiceParameters(slots=1, prefill_ns_per_token=1e6, base_ns=2e7, jitter=jitter)
    steady = served_by(true, (0.001,), n=600)
    period = float(np.sum(steady.end - steady.started)) / 2
    fit = fit_service(
        wandering(steady, lambda at: 1 + swing * np.sin(2 * np.pi * at / period)), slots=1
    )
    assert fit.pace == pytest.approx(swing / np.sqrt(2), abs=0.01)
    assert fit.parameters.jitter == pytest.approx(jitter, abs=0.03)


@pytest.mark.slow
def test_the_draws_hold_the_pace_of_other_times() -> None:
    """A run sees a few moods of the server only: the interval holds the mean of all of them."""
    true = ServiceParameters(slots=1, prefill_ns_per_token=1e6, base_ns=2e7)
    steady = served_by(true, (0.001,), n=100)
    held = 0
    for seed in range(40):
        moods = 1 + 0.1 * np.random.default_rng(seed).standard_normal(10)
        seen = wandering(steady, lambda at, m=moods: m[np.arange(len(at)) // 10])
        steps = [
            d.base_ns + d.per_sequence_ns + 300 * d.per_token_ns
            for d in fit_service(seen, slots=1, seed=seed).draws
        ]
        held += bool(np.quantile(steps, 0.025) <= 2e7 <= np.quantile(steps, 0.975))
    assert held >= 30  # requests resampled one by one: 17


def test_the_overhead_is_that_of_requests_that_did_not_wait() -> None:
    true = ServiceParameters(slots=1, prefill_ns_per_token=1e6, base_ns=2e7)
    served = served_by(true, (0.2,))
    waits = np.random.default_rng(4).exponential(1e9, len(served))
    waits[::5] = 0
    assert fit_service(replace(served, outside=waits + 5e6), slots=1).overhead_ns == 5_000_000


def test_too_little_says_how_much_it_takes() -> None:
    true = ServiceParameters(slots=1, prefill_ns_per_token=1e6, base_ns=2e7)
    with pytest.raises(ValueError, match=r"at least 20 requests .* there are 7"):
        fit_service(served_by(true, (0.05,), n=7), slots=1)
