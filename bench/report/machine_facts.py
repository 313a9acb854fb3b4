"""The machines of a run in a few words, for the head of a page: processor, GPU, memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.report.units import show_value
from bench.results.run import RunInfo
from bench.telemetry.energy import DEVICE

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
