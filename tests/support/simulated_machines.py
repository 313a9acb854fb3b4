"""Eight simulated machines of different character, each with a limit that can be known.

The limit is from long simulations in virtual time, and owes nothing to the search under test: no
code of `bench.analysis.capacity` is used to find it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.simulation.fleet import FleetResult, Workload, simulate_fleet
from bench.simulation.profile import load_profile
from bench.simulation.service import ServiceParameters

LONG = 250_000
"""Requests of each of the simulations that a true limit is from."""
COARSE = 30_000
AROUND = np.exp(np.linspace(-0.10, 0.10, 9))
"""Rates of the long simulations, as factors of the limit that the coarse ones found."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A server, what is asked of it, and what was promised.

    Attributes:
        promise: about one of the metrics of a simulated fleet.
        lengths: medians of prompt and output tokens, log-normal.
        spreads: sigma of their logarithms.
        most_output: longest answer.
        talks: conversations that go on at once, each with its prefix in the server's cache; 0 =
            requests that have nothing in common.
        truth: rate at which the promise breaks, as `true_limit` found it; NaN = not known.
    """

    name: str
    parameters: ServiceParameters
    promise: str
    lengths: tuple[float, float] = (250.0, 120.0)
    spreads: tuple[float, float] = (0.8, 0.5)
    most_output: int = 600
    talks: int = 0
    truth: float = math.nan

    @property
    def promised(self) -> tuple[str, float, float]:
        """Metric, percentile and limit of the promise."""
        left, limit = self.promise.split("<=")
        metric, percentile = left.strip().split(".p")
        return metric, float(percentile) / 100, float(limit)

    def work(self, rate: float, n: int, rng: np.random.Generator) -> Workload:
        """Poisson arrivals of requests of drawn lengths."""
        prompt, output = self.lengths
        at = np.cumsum(rng.exponential(1e9 / rate, n)).astype(np.int64)
        prompts = np.clip(rng.lognormal(math.log(prompt), self.spreads[0], n), 5, 8000)
        outputs = np.clip(rng.lognormal(math.log(output), self.spreads[1], n), 2, self.most_output)
        prompts, outputs = prompts.astype(np.int64), outputs.astype(np.int64)
        if not self.talks:
            return Workload(at, prompts, outputs)
        return Workload(at, *_conversations(prompts, outputs, self.talks, rng))

    def serve(self, rate: float, n: int, seed: int) -> FleetResult:
        """Serve so many requests, from an empty server on."""
        work = self.work(rate, n, np.random.default_rng(seed))
        return simulate_fleet(self.parameters, work, seed=seed)

    def one_user_rate(self) -> float:
        """Requests per second of one user who never pauses."""
        return float(1 / self.serve(1e-4, 200, 0).e2e_s.mean())

    def best_rate(self, seed: int) -> float:
        """Requests per second that a short sweep over users would show at most."""
        n = 8 * self.parameters.slots
        served = self.serve(1e6, n, seed)
        return n / (float(served.end_ns.max()) / 1e9)

    def cv2(self, seed: int) -> float:
        """Squared coefficient of variation of the time a request takes, by a short sweep."""
        times = self.serve(1e-4, 60, seed).e2e_s
        return float(np.var(times) / np.mean(times) ** 2)

    def kept_share(self, rate: float, n: int, seed: int) -> float:
        """Share of requests that keep the promised time, in the long run."""
        metric, _, limit = self.promised
        times = getattr(self.serve(rate, n, seed), metric)[n // 10 :]
        return float(np.mean(times[~np.isnan(times)] <= limit))

    def true_limit(self) -> tuple[float, float]:
        """The rate at which the promise breaks, and its standard error as a ratio.

        Coarse bisection, then long simulations around it: a parabola through the logits of their
        shares, crossed with the promised one.
        """
        _, p, _ = self.promised
        low = high = self.one_user_rate()
        while self.kept_share(high, COARSE, 1) > p:
            low, high = high, high * 2
        while self.kept_share(low, COARSE, 1) <= p:
            low, high = low / 2, low
        while high / low > 1.02:
            middle = math.sqrt(low * high)
            if self.kept_share(middle, COARSE, 1) > p:
                low = middle
            else:
                high = middle
        centre = math.sqrt(low * high)
        shares = np.array(
            [self.kept_share(centre * f, LONG, 100 + i) for i, f in enumerate(AROUND)]
        )
        x, y = np.log(AROUND), np.log(shares / (1 - shares)) - math.log(p / (1 - p))
        curve, covariance = np.polyfit(x, y, 2, cov=True)
        inside = [r.real for r in np.roots(curve) if abs(r.imag) < 1e-12 and abs(r.real) < 0.15]
        root = min(inside, key=abs)
        slope = 2 * curve[0] * root + curve[1]
        error = math.sqrt(covariance[2, 2]) / abs(slope)
        return centre * math.exp(root), error


def service_of(profile: str, slots: int) -> ServiceParameters:
    """The first model of a shipped profile."""
    model = load_profile(profile).models[0]
    return model.service(slots=slots, batch_tokens=512, slowdown=1)


def _conversations(
    prompts: NDArray[np.int64], outputs: NDArray[np.int64], talks: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Requests as turns: the prompt holds all turns before; one in five begins a new talk."""
    n = len(prompts)
    which, fresh = rng.integers(0, talks, n), rng.random(n) < 0.2
    numbers = list(range(talks))
    # Talks have gone on before: so many turns each, as with one new talk in five turns.
    turns = rng.geometric(0.2, talks) - 1
    held = [int(rng.choice(prompts + outputs, k).sum()) for k in turns]
    conversation, shared = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    for i in range(n):
        k = int(which[i])
        if fresh[i]:
            numbers[k], held[k] = talks + i, 0
        conversation[i], shared[i] = numbers[k], held[k]
        held[k] += int(prompts[i] + outputs[i])
    return prompts + shared, outputs, conversation, shared


def _ms(**times: float) -> dict[str, float]:
    return {name: ms * 1e6 for name, ms in times.items()}


MACHINES = (
    Machine("usual, 4 slots", service_of("gpu-12gb", 4), "ttft_s.p95<=1", truth=0.51905),
    Machine("one slot", service_of("gpu-12gb", 1), "ttft_s.p95<=4", truth=0.11997),
    Machine(
        "slow batches",
        ServiceParameters(
            slots=8,
            jitter=0.02,
            **_ms(prefill_ns_per_token=0.3, base_ns=12, per_sequence_ns=6, sample_ns=0.2),
        ),
        "e2e_s.p90<=12",
        truth=0.64452,
    ),
    Machine(
        "KV pressure",
        ServiceParameters(
            slots=8,
            jitter=0.02,
            **_ms(prefill_ns_per_token=0.2, base_ns=20, per_sequence_ns=0.5, per_token_ns=0.003),
        ),
        "tpot_s.p95<=0.08",
        lengths=(1500.0, 150.0),
        truth=0.24370,
    ),
    Machine(
        "long tails",
        service_of("gpu-12gb", 4),
        "ttft_s.p95<=6",
        spreads=(1.0, 1.1),
        most_output=3000,
        truth=0.45000,
    ),
    Machine("cache hits", service_of("gpu-12gb", 4), "ttft_s.p95<=6", talks=8, truth=0.4283),
    Machine(
        "jitter",
        ServiceParameters(
            slots=4,
            jitter=1.5,
            **_ms(prefill_ns_per_token=0.4, base_ns=16, per_sequence_ns=1, sample_ns=0.2),
        ),
        "ttft_s.p90<=3",
        truth=0.87310,
    ),
    Machine("16 slots, near full", service_of("gpu-80gb", 16), "ttft_s.p95<=4", truth=1.2200),
)
