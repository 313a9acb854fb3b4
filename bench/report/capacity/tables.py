"""Tables of a search and of a what-if."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.analysis.capacity.result import CapacityResult
from bench.analysis.summary import Estimate
from bench.report.capacity.wording import load_text, probe_cells
from bench.report.tables import (
    Table,
    estimate_column,
    from_columns,
    from_pairs,
    number_column,
    text_column,
)
from bench.report.units import percent

_VERDICTS = {"pass": "kept", "fail": "broken", "undecided": "undecided"}
_PURPOSES = {
    "search": "search",
    "confirm_pass": "must hold",
    "confirm_fail": "must break",
}


def probe_table(result: CapacityResult, table_id: str = "probes") -> Table:
    """Every probe in the order it was run."""
    probes = result.probes
    promised = [
        estimate_column(
            promise,
            "share" if promise.startswith("error_rate") else "s",
            [probe_cells(p)[i] for p in probes],
        )
        for i, promise in enumerate(result.promises)
    ]
    return from_columns(
        table_id,
        "Probes, in the order they were run",
        [
            text_column("Load", [load_text(result, p.load) for p in probes]),
            text_column("Purpose", [_PURPOSES[p.purpose] for p in probes]),
            text_column("Promise", [_VERDICTS[p.verdict] for p in probes]),
            *promised,
            text_column("Requests", [p.requests for p in probes]),
            number_column("Time", "s", [p.duration_s for p in probes]),
            number_column("Goodput", "requests/s", [p.goodput_per_s for p in probes]),
            text_column("Backlog", ["grows" if p.growing else "steady" for p in probes]),
        ],
        note=(
            "Each probe starts from an empty queue; its first fifth is left out of the promise. "
            "Intervals are one-sided 95 % bounds: a promise is kept when the upper one is within "
            "it, and broken when the lower one is beyond it."
        ),
    )


def wait_table(result: CapacityResult) -> Table:
    """Waits measured and modelled."""
    probes = sorted((p for p in result.probes if p.queue_mean_s is not None), key=lambda p: p.load)
    return from_columns(
        "waits",
        "Mean wait for a slot",
        [
            text_column("Load", [load_text(result, p.load) for p in probes]),
            number_column("Measured", "s", [p.queue_mean_s for p in probes]),
            number_column("M/G/k model", "s", [_known(p.modelled_wait_s) for p in probes]),
            number_column("Time in a slot", "s", [p.service_mean_s for p in probes]),
        ],
        note="No model value: the model's queue would grow for ever at this load.",
    )


def model_table(result: CapacityResult) -> Table | None:
    """The scalability law's coefficients."""
    fit = result.usl
    if fit is None:
        return None
    rows = {
        "throughput of one user (requests/s)": fit.rate_of_one,
        "contention σ": fit.sigma,
        "coherency κ": fit.kappa,
    }
    estimates = [Estimate(c.value, c.low, c.high) for c in rows.values()]
    peak = "" if fit.peak_users is None else f" Highest throughput at {fit.peak_users:.1f} users."
    return from_columns(
        "usl",
        "Universal Scalability Law, up to the observed slots (a model)",
        [
            text_column("Coefficient", list(rows)),
            estimate_column("Value", "", estimates),
        ],
        note=f"Explains {percent(fit.r2)} of the variance.{peak}",
    )


def memory_table(result: CapacityResult) -> Table | None:
    """What the keys and values of the context take."""
    memory = result.memory
    if memory is None:
        return None
    per_token = memory.bytes_per_token
    used = memory.used_bytes
    return from_pairs(
        "kv-memory",
        "Memory of the context",
        [
            ("Layers", memory.shape.layers),
            ("KV heads", max(memory.shape.kv_heads)),
            ("One token, 16-bit cache", f"{per_token / 1024:.0f} KiB"),
            ("One token, q8_0 cache", f"{per_token * 34 / 64 / 1024:.0f} KiB"),
            ("1,000 tokens more, in all slots together", f"{per_token * 1000 / 1e6:.0f} MB"),
            ("The model takes now", f"{used / 1e9:.2f} GB" if used else ""),
            ("Of it on the GPU", percent(memory.gpu_share) if memory.gpu_share is not None else ""),
            (
                "Tokens (num_ctx x slots) that fit beside it per GB of free GPU memory",
                int(1e9 / per_token),
            ),
        ],
        note=(
            "Bytes per token = sum over layers of KV heads x (key + value length) x bytes; Ollama "
            "reserves num_ctx x slots tokens when it loads a model. Compute buffers are left out."
        ),
    )


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def present(tables: Sequence[Table | None]) -> list[Table]:
    """The tables that there are."""
    return [t for t in tables if t is not None]
