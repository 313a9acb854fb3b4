"""Many servers behind a router, in virtual time: what another number of servers would do.

The same service model that the embedded server runs on the real clock is run here on a virtual one,
without an event per token. A workload is arrays of arrivals; the result is arrays of times.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.simulation.service import ServiceModel, ServiceParameters, Work

Routing = Literal["round-robin", "least-loaded", "prefix-affine"]

_NO_CONVERSATION = -1
_SPILL_OVER = 2
"""A prefix-affine router leaves the home server when that has this many requests a slot."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests to come, in order of time. All arrays have one entry a request.

    Attributes:
        at_ns: arrival times, not decreasing, int64.
        prompt_n: prompt tokens, at least 1.
        output_n: tokens to produce, at least 1.
        conversation: number of the conversation it belongs to; -1 = none.
        shared_n: leading prompt tokens that the conversation's server has in its prefix cache if
            it served the turn before; 0 = none.
    """

    at_ns: NDArray[np.int64]
    prompt_n: NDArray[np.int64]
    output_n: NDArray[np.int64]
    conversation: NDArray[np.int64] | None = None
    shared_n: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.at_ns)


@dataclass(frozen=True, slots=True)
class FleetResult:
    """When each request was served. Arrays have one entry a request, in order of arrival.

    Attributes:
        started_ns: when it got its slot.
        first_ns, end_ns: when its first and its last token were sampled.
    """

    at_ns: NDArray[np.int64]
    server: NDArray[np.int64]
    started_ns: NDArray[np.int64]
    first_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    output_n: NDArray[np.int64]

    @property
    def queue_s(self) -> NDArray[np.float64]:
        """Seconds waited for a slot."""
        return (self.started_ns - self.at_ns) / 1e9

    @property
    def ttft_s(self) -> NDArray[np.float64]:
        """Seconds from arrival to the first token."""
        return (self.first_ns - self.at_ns) / 1e9

    @property
    def e2e_s(self) -> NDArray[np.float64]:
        """Seconds from arrival to the last token."""
        return (self.end_ns - self.at_ns) / 1e9

    @property
    def tpot_s(self) -> NDArray[np.float64]:
        """Seconds per token after the first; NaN for one-token answers."""
        steps = np.where(self.output_n > 1, self.output_n - 1, np.nan)
        return np.asarray((self.end_ns - self.first_ns) / 1e9 / steps)

    @property
    def in_system(self) -> NDArray[np.float64]:
        """How many requests each arrival found in the whole fleet."""
        left = np.searchsorted(np.sort(self.end_ns), self.at_ns, side="right")
        return np.arange(len(self.at_ns), dtype=np.float64) - left


def simulate_fleet(
    parameters: ServiceParameters,
    workload: Workload,
    *,
    servers: int = 1,
    routing: Routing = "least-loaded",
    overhead_ns: int = 0,
    seed: int = 0,
) -> FleetResult:
    """Serve a workload to its end.

    Args:
        parameters: of every server.
        workload: what arrives.
        servers: how many.
        routing: `round-robin`; `least-loaded` = fewest open requests, ties to the lowest number;
            `prefix-affine` = a conversation has a home by its number, and moves when that is
            overloaded.
        overhead_ns: time from arrival to the server's queue (network, routing, templates).
        seed: of the jitter.
    """
    run = _Run(parameters, workload, servers, overhead_ns, seed)
    route: Callable[[int], int] = {
        "round-robin": run.round_robin,
        "least-loaded": run.least_loaded,
        "prefix-affine": run.prefix_affine,
    }[routing]
    for i, at in enumerate(workload.at_ns.tolist()):
        run.advance(at + overhead_ns)
        run.submit(i, at + overhead_ns, route(i))
    run.advance(None)
    return run.result()


class _Run:
    """The state of one simulation."""

    def __init__(
        self,
        parameters: ServiceParameters,
        workload: Workload,
        servers: int,
        overhead_ns: int,
        seed: int,
    ) -> None:
        self._slots = parameters.slots
        self._workload = workload
        # Lists: single numbers are read out of them much faster than out of arrays.
        self._prompt = workload.prompt_n.tolist()
        self._output = workload.output_n.tolist()
        talks = workload.conversation
        self._conversation = None if talks is None else talks.tolist()
        shared = workload.shared_n
        self._shared = None if talks is None or shared is None else shared.tolist()
        self._models = [
            ServiceModel(parameters, seed=seed * 1_000_003 + k, per_token=False)
            for k in range(servers)
        ]
        self._due: list[tuple[int, int]] = []  # a heap of (next event, server)
        self._due_of: list[int | None] = [None] * servers
        self._open = [0] * servers
        self._by_load = [(0, k) for k in range(servers)]  # a heap, entries may be stale
        self._caches: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(servers)]
        self._home: dict[int, int] = {}
        self._server: list[int] = []
        self._ended: list[tuple[int, int, int, int]] = []

    def advance(self, until_ns: int | None) -> None:
        """Let everything happen that is due by then; None = to the end."""
        due, due_of, models, ended = self._due, self._due_of, self._models, self._ended
        until = math.inf if until_ns is None else until_ns
        while due and due[0][0] <= until:
            at, k = due[0]
            if due_of[k] != at:
                heapq.heappop(due)  # superseded
                continue
            model = models[k]
            while (event := model.pop(at)) is not None:
                ended.append((event.id, event.started_ns, event.first_ns, event.at_ns))
                self._change_load(k, -1)
            due_of[k] = then = model.next_event_ns()
            if then is None:
                heapq.heappop(due)
            else:
                heapq.heapreplace(due, (then, k))

    def submit(self, i: int, at_ns: int, k: int) -> None:
        cached = 0 if self._shared is None else self._cached(i, k)
        prompt = self._prompt[i]
        self._server.append(k)
        self._models[k].submit(at_ns, Work(i, max(prompt - cached, 1), self._output[i], cached))
        self._change_load(k, 1)
        self._schedule(k)

    def round_robin(self, i: int) -> int:
        return i % len(self._models)

    def least_loaded(self, i: int) -> int:
        heap = self._by_load
        while heap[0][0] != self._open[heap[0][1]]:
            heapq.heappop(heap)
        return heap[0][1]

    def prefix_affine(self, i: int) -> int:
        conversation = self._conversation[i] if self._conversation else _NO_CONVERSATION
        if conversation == _NO_CONVERSATION:
            return self.least_loaded(i)
        home = self._home.setdefault(conversation, conversation % len(self._models))
        if self._open[home] >= _SPILL_OVER * self._slots:
            home = self._home[conversation] = self.least_loaded(i)
        return home

    def result(self) -> FleetResult:
        w = self._workload
        times = np.zeros((len(w), 3), dtype=np.int64)
        if self._ended:
            ended = np.array(self._ended, dtype=np.int64)
            times[ended[:, 0]] = ended[:, 1:]
        server = np.array(self._server, dtype=np.int64)
        return FleetResult(w.at_ns, server, times[:, 0], times[:, 1], times[:, 2], w.output_n)

    def _schedule(self, k: int) -> None:
        at = self._models[k].next_event_ns()
        if at != self._due_of[k]:
            self._due_of[k] = at
            if at is not None:
                heapq.heappush(self._due, (at, k))

    def _change_load(self, k: int, by: int) -> None:
        self._open[k] += by
        heapq.heappush(self._by_load, (self._open[k], k))

    def _cached(self, i: int, k: int) -> int:
        """Prompt tokens in the server's cache: one conversation a slot, the oldest forgotten."""
        assert self._conversation is not None
        assert self._shared is not None
        conversation = self._conversation[i]
        if conversation == _NO_CONVERSATION:
            return 0
        cache = self._caches[k]
        known = conversation in cache
        cache[conversation] = None
        cache.move_to_end(conversation)
        if len(cache) > self._slots:
            cache.popitem(last=False)
        return self._shared[i] if known else 0
