"""What is known of the machines of a run: facts for the head of a page, and tables of telemetry."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from bench.analysis.run.machine import energy_of, window
from bench.report.model import Report, RunView
from bench.report.tables import Table, from_columns, number_column, text_column
from bench.report.units import number, show_value
from bench.results.run import BlockInfo, RunInfo
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
    heads = ("Source", "Reads", "How exact", "Not seen")
    columns = [text_column(head, [row[i] for row in rows]) for i, head in enumerate(heads)]
    cost, of = recorded.get("cost_of_a_core"), f", {view.label}" if view.label else ""
    note = ""
    if isinstance(cost, float):
        note = f"Reading it took {number(100 * cost, 2)}% of one core of the client."
    caption = f"Telemetry of the server's machine{of}"
    return from_columns(f"watched-{number_}", caption, columns, note=note, folded=True)


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
        found = ([v for b in of for v in window(b, f"{device}_{name}")] for _, device, of in rows)
        return [what(values) if values else None for values in found]

    power = [_watts(device, blocks) for _, device, blocks in rows]
    columns = [
        text_column("Case", [label for label, _, _ in rows]),
        text_column("Device", [device.upper() for _, device, _ in rows]),
        number_column("Busy, mean", "share", each("share", fmean)),
        text_column("Power, mean (W)", [said for said, _ in power]),
        text_column("Power by", [method for _, method in power]),
        text_column("Hottest (°C)", _whole(each("temperature_c", max))),
        text_column("Slowest clock (MHz)", _whole(each("sm_clock_mhz", min))),
        text_column("Fastest clock (MHz)", _whole(each("sm_clock_mhz", max))),
        number_column("Memory, most", "B", each("memory_bytes", max)),
        number_column("Throttled by heat", "share", each("throttled_thermal", fmean)),
    ]
    note = (
        "Power is of the whole board or package, whoever used it. After ±: one tick of the "
        "counter, or one sample, at each end; the device's own error is not known."
    )
    caption = "The server's machine while it was measured"
    return from_columns("machine", caption, columns, note=note)


def _watts(device: str, blocks: Sequence[BlockInfo]) -> tuple[str, str]:
    """Mean power over the windows in which it can be said: text, and by which method."""
    found = [energy_of(b, device) for b in blocks]
    known = [e for e in found if isinstance(e, Energy)]
    if known:
        seconds, energies = sum(e.seconds for e in known), [(e.joules, e.error_j) for e in known]
        watts, error = (sum(j) / seconds for j in zip(*energies, strict=True))
        return f"{number(watts, 1)} ± {number(error, 1)}", known[0].method
    offered = any(device in power_devices(list(b.utilisation)) for b in blocks)
    return "", f"not measurable: {found[0]}" if offered else ""


def _whole(values: Sequence[float | None]) -> list[str]:
    return ["" if v is None else number(v, 0) for v in values]


_NOT_SEEN = "not seen (another machine)"
_MIB = 2.0**20


def machine_facts(infos: Sequence[RunInfo]) -> list[tuple[str, str]]:
    """(name, value) pairs; the value is "" where nothing is known.

    GPU and memory are the server's: of a server on another machine they are what its telemetry
    says, else "not seen"; of simulated servers alone there are none.
    """
    real = [i for i in infos if not all(t.simulated for t in i.targets)]
    return [
        ("Client", _joined(_processor(i.environment) for i in infos)),
        ("GPU", _joined(g for i in real for g in _of_servers(i, _gpus, _seen_gpus))),
        ("Memory", _joined(m for i in real for m in _of_servers(i, _memory, _seen_memory))),
    ]


def _joined(texts: Iterator[str]) -> str:
    return ", ".join(dict.fromkeys(t for t in texts if t))


def _of_servers(info: RunInfo, local: Any, remote: Any) -> Iterator[str]:
    """What is known of the machine of each server that is no simulation."""
    for target in info.targets:
        if target.simulated:
            continue
        yield local(info.environment) if target.same_host else remote(info.environment) or _NOT_SEEN


def _processor(environment: dict[str, Any]) -> str:
    cpu = environment.get("cpu")
    return str(cpu.get("model") or "") if isinstance(cpu, dict) else ""


def _gpus(environment: dict[str, Any]) -> str:
    gpus = environment.get("gpus")
    if not isinstance(gpus, list | tuple):
        return ""
    return ", ".join(_gpu(g) for g in gpus if isinstance(g, dict)) or "none seen"


def _gpu(gpu: dict[str, Any]) -> str:
    name, mib = str(gpu.get("name") or "unknown"), str(gpu.get("memory_mib") or "")
    try:
        return f"{name}, {show_value(float(mib) * _MIB, 'B').number}"
    except ValueError:
        return name


def _memory(environment: dict[str, Any]) -> str:
    total = environment.get("memory_bytes")
    return show_value(float(total), "B").number if isinstance(total, int | float) else ""


def _seen_gpus(environment: dict[str, Any]) -> str:
    """Kinds of devices that telemetry of another machine reads."""
    reads = [str(r) for s in _sources(environment) for r in s.get("reads") or ()]
    seen = dict.fromkeys(m[0][:-1] for r in reads if (m := DEVICE.match(r)))
    return ", ".join(name.upper() for name in seen if not name.startswith("cpu"))


def _seen_memory(environment: dict[str, Any]) -> str:
    """Telemetry tells how much is used, not how much there is."""
    reads = {str(r) for s in _sources(environment) for r in s.get("reads") or ()}
    return "watched: see the machine's table" if "memory_used_bytes" in reads else ""


def _sources(environment: dict[str, Any]) -> list[dict[str, Any]]:
    recorded = environment.get("telemetry")
    sources = recorded.get("sources") if isinstance(recorded, dict) else ()
    return [s for s in sources or () if isinstance(s, dict)]
