"""Which loads requests waited for, and how long, by the server's truth log alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.clock import NS
from bench.server.truth import TruthRecord

LOAD_NS = NS // 4
"""Less is no load."""


def loads_awaited(asked: Sequence[TruthRecord], told: Sequence[TruthRecord]) -> set[int]:
    """When the loads had ended that ended the waits of these.

    Args:
        asked: the requests whose waits count.
        told: all requests of the same model.
    """
    loads = [t.loaded_ns for t in told if t.load_ns is not None and t.unloaded and t.loaded_ns]
    ends = ([at for at in loads if t.received_ns < at <= (t.loaded_ns or 0)] for t in asked)
    return {max(own) for own in ends if own}


def waiting_s(asked: Iterable[TruthRecord]) -> float:
    """How long at least one of these waited for its model."""
    total, until = 0, 0
    for t in sorted(asked, key=lambda t: t.received_ns):
        loaded_ns = t.loaded_ns or 0
        if loaded_ns - t.received_ns > LOAD_NS:
            total += max(loaded_ns - max(t.received_ns, until), 0)
            until = max(loaded_ns, until)
    return total / NS
