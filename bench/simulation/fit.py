"""Fitting the service model to a measured run, so that other settings can be tried in virtual time.

From each request's own server durations and from who else was in the server at that time:

* prefill: duration = tokens x `prefill_ns_per_token` + wait, where the wait is for the step under
  way when the request got its slot, and for the decodes that share the prefill's steps: it is
  fitted as [others decode] + number of those, and left out, since the simulation has it by itself;
* decode: duration - others' prefill inside it = plain steps x `base` + all steps x
  (`per_sequence` x n + `per_token` x K), with n the average of decoding sequences and K of their
  context tokens. A prefill beside a decode takes the place of the step's `base`, or hides in it.

Both are least squares with coefficients not below zero. The uncertainty is from refitting resampled
stretches of the run (moving-block bootstrap, Künsch 1989): requests that are near in time share the
server's pace of that time, and resampling them one by one would claim more than they say. The draws
are kept, so that whatever is predicted can carry it on.

What the fit does not explain is parted in two: what neighbours in time share is the server's `pace`
that wanders (clock speed, heat, other work on the machine), and the rest is `jitter` of the steps.
The model has the jitter and no wandering pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.simulation.service import ServiceParameters

Floats = NDArray[np.float64]

MIN_REQUESTS = 20
MIN_CLEAN_SHARE = 0.2
"""A decode that spent more than the rest beside prefills says too little about plain steps."""
LONG_PREFILL = 1.5
"""Prefills of so many steps tell their time per token."""
PASSES = 3
DRAWS = 40
MAX_JITTER = 0.3
NOT_WAITING = 0.1
"""Quantile of the time outside the engine that holds no waiting for a slot, only the overhead."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a run says of its successful requests. One entry a request; times in nanoseconds.

    Attributes:
        started: when the prompt's evaluation began (first token - prompt_eval_duration).
        first: when the first token was there.
        end: when the last token was there (first + eval_duration).
        prompt_n: prompt tokens evaluated, cached ones left out.
        context_n: all prompt tokens, cached ones included.
        output_n: tokens produced.
        outside: time from sending to the first token that is not prefill: the network, templates,
            and any waiting for a slot.
    """

    started: Floats
    first: Floats
    end: Floats
    prompt_n: Floats
    context_n: Floats
    output_n: Floats
    outside: Floats

    def __len__(self) -> int:
        return len(self.started)


@dataclass(frozen=True, slots=True)
class ServiceFit:
    """A fitted service model.

    Attributes:
        overhead_ns: time of a request outside queue and engine.
        draws: the model refitted to resampled requests, each as likely as the fit itself.
        requests: how many it rests on.
        most_together: largest average number of decoding sequences that was seen; predictions for
            more slots than that are extrapolated.
        decode_error: median absolute relative error of the fitted time per token.
        pace: coefficient of variation of the server's pace over the run, a ratio.
    """

    parameters: ServiceParameters
    overhead_ns: int
    draws: tuple[ServiceParameters, ...]
    requests: int
    most_together: float
    decode_error: float
    pace: float = 0.0


def fit_service(
    served: Served, *, slots: int, batch_tokens: int = 512, seed: int = 0
) -> ServiceFit:
    """Fit the service model to a run.

    Args:
        served: the run's successful requests, of one model on one server with unchanged settings.
        slots: of the server, as observed.
        batch_tokens: `num_batch` of the server.
        seed: of the resampling.

    Raises:
        ValueError: too few requests that say anything.
    """
    usable = (served.output_n > 1) & (served.end > served.first) & (served.first > served.started)
    if int(usable.sum()) < MIN_REQUESTS:
        raise ValueError(
            f"a fit needs at least {MIN_REQUESTS} requests with more than one output token and "
            f"server durations; there are {int(usable.sum())}"
        )
    rows = np.flatnonzero(usable)
    beside = _beside(served)
    parameters = ServiceParameters(
        slots=slots,
        prefill_ns_per_token=_prefill_ns(served, beside, rows, 0.0),
        base_ns=0.0,
        batch_tokens=batch_tokens,
    )
    # How long a prefill is depends on how long a step is, and the other way round.
    for _ in range(PASSES):
        company = _company(served, parameters)
        parameters = _fit_rows(served, beside, company, rows, parameters)
    jitter, pace = _unexplained(served, company, rows, parameters)
    rng = np.random.default_rng(seed)
    in_time = rows[np.argsort(served.started[rows], kind="stable")]
    draws = tuple(
        _fit_rows(served, beside, company, in_time[_stretches(len(rows), rng)], parameters)
        for _ in range(DRAWS)
    )
    clean = rows[company.clean[rows]]
    return ServiceFit(
        parameters=replace(parameters, jitter=jitter),
        overhead_ns=int(max(0.0, float(np.quantile(served.outside[rows], NOT_WAITING)))),
        draws=draws,
        requests=len(rows),
        most_together=float(company.decoding[rows].max()),
        decode_error=float(np.median(np.abs(_residual(served, company, clean, parameters)))),
        pace=pace,
    )


@dataclass(frozen=True, slots=True)
class _Beside:
    """Who else was in the server while each request was in prefill.

    Attributes:
        decoding: time-average of decoding sequences during its prefill.
        alone: its prefill overlapped no other prefill.
    """

    decoding: Floats
    alone: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Company:
    """Who else was in the server while each request decoded.

    Attributes:
        decoding: average of decoding sequences over the plain steps, itself included.
        context: average of their context tokens.
        prefill_ns: others' prefill that fell into its decode.
        prefill_steps: engine steps which that prefill took, each with a token for this request.
        clean: most of its decode was not beside prefills.
    """

    decoding: Floats
    context: Floats
    prefill_ns: Floats
    prefill_steps: Floats
    clean: NDArray[np.bool_]


def _neighbours(s: Served) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each request those that may have been in the server with it, but not itself."""
    order = np.argsort(s.started, kind="stable")
    longest = float(np.max(s.end - s.started))
    starts = s.started[order]
    low = np.searchsorted(starts, s.started - longest)
    high = np.searchsorted(starts, s.end, side="right")
    for i in range(len(s)):
        others = order[low[i] : high[i]]
        yield i, others[others != i]


def _beside(s: Served) -> _Beside:
    n = len(s)
    decoding, alone = np.zeros(n), np.ones(n, dtype=np.bool_)
    for i, others in _neighbours(s):
        span = s.first[i] - s.started[i]
        if span > 0 and len(others):
            shared = _overlap(s.started[i], s.first[i], s.first[others], s.end[others])
            decoding[i] = float(shared.sum()) / span
            prefills = _overlap(s.started[i], s.first[i], s.started[others], s.first[others])
            alone[i] = not bool(np.any(prefills > 0))
    return _Beside(decoding, alone)


def _company(s: Served, p: ServiceParameters) -> _Company:
    n = len(s)
    decoding, context = np.ones(n), s.context_n + s.output_n / 2
    prefill_ns, prefill_steps = np.zeros(n), np.zeros(n)
    batches = np.ceil(s.prompt_n / p.batch_tokens)
    whole = np.maximum(s.prompt_n * p.prefill_ns_per_token, batches * p.base_ns)
    whole = np.maximum(whole, 1.0)
    # A prefill is one step however long it is, so averages are over the time without any.
    first, end = _without(s.first - whole, s.first, s.first, s.end)
    for i, others in _neighbours(s):
        if s.end[i] <= s.first[i] or not len(others):
            continue
        if end[i] > first[i]:
            shared = _overlap(first[i], end[i], first[others], end[others]) / (end[i] - first[i])
            decoding[i] += float(shared.sum())
            context[i] += float(shared @ (s.context_n[others] + s.output_n[others] / 2))
        # A prefill is worked on right before its first token; what came before was waiting.
        begun = s.first[others] - whole[others]
        inside = _overlap(s.first[i], s.end[i], begun, s.first[others])
        prefill_ns[i] = float(inside.sum())
        prefill_steps[i] = float(inside / whole[others] @ batches[others])
    span = s.end - s.first
    clean = (span - prefill_ns >= MIN_CLEAN_SHARE * span) & (s.output_n - 1 - prefill_steps >= 1)
    return _Company(decoding, context, prefill_ns, prefill_steps, clean)


def _without(begun: Floats, over: Floats, *times: Floats) -> tuple[Floats, ...]:
    """Times on a clock that stands still during any of some intervals."""
    edges = np.concatenate((begun, over))
    change = np.repeat([1.0, -1.0], len(begun))
    order = np.argsort(edges, kind="stable")
    edges, open_now = edges[order], np.cumsum(change[order])
    still = np.concatenate(([0.0], np.cumsum(np.diff(edges) * (open_now[:-1] > 0))))
    return tuple(t - np.interp(t, edges, still) for t in times)


def _overlap(start: float, end: float, starts: Floats, ends: Floats) -> Floats:
    """How long each of some intervals lies within [start, end]."""
    shared: Floats = np.minimum(end, ends) - np.maximum(start, starts)
    return np.maximum(shared, 0.0, dtype=np.float64)


def _fit_rows(
    s: Served,
    beside: _Beside,
    c: _Company,
    rows: NDArray[np.int64],
    like: ServiceParameters,
) -> ServiceParameters:
    base, per_sequence, per_context = _fit_decode(s, c, rows)
    return replace(
        like,
        prefill_ns_per_token=_prefill_ns(s, beside, rows, base),
        base_ns=base,
        per_sequence_ns=per_sequence,
        per_token_ns=per_context,
    )


def _stretches(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices of n requests, as stretches of about sqrt(n) that begin anywhere (and go round)."""
    length = max(1, round(np.sqrt(n)))
    begins = rng.integers(0, n, -(-n // length))
    taken: NDArray[np.int64] = (begins[:, None] + np.arange(length)).ravel()[:n] % n
    return taken


def _prefill_ns(s: Served, beside: _Beside, rows: NDArray[np.int64], base_ns: float) -> float:
    """Time per prompt token.

    A prefill shorter than a step takes a whole step, so short ones are left out if enough remain.
    """
    alone = rows[beside.alone[rows]]
    used = alone if len(alone) >= MIN_REQUESTS // 2 else rows
    per_token = _per_token(s, beside, used)
    long = used[s.prompt_n[used] * per_token > LONG_PREFILL * base_ns]
    return _per_token(s, beside, long) if len(long) >= MIN_REQUESTS // 2 else per_token


def _per_token(s: Served, beside: _Beside, rows: NDArray[np.int64]) -> float:
    tokens, duration = s.prompt_n[rows], (s.first - s.started)[rows]
    decoding = beside.decoding[rows]
    design = np.column_stack([tokens, decoding > 0, decoding])
    # Errors count relative to the duration.
    found = _non_negative(design / duration[:, None], np.ones(len(rows)))[0]
    if found > 0:
        return found
    return float(tokens @ duration / (tokens @ tokens))  # lengths all alike: no slope to be seen


def _residual(s: Served, c: _Company, rows: NDArray[np.int64], p: ServiceParameters) -> Floats:
    """By how much decodes took longer than the model says, others' prefill left out: a ratio."""
    steps = (s.output_n - 1)[rows]
    shared = p.per_sequence_ns * c.decoding[rows] + p.per_token_ns * c.context[rows]
    said = p.base_ns * (steps - c.prefill_steps[rows]) + shared * steps
    return np.asarray((s.end - s.first - c.prefill_ns)[rows] / np.maximum(said, 1.0) - 1)


def _unexplained(
    s: Served, c: _Company, rows: NDArray[np.int64], p: ServiceParameters
) -> tuple[float, float]:
    """Jitter of one step, and the server's pace over the run: coefficients of variation.

    From pairs of requests, the second of which is the next that began to decode after the first had
    ended: they share no step, but the pace. The difference of a pair has no pace in it (von Neumann
    1941), and the product has nothing else.
    """
    rows = rows[c.clean[rows]]
    rows = rows[np.argsort(s.first[rows], kind="stable")]
    later = np.searchsorted(s.first[rows], s.end[rows])
    paired = later < len(rows)
    one, two = np.flatnonzero(paired), later[paired]
    if not len(one):
        return 0.0, 0.0
    off = _residual(s, c, rows, p)
    steps = (s.output_n - 1)[rows]
    difference = (off[two] - off[one]) ** 2 / (1 / steps[one] + 1 / steps[two])
    # The median of a squared normal is 0.455 of its variance; robust against a few odd requests.
    jitter = float(np.sqrt(np.median(difference) / 0.455))
    centred = off - off.mean()
    pace = float(np.sqrt(max(0.0, float(np.mean(centred[one] * centred[two])))))
    return min(jitter, MAX_JITTER), pace


def _fit_decode(s: Served, c: _Company, rows: NDArray[np.int64]) -> tuple[float, float, float]:
    """Base, per sequence and per context token, in ns."""
    rows = rows[c.clean[rows]]
    if not len(rows):
        raise ValueError("no request decoded without other requests' prefill beside it")
    steps = (s.output_n - 1)[rows]
    measured = (s.end - s.first - c.prefill_ns)[rows]
    design = np.column_stack(
        [steps - c.prefill_steps[rows], steps * c.decoding[rows], steps * c.context[rows]]
    )
    # Errors count relative to the duration, and more where more steps were averaged.
    weight = np.sqrt(steps)
    return _non_negative(design * (weight / measured)[:, None], weight)


def _non_negative(design: Floats, target: Floats) -> tuple[float, float, float]:
    """Least squares with coefficients >= 0: drop the most negative column, fit again."""
    columns = [0, 1, 2]
    while True:
        scale = np.maximum(np.linalg.norm(design[:, columns], axis=0), 1e-300)
        found, *_ = np.linalg.lstsq(design[:, columns] / scale, target, rcond=1e-6)
        found = found / scale
        if np.all(found >= 0) or len(columns) == 1:
            break
        del columns[int(np.argmin(found * scale))]
    result = [0.0, 0.0, 0.0]
    for column, value in zip(columns, found, strict=True):
        result[column] = max(0.0, float(value))
    return result[0], result[1], result[2]
