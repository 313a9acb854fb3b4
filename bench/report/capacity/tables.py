"""Tables of a search for capacity."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.capacity.result import CapacityResult, ProbeResult
from bench.analysis.run.summary import Estimate
from bench.report.capacity.wording import load_text, probe_cells
from bench.report.tables import (
    Table,
    TableColumn,
    estimate_column,
    from_columns,
    from_pairs,
    number_column,
    text_column,
)
from bench.report.units import percent, plural

VERDICTS = {"pass": "kept", "fail": "broken", "undecided": "undecided"}
_PURPOSES = {"search": "", "confirm_pass": "must hold: ", "confirm_fail": "must break: "}
_SLOTS_SHOWN = (2, 4, 8, 16)


def probe_table(result: CapacityResult) -> Table:
    """Every probe in the order it was run."""
    probes = result.probes
    said = [
        f"{_PURPOSES[p.purpose]}{VERDICTS[p.verdict]}{', again' if p.extension else ''}"
        for p in probes
    ]
    columns = [
        _load_column(result, probes),
        text_column("Promise", said),
        *_promised(result, probes),
        text_column("To settle", [p.settle for p in probes]),
        text_column("Judged", [p.requests for p in probes]),
        number_column("Took", "s", [p.duration_s for p in probes]),
        number_column("Goodput", "requests/s", [p.goodput_per_s for p in probes]),
        text_column("Backlog", ["grows" if p.growing else "" for p in probes]),
    ]
    note = (
        "Each probe begins with requests that fill the server and are not judged. Intervals "
        "are one-sided 97.5 % bounds: a promise is kept when the upper one is within it, and "
        "broken when the lower one is beyond it; a probe that is short against the queue's "
        "memory proves nothing. 'Again' is judged together with the probes before it at that "
        "load."
    )
    return from_columns("probes", "Probes, in the order they were run", columns, note=note)


def sweep_table(result: CapacityResult) -> Table | None:
    """What each number of users got; None without a sweep."""
    levels = result.sweep.levels
    if not levels:
        return None
    columns = [
        text_column("Users", [x.users for x in levels]),
        estimate_column("All together", "tok/s", [x.tok_per_s for x in levels]),
        estimate_column("Each user", "tok/s", [x.user_tok_per_s for x in levels]),
        number_column("Efficiency", "share", [x.efficiency for x in levels]),
        estimate_column("First text, p50", "s", [x.ttft_p50_s for x in levels], "p50"),
        estimate_column("First text, p95", "s", [x.ttft_p95_s for x in levels], "p95"),
        estimate_column("Queue, p50", "s", [x.queue_p50_s for x in levels], "p50"),
        estimate_column("Whole answer, mean", "s", [x.e2e_s for x in levels], "mean"),
        text_column("Requests", [x.requests for x in levels]),
        number_column("On the GPU", "share", [x.gpu_share for x in levels]),
        number_column("VRAM", "B", [x.vram_bytes for x in levels]),
    ]
    note = (
        "Efficiency: tokens of all together over as many times those of one user. 95 % intervals."
    )
    caption = "A few users at once, each asking again as soon as it is answered"
    return from_columns("sweep", caption, columns, note=note)


def promise_table(result: CapacityResult, i: int) -> Table:
    """One promise at every probe, by load: the numbers of its chart."""
    probes = sorted(result.probes, key=lambda p: p.load)
    said = text_column("Promise", [VERDICTS[p.kept[i].verdict] for p in probes])
    columns = [_load_column(result, probes), _promised(result, probes)[i], said]
    return from_columns(f"promise-{i}-table", f"{result.promises[i]}, by load", columns)


def goodput_table(result: CapacityResult) -> Table:
    """Goodput by load."""
    probes = sorted(result.probes, key=lambda p: p.load)
    goodput = number_column("Goodput", "requests/s", [p.goodput_per_s for p in probes])
    columns = [_load_column(result, probes), goodput]
    return from_columns("goodput-table", "Requests in time, by load", columns)


def frontier_table(result: CapacityResult) -> Table:
    """Throughput and latency of every level and probe: the numbers of the frontier."""
    levels, probes = result.sweep.levels, result.probes
    speeds = [x.tok_per_s for x in levels] + [Estimate(p.tok_per_s) for p in probes]
    first = [x.ttft_p50_s for x in levels]
    first += [Estimate(p.ttft_p50_s) if p.ttft_p50_s is not None else None for p in probes]
    loads = [plural(x.users, "user") for x in levels]
    columns = [
        text_column("Load", loads + [load_text(result, p.load) for p in probes]),
        text_column("From", ["sweep"] * len(levels) + ["probe"] * len(probes)),
        estimate_column("All together", "tok/s", speeds),
        estimate_column("First text, p50", "s", first, "p50"),
    ]
    return from_columns("frontier-table", "Throughput and waiting", columns, folded=True)


def wait_table(result: CapacityResult) -> Table:
    """Waits measured and modelled."""
    probes = sorted((p for p in result.probes if p.queue_mean_s is not None), key=lambda p: p.load)
    columns = [
        _load_column(result, probes),
        number_column("Measured", "s", [p.queue_mean_s for p in probes]),
        number_column("M/G/k model", "s", [p.modelled_wait_s for p in probes]),
        number_column("Time in a slot", "s", [p.service_mean_s for p in probes]),
    ]
    note = "No model value: the model's queue would grow for ever at this load."
    return from_columns("waits", "Mean wait for a slot", columns, note=note)


def law_table(result: CapacityResult) -> Table | None:
    """The scalability law's coefficients."""
    fit = result.sweep.usl
    if fit is None:
        return None
    names = ("throughput of one user (tok/s)", "contention σ", "coherency κ")
    found = (fit.rate_of_one, fit.sigma, fit.kappa)
    estimates = [Estimate(c.value, c.low, c.high) for c in found]
    columns = [text_column("Coefficient", names), estimate_column("Value", "", estimates)]
    peak = "" if fit.peak_users is None else f" Highest throughput at {fit.peak_users:.1f} users."
    note = f"Explains {percent(fit.r2)} of the variance.{peak}"
    caption = "Universal Scalability Law, up to the observed slots (a model)"
    return from_columns("usl", caption, columns, note=note)


def memory_table(result: CapacityResult) -> Table | None:
    """What the keys and values of the context take, and how many fit."""
    memory = result.memory
    if memory is None:
        return None
    known = "" if memory.cache_known else ", assumed"
    fixed_from = {
        "loaded": "weights and buffers, from /api/ps",
        "file": "weights, from the file's size; buffers come on top",
    }.get(memory.fixed_from, "")
    unknown = "unknown: give it with --gpu-memory"
    gpu = f"{_gb(memory.gpu_bytes)} (by {memory.gpu_from})" if memory.gpu_bytes else unknown
    one_token = f"One token ({memory.cache_type} cache{known})"
    pairs: list[tuple[str, object]] = [
        ("Layers", memory.shape.layers),
        ("KV heads", max(memory.shape.kv_heads)),
        (one_token, f"{memory.bytes_per_token / 1024:.3g} KiB"),
        ("The model takes now", _gb(memory.used_bytes)),
        ("Of it on the GPU", percent(memory.gpu_share) if memory.gpu_share is not None else ""),
        ("Without context", f"{_gb(memory.fixed_bytes)} ({fixed_from})" if fixed_from else ""),
        ("Memory of the GPU", gpu),
        ("Other models in memory", ", ".join(memory.others)),
        ("Largest num_ctx x slots that stays on the GPU", memory.tokens),
    ]
    if memory.tokens is not None:
        pairs += [(f"num_ctx with {k} slots", memory.tokens // k) for k in _SLOTS_SHOWN]
    note = (
        "Bytes per token = sum over layers of KV heads x (key + value length) x bytes; Ollama "
        "reserves num_ctx x slots tokens when it loads a model."
    )
    return from_pairs("kv-memory", "Memory of the context", pairs, note)


def _load_column(result: CapacityResult, probes: Sequence[ProbeResult]) -> TableColumn:
    if result.by != "rate":
        return text_column(result.by.capitalize(), [int(p.load) for p in probes])
    return number_column("Load", "requests/s", [p.load for p in probes])


def _promised(result: CapacityResult, probes: Sequence[ProbeResult]) -> list[TableColumn]:
    return [
        estimate_column(promise.label, promise.kind.shown_unit, [probe_cells(p)[i] for p in probes])
        for i, promise in enumerate(result.promises)
    ]


def _gb(size: int | None) -> str:
    return f"{size / 1e9:.2f} GB" if size else ""
