"""Tables of what the server's machine did, and of what could not be seen of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.analysis.run.machine import energy_of, window
from bench.report.model import Report, RunView
from bench.report.tables import Table, from_columns, number_column, text_column
from bench.report.units import number
from bench.results.run import BlockInfo
from bench.telemetry.energy import DEVICE, Energy, power_devices


def watched_table(view: RunView, number_: int) -> Table | None:
    """Each source: what it reads, how exactly, and what it could not see and why."""
    recorded = view.run.info.environment.get("telemetry")
    if not isinstance(recorded, dict):
        return None
    rows = [_source(s) for s in recorded.get("sources") or () if isinstance(s, dict)]
    for key in ("not_measurable", "not_seen"):
        rows += [(what, "", "", str(why)) for what, why in _pairs(recorded.get(key))]
    if not rows:
        return None
    names, reads, exact, blind = zip(*rows, strict=True)
    cost = recorded.get("cost_of_a_core")
    return from_columns(
        f"watched-{number_}",
        f"Telemetry of the server's machine{f', {view.label}' if view.label else ''}",
        [
            text_column("Source", names),
            text_column("Reads", reads),
            text_column("How exact", exact),
            text_column("Not seen", blind),
        ],
        note=f"Reading it took {number(100 * cost, 2)}% of one core of the client."
        if isinstance(cost, float)
        else "",
        folded=True,
    )


def _source(source: Mapping[str, Any]) -> tuple[str, str, str, str]:
    gaps = [("stopped", source["not_measurable"])] if source.get("not_measurable") else []
    if dropped := source.get("steps_dropped"):
        gaps.append(("impossible steps of the counter left out", dropped))
    blind = [f"{what}: {why}" for what, why in [*_pairs(source.get("blind")), *gaps]]
    reads = ", ".join(DEVICE.sub("", str(r)) for r in source.get("reads") or ())
    name = f"{source.get('name')}: {source.get('what')}"
    return name, reads, str(source.get("exactness") or ""), "; ".join(blind)


def _pairs(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else []


def machine_table(report: Report) -> Table | None:
    """Each case and device: power, temperature, clock and memory in the measured windows."""
    rows: list[tuple[str, str, list[BlockInfo]]] = []
    for index, view in enumerate(report.runs):
        for case in view.run.info.plan.cases:
            blocks = [b for b in view.run.info.blocks if b.case == case.id]
            devices = {m[0][:-1] for b in blocks for n in b.utilisation if (m := DEVICE.match(n))}
            label = report.case_label(index, case.id)
            rows += [(label, device, blocks) for device in sorted(devices)]
    if not rows:
        return None

    def each(name: str, what: Callable[[Sequence[float]], float]) -> list[float | None]:
        found = [
            [v for b in blocks for v in window(b, f"{device}_{name}")] for _, device, blocks in rows
        ]
        return [what(values) if values else None for values in found]

    power = [_watts(device, blocks) for _, device, blocks in rows]
    hot = each("throttled_thermal", _mean)
    return from_columns(
        "machine",
        "The server's machine while it was measured",
        [
            text_column("Case", [label for label, _, _ in rows]),
            text_column("Device", [device.upper() for _, device, _ in rows]),
            number_column("Busy, mean", "share", each("share", _mean)),
            text_column("Power, mean (W)", [said for said, _ in power]),
            text_column("Power by", [method for _, method in power]),
            text_column("Hottest (°C)", _whole(each("temperature_c", max))),
            text_column("Slowest clock (MHz)", _whole(each("sm_clock_mhz", min))),
            text_column("Fastest clock (MHz)", _whole(each("sm_clock_mhz", max))),
            number_column("Memory, most", "B", each("memory_bytes", max)),
            number_column("Throttled by heat", "share", hot),
        ],
        note=(
            "Power is of the whole board or package, whoever used it. After ±: one tick of the "
            "counter, or one sample, at each end; the device's own error is not known."
        ),
    )


def _watts(device: str, blocks: Sequence[BlockInfo]) -> tuple[str, str]:
    """Mean power over the windows in which it can be said: text, and by which method."""
    found = [energy_of(b, device) for b in blocks]
    known = [e for e in found if isinstance(e, Energy)]
    if known:
        seconds = sum(e.seconds for e in known)
        watts = sum(e.joules for e in known) / seconds
        error = sum(e.error_j for e in known) / seconds
        return f"{number(watts, 1)} ± {number(error, 1)}", known[0].method
    offered = any(device in power_devices(list(b.utilisation)) for b in blocks)
    return "", f"not measurable: {found[0]}" if offered else ""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _whole(values: Sequence[float | None]) -> list[str]:
    return ["" if v is None else number(v, 0) for v in values]
