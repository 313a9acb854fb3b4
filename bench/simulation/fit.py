"""Fitting the service model to a measured run, so that other settings can be tried in virtual time.

From each request's own server durations and from who else was in the server at that time:

* prefill: duration = tokens x `prefill_ns_per_token` + wait, where the wait is for the step under
  way when the request got its slot, and for the decodes that share the prefill's steps: it is
  fitted as [others decode] + number of those, and left out, since the simulation has it by itself;
* decode: duration - others' prefill inside it = plain steps x `base` + all steps x
  (`per_sequence` x n + `per_token` x K), with n the average of decoding sequences and K of their
  context tokens. A prefill beside a decode takes the place of the step's `base`, or hides in it.

Both are least squares with coefficients not below zero, errors being proportional to what is
expected (`relative`). Whether the model describes what it was fitted to is for `misfit` to say. The
uncertainty is from refitting resampled stretches of the run (moving-block bootstrap, Künsch 1989):
requests that are near in time share the server's pace of that time, and resampling them one by one
would claim more than they say. The draws are kept, so that whatever is predicted can carry it on.

What the fit does not explain has two parts: what neighbours in time share is the server's `pace`
that wanders (clock speed, heat, other work on the machine), and the rest is `jitter` of the steps.
The model has the jitter and no wandering pace.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.simulation.misfit import GROUPS, LEAST_IN_GROUP, Off, off_by_size
from bench.simulation.served import Beside, Company, Floats, Served, beside_prefills, company_of
from bench.simulation.service import ServiceParameters

MIN_REQUESTS = 20
LONG_PREFILL = 1.5
"""Prefills of so many steps tell their time per token."""
PASSES = 3
DRAWS = 40
MAX_JITTER = 0.3
NOT_WAITING = 0.1
"""Quantile of the time outside the engine that holds no waiting for a slot, only the overhead."""


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
        off: measured over expected times, by prompt length and by how many decoded together; of
            the requests that were fitted, and of each half by the fit to the other half.
    """

    parameters: ServiceParameters
    overhead_ns: int
    draws: tuple[ServiceParameters, ...]
    requests: int
    most_together: float
    decode_error: float
    pace: float = 0.0
    off: tuple[Off, ...] = ()


def fit_service(
    served: Served, *, slots: int, batch_tokens: int = 512, seed: int = 0
) -> ServiceFit:
    """Fit the service model to a run.

    The requests are successful ones of one model on one server with unchanged settings.

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
    beside = beside_prefills(served)
    parameters = ServiceParameters(
        slots=slots,
        prefill_ns_per_token=_prefill_ns(served, beside, rows, 0.0),
        base_ns=0.0,
        batch_tokens=batch_tokens,
    )
    # How long a prefill is depends on how long a step is, and the other way round.
    for _ in range(PASSES):
        company = company_of(served, parameters)
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
        off=(
            *_off(served, beside, company, rows, parameters),
            *_held_out(served, beside, company, in_time, parameters),
        ),
    )


def _fit_rows(
    s: Served, beside: Beside, c: Company, rows: NDArray[np.int64], like: ServiceParameters
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


def _prefill_ns(s: Served, beside: Beside, rows: NDArray[np.int64], base_ns: float) -> float:
    """Time per prompt token.

    A prefill shorter than a step takes a whole step, so short ones are left out if enough remain.
    """
    alone = rows[beside.alone[rows]]
    used = alone if len(alone) >= MIN_REQUESTS // 2 else rows
    per_token = _per_token(s, beside, used)
    long = used[s.prompt_n[used] * per_token > LONG_PREFILL * base_ns]
    return _per_token(s, beside, long) if len(long) >= MIN_REQUESTS // 2 else per_token


def _per_token(s: Served, beside: Beside, rows: NDArray[np.int64]) -> float:
    found = float(relative_fit(_prefill_design(s, beside, rows), _prefill(s, rows))[0])
    if found > 0:
        return found
    tokens = s.prompt_n[rows]
    # Lengths all alike: no slope to be seen.
    return float(tokens @ _prefill(s, rows) / (tokens @ tokens))


def _prefill(s: Served, rows: NDArray[np.int64]) -> Floats:
    return np.asarray((s.first - s.started)[rows])


def _prefill_design(s: Served, beside: Beside, rows: NDArray[np.int64]) -> Floats:
    decoding = beside.decoding[rows]
    return np.column_stack([s.prompt_n[rows], decoding > 0, decoding])


def _off(
    s: Served,
    beside: Beside,
    c: Company,
    rows: NDArray[np.int64],
    p: ServiceParameters,
    groups: int = GROUPS,
) -> list[Off]:
    """How far the model is off, by prompt length and by how many decoded together."""
    long = rows[beside.alone[rows]]
    long = long[s.prompt_n[long] * p.prefill_ns_per_token > LONG_PREFILL * p.base_ns]
    clean = rows[c.clean[rows]]
    found = []
    if len(long) >= LEAST_IN_GROUP:
        took, alone = _prefill(s, long), s.prompt_n[long] * p.prefill_ns_per_token
        waits = _prefill_design(s, beside, long)[:, 1:]
        wait = relative_fit(waits, np.maximum(took - alone, 1.0), 1 / alone)
        expected = alone + np.minimum(waits @ wait, alone)
        size = s.prompt_n[long]
        found += off_by_size("prefill", "prompt tokens", size, took, expected, groups)
    if len(clean) >= LEAST_IN_GROUP:
        took = (s.end - s.first - c.prefill_ns)[clean]
        expected = took / (1 + _residual(s, c, clean, p))
        size = np.round(c.decoding[clean])
        found += off_by_size("decode", "requests together", size, took, expected, groups)
    return found


def _held_out(
    s: Served, beside: Beside, c: Company, in_time: NDArray[np.int64], like: ServiceParameters
) -> list[Off]:
    """How far each half of the run is off by the fit to the other half; halves of stretches."""
    length = max(1, round(np.sqrt(len(in_time))))
    even = (np.arange(len(in_time)) // length) % 2 == 0
    found = []
    for fitted, left_out in ((in_time[even], in_time[~even]), (in_time[~even], in_time[even])):
        try:
            p = _fit_rows(s, beside, c, fitted, like)
        except ValueError:
            return []
        groups = _off(s, beside, c, left_out, p, groups=1)
        found += [replace(g, group=f"requests left out of a fit, {g.group}") for g in groups]
    return found


def _residual(s: Served, c: Company, rows: NDArray[np.int64], p: ServiceParameters) -> Floats:
    """By how much decodes took longer than the model says, others' prefill left out: a ratio."""
    steps = (s.output_n - 1)[rows]
    shared = p.per_sequence_ns * c.decoding[rows] + p.per_token_ns * c.context[rows]
    said = p.base_ns * (steps - c.prefill_steps[rows]) + shared * steps
    return np.asarray((s.end - s.first - c.prefill_ns)[rows] / np.maximum(said, 1.0) - 1)


def _unexplained(
    s: Served, c: Company, rows: NDArray[np.int64], p: ServiceParameters
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


def _fit_decode(s: Served, c: Company, rows: NDArray[np.int64]) -> tuple[float, float, float]:
    """Base, per sequence and per context token, in ns."""
    rows = rows[c.clean[rows]]
    if not len(rows):
        raise ValueError("no request decoded without other requests' prefill beside it")
    steps = (s.output_n - 1)[rows]
    measured = (s.end - s.first - c.prefill_ns)[rows]
    design = np.column_stack(
        [steps - c.prefill_steps[rows], steps * c.decoding[rows], steps * c.context[rows]]
    )
    # More where more steps were averaged.
    base, per_sequence, per_context = relative_fit(design, measured, np.sqrt(steps))
    return float(base), float(per_sequence), float(per_context)


ROUNDS = 8


def relative_fit(design: Floats, measured: Floats, weight: Floats | None = None) -> Floats:
    """Coefficients of a line whose errors are proportional to its values.

    The weights are one over the *fitted* values, found by iteration (iteratively reweighted least
    squares: McCullagh and Nelder, Generalized Linear Models, 1989, chapter 8). One over the
    measured values would count those most that happened to be short: at a coefficient of variation
    of .5, a speed of 3,000 tokens per second was taken for 5,000.

    Args:
        design: shape (n, k); a row a measurement.
        measured: shape (n,), above 0.
        weight: of each row besides, shape (n,); None = all alike.

    Returns:
        Shape (k,), none below 0.
    """
    share = np.ones(len(measured)) if weight is None else weight
    expected = measured
    found = np.zeros(design.shape[1])
    for _ in range(ROUNDS):
        scale = share / expected
        found = _non_negative(design * scale[:, None], measured * scale)
        expected = np.maximum(design @ found, 1e-3 * measured)
    return found


def _non_negative(design: Floats, target: Floats) -> Floats:
    """Least squares with coefficients >= 0: drop the most negative column, fit again."""
    columns = list(range(design.shape[1]))
    while True:
        scale = np.maximum(np.linalg.norm(design[:, columns], axis=0), 1e-300)
        found, *_ = np.linalg.lstsq(design[:, columns] / scale, target, rcond=1e-6)
        found = found / scale
        if np.all(found >= 0) or len(columns) == 1:
            break
        del columns[int(np.argmin(found * scale))]
    result = np.zeros(design.shape[1])
    result[columns] = np.maximum(found, 0.0)
    return result
