"""Fitting the service model to a measured run, so that other settings can be tried in virtual time.

From each request's own server durations and from who else was in the server at that time:

* prefill: duration = tokens x `prefill_ns_per_token`, over the requests whose prefill overlapped no
  other prefill (two prefills at once share the engine's steps);
* decode: (duration - others' prefill inside it) / steps = `base` + `per_sequence` x n
  + `per_token` x K, with n the time-average of decoding sequences and K their context tokens. A
  prefill beside a decode replaces the step's `base`: its time is taken out, and its steps with it.

Both are least squares with coefficients not below zero. The uncertainty is from refitting resampled
requests (bootstrap); the draws are kept, so that whatever is predicted can carry it on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.simulation.service import ServiceParameters

Floats = NDArray[np.float64]

MIN_REQUESTS = 20
MIN_CLEAN_SHARE = 0.2
"""A decode that spent more than the rest beside prefills says too little about plain steps."""
DRAWS = 40
MAX_JITTER = 0.3


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
        overhead: time to the first token that is neither queueing nor prefill.
    """

    started: Floats
    first: Floats
    end: Floats
    prompt_n: Floats
    context_n: Floats
    output_n: Floats
    overhead: Floats

    def __len__(self) -> int:
        return len(self.started)


@dataclass(frozen=True, slots=True)
class ServiceFit:
    """A fitted service model.

    Attributes:
        overhead_ns: median time of a request outside queue and engine.
        draws: the model refitted to resampled requests, each as likely as the fit itself.
        requests: how many it rests on.
        most_together: largest average number of decoding sequences that was seen; predictions for
            more slots than that are extrapolated.
        decode_error: median absolute relative error of the fitted time per token.
    """

    parameters: ServiceParameters
    overhead_ns: int
    draws: tuple[ServiceParameters, ...]
    requests: int
    most_together: float
    decode_error: float


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
    company = _company(served, batch_tokens)
    rows = np.flatnonzero(usable)
    template = ServiceParameters(
        slots=slots, prefill_ns_per_token=0, base_ns=0, batch_tokens=batch_tokens
    )
    parameters = _fit_rows(served, company, rows, template)
    rng = np.random.default_rng(seed)
    draws = tuple(
        _fit_rows(served, company, rng.choice(rows, len(rows)), template) for _ in range(DRAWS)
    )
    predicted = _step_ns(parameters, company)
    off = np.abs(predicted / _clean_step_ns(served, company) - 1)[rows]
    return ServiceFit(
        parameters=parameters,
        overhead_ns=int(max(0.0, float(np.median(served.overhead[rows])))),
        draws=draws,
        requests=len(rows),
        most_together=float(company.decoding[rows].max()),
        decode_error=float(np.nanmedian(off)),
    )


@dataclass(frozen=True, slots=True)
class _Company:
    """Who else was in the server during each request.

    Attributes:
        decoding: time-average of decoding sequences during its decode, itself included.
        context: time-average of their context tokens.
        prefill_ns: others' prefill that fell into its decode.
        prefill_steps: engine steps which that prefill took, each with a token for this request.
        alone: its prefill overlapped no other prefill.
    """

    decoding: Floats
    context: Floats
    prefill_ns: Floats
    prefill_steps: Floats
    alone: NDArray[np.bool_]


def _company(s: Served, batch_tokens: int) -> _Company:
    n = len(s)
    decoding, context = np.ones(n), np.empty(n)
    prefill_ns, prefill_steps = np.zeros(n), np.zeros(n)
    alone = np.ones(n, dtype=bool)
    order = np.argsort(s.started, kind="stable")
    longest = float(np.max(s.end - s.started))
    starts = s.started[order]
    for i in range(n):
        low = np.searchsorted(starts, s.started[i] - longest)
        high = np.searchsorted(starts, s.end[i], side="right")
        others = order[low:high]
        others = others[others != i]
        span = s.end[i] - s.first[i]
        own = s.context_n[i] + s.output_n[i] / 2
        context[i] = own
        if span > 0 and len(others):
            shared = _overlap(s.first[i], s.end[i], s.first[others], s.end[others]) / span
            decoding[i] += float(shared.sum())
            context[i] += float(shared @ (s.context_n[others] + s.output_n[others] / 2))
            inside = _overlap(s.first[i], s.end[i], s.started[others], s.first[others])
            whole = np.maximum(s.first[others] - s.started[others], 1)
            prefill_ns[i] = float(inside.sum())
            prefill_steps[i] = float(inside / whole @ np.ceil(s.prompt_n[others] / batch_tokens))
        beside = _overlap(s.started[i], s.first[i], s.started[others], s.first[others])
        alone[i] = not bool(np.any(beside > 0))
    return _Company(decoding, context, prefill_ns, prefill_steps, alone)


def _overlap(start: float, end: float, starts: Floats, ends: Floats) -> Floats:
    """How long each of some intervals lies within [start, end]."""
    shared: Floats = np.minimum(end, ends) - np.maximum(start, starts)
    return np.maximum(shared, 0.0, dtype=np.float64)


def _clean_step_ns(s: Served, c: _Company) -> Floats:
    """Mean duration of a request's decode steps without a prefill beside them; NaN if too few."""
    span = s.end - s.first - c.prefill_ns
    steps = s.output_n - 1 - c.prefill_steps
    enough = (span >= MIN_CLEAN_SHARE * (s.end - s.first)) & (steps >= 1)
    return np.asarray(np.where(enough, span / np.maximum(steps, 1), np.nan), dtype=np.float64)


def _step_ns(p: ServiceParameters, c: _Company) -> Floats:
    return np.asarray(p.base_ns + p.per_sequence_ns * c.decoding + p.per_token_ns * c.context)


def _fit_rows(
    s: Served, c: _Company, rows: NDArray[np.int64], template: ServiceParameters
) -> ServiceParameters:
    alone = rows[c.alone[rows]]
    prefills = alone if len(alone) >= MIN_REQUESTS // 2 else rows
    tokens, duration = s.prompt_n[prefills], (s.first - s.started)[prefills]
    per_token = float(tokens @ duration / (tokens @ tokens))
    base, per_sequence, per_context, jitter = _fit_decode(s, c, rows)
    return replace(
        template,
        prefill_ns_per_token=per_token,
        base_ns=base,
        per_sequence_ns=per_sequence,
        per_token_ns=per_context,
        jitter=jitter,
    )


def _fit_decode(
    s: Served, c: _Company, rows: NDArray[np.int64]
) -> tuple[float, float, float, float]:
    """Base, per sequence and per context token, in ns; and the jitter of one step."""
    measured = _clean_step_ns(s, c)
    rows = rows[np.isfinite(measured[rows])]
    if not len(rows):
        raise ValueError("no request decoded without other requests' prefill beside it")
    measured = measured[rows]
    steps = np.maximum(s.output_n[rows] - 1 - c.prefill_steps[rows], 1)
    design = np.column_stack([np.ones(len(rows)), c.decoding[rows], c.context[rows]])
    # Errors count relative to the step, and more where more steps were averaged.
    weight = np.sqrt(steps)
    found = _non_negative(design * (weight / measured)[:, None], weight)
    residual = design @ np.array(found) / measured - 1
    # The median of a squared normal is 0.455 of its variance; robust against a few odd requests.
    jitter = float(np.sqrt(np.median(residual**2 * steps) / 0.455))
    return (*found, min(jitter, MAX_JITTER))


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
