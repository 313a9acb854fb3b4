"""A metric in one file: how long connecting took."""

from __future__ import annotations

from bench.analysis.run.columns import Columns, Floats, seconds
from bench.analysis.run.latency import per_request
from bench.metrics import MetricKind


@per_request(
    MetricKind(
        "connect_s",
        "Connecting",
        "time",
        "From wanting to send a request until the connection stood.",
        "connected − wanted",
        unit="s",
        better="lower",
        clock="client",
        absent="every request went over a connection that stood already",
        quality=True,
    )
)
def connect_s(columns: Columns) -> Floats:
    """Seconds; absent where the connection was open already."""
    return seconds(columns.connect_ns)
