"""What a measured run says of each request it served, and who else was in the server meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.simulation.service import ServiceParameters

Floats = NDArray[np.float64]

MIN_CLEAN_SHARE = 0.2
"""A decode that spent more than the rest beside prefills says too little about plain steps."""


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
class Beside:
    """Who else was in the server while each request was in prefill.

    Attributes:
        decoding: time-average of decoding sequences during its prefill.
        alone: its prefill overlapped no other prefill.
    """

    decoding: Floats
    alone: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Company:
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


def beside_prefills(s: Served) -> Beside:
    """Who else was in the server while each request's prompt was read."""
    n = len(s)
    decoding, alone = np.zeros(n), np.ones(n, dtype=np.bool_)
    for i, others in _neighbours(s):
        span = s.first[i] - s.started[i]
        if span > 0 and len(others):
            shared = _overlap(s.started[i], s.first[i], s.first[others], s.end[others])
            decoding[i] = float(shared.sum()) / span
            prefills = _overlap(s.started[i], s.first[i], s.started[others], s.first[others])
            alone[i] = not bool(np.any(prefills > 0))
    return Beside(decoding, alone)


def company_of(s: Served, p: ServiceParameters) -> Company:
    """Who else was in the server while each request decoded, if prefills take what `p` says."""
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
    return Company(decoding, context, prefill_ns, prefill_steps, clean)


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
