"""A Prometheus exporter on the server's machine: DCGM, node_exporter, vLLM, llama.cpp.

Scraping does not make an exporter ask the hardware: between its own readings it repeats what it
knows (dcgm-exporter: 30 s by default). A scrape that brings nothing new is therefore no sample.
Clocks are the client's: a sample is of the moment at which it came. The text is read by the parser
of `prometheus-client` (extra `telemetry`).
"""

from __future__ import annotations

import base64
import importlib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from bench.hidden import scrub
from bench.telemetry.source import Description, Source, UnreadableError, is_blank

TIMEOUT_S = 1.5
_MOST_BYTES = 8 * 2**20
_INSTALL = "needs prometheus-client: pip install 'ollama-bench[telemetry]'"
_MIB = 2.0**20

# Name of a sample -> series of the card it is labelled with, and factor.
_CARD_GAUGES = {
    "DCGM_FI_DEV_POWER_USAGE": ("power_w", 1.0),
    "DCGM_FI_DEV_GPU_UTIL": ("share", 0.01),
    "DCGM_FI_DEV_GPU_TEMP": ("temperature_c", 1.0),
    "DCGM_FI_DEV_SM_CLOCK": ("sm_clock_mhz", 1.0),
    "DCGM_FI_DEV_MEM_CLOCK": ("memory_clock_mhz", 1.0),
    "DCGM_FI_DEV_FB_USED": ("memory_bytes", _MIB),
    "nvidia_smi_power_draw_watts": ("power_w", 1.0),
    "nvidia_smi_utilization_gpu_ratio": ("share", 1.0),
    "nvidia_smi_temperature_gpu": ("temperature_c", 1.0),
    "nvidia_smi_clocks_current_sm_clock_hz": ("sm_clock_mhz", 1e-6),
    "nvidia_smi_memory_used_bytes": ("memory_bytes", 1.0),
}
_CARD_COUNTERS = {"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": 1e-3}
_GAUGES = {
    "vllm:num_requests_running": ("requests_running", 1.0),
    "vllm:num_requests_waiting": ("requests_waiting", 1.0),
    "vllm:gpu_cache_usage_perc": ("kv_cache_share", 1.0),
    "vllm:kv_cache_usage_perc": ("kv_cache_share", 1.0),
    "llamacpp:requests_processing": ("requests_running", 1.0),
    "llamacpp:requests_deferred": ("requests_waiting", 1.0),
    "llamacpp:kv_cache_usage_ratio": ("kv_cache_share", 1.0),
}
_RAPL = "node_rapl_package_joules"

Sample = tuple[str, Mapping[str, str], float]
"""Name without `_total`, which the parser gives to every counter; labels; value."""


class Exporter(Source):
    """What one URL exports, read once a second."""

    def __init__(self, url: str, fetch: Callable[[str], str] | None = None) -> None:
        self._url = url
        self._fetch = fetch or fetched
        self._parse = parser()
        self._cards: dict[str, str] = {}
        self._last: dict[str, float] = {}
        self._cpu: tuple[float, float] | None = None
        first = self._scrape()
        if not first:
            raise UnreadableError("it exports none of the metrics known here")
        self.description = Description(
            scrub(url),
            "Prometheus exporter",
            tuple(sorted(first)),
            exactness="as often as the exporter itself reads; repeats are left out",
        )

    def gauges(self) -> Mapping[str, float]:
        """What is new since the last scrape; counters of energy are among it, in joules.

        Raises:
            UnreadableError: the exporter does not answer.
        """
        values = self._scrape()
        fresh = {
            group: any(self._last.get(n) != v for n, v in values.items() if _group(n) == group)
            for group in {_group(n) for n in values}
        }
        self._last = values
        return {n: v for n, v in values.items() if fresh[_group(n)]}

    def _scrape(self) -> dict[str, float]:
        found: dict[str, float] = {}
        memory: dict[str, float] = {}
        cpu = {"idle": 0.0, "all": 0.0}
        for name, labels, value in self._samples():
            if is_blank(value) or value != value:
                continue
            if name in _CARD_GAUGES:
                series, factor = _CARD_GAUGES[name]
                found[f"{self._card(labels)}_{series}"] = value * factor
            elif name in _CARD_COUNTERS:
                found[f"{self._card(labels)}_energy_j"] = value * _CARD_COUNTERS[name]
            elif name in _GAUGES:
                series, factor = _GAUGES[name]
                found[series] = found.get(series, 0.0) + value * factor
            elif name == _RAPL:
                found[f"cpu{labels.get('index', '0')}_energy_j"] = value
            elif name == "node_cpu_seconds":
                cpu["all"] += value
                cpu["idle"] += value if labels.get("mode") in ("idle", "iowait") else 0.0
            elif name.startswith("node_memory_") or name == "node_vmstat_pswpin":
                memory[name] = value
        found |= _memory(memory)
        if cpu["all"]:
            found |= self._busy(cpu["idle"], cpu["all"])
        return found

    def _busy(self, idle_s: float, all_s: float) -> dict[str, float]:
        """Share of the CPU in use since the last scrape that had news."""
        before, self._cpu = self._cpu, (idle_s, all_s)
        if before is None or all_s <= before[1]:
            return {}
        busy = 1 - (idle_s - before[0]) / (all_s - before[1])
        return {"cpu_share": min(1.0, max(0.0, busy))}

    def _card(self, labels: Mapping[str, str]) -> str:
        """The device of a labelled sample: one row for each physical card, slices joined to it."""
        key = labels.get("UUID") or labels.get("uuid") or labels.get("gpu", "0")
        if key not in self._cards:
            number = labels.get("gpu", "")
            taken = set(self._cards.values())
            device = f"gpu{number}" if number.isdecimal() else f"gpu{len(self._cards)}"
            self._cards[key] = device if device not in taken else f"gpu{len(self._cards)}"
        return self._cards[key]

    def _samples(self) -> Iterator[Sample]:
        try:
            for family in self._parse(self._fetch(self._url)):
                for sample in family.samples:
                    yield sample.name.removesuffix("_total"), sample.labels, float(sample.value)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UnreadableError(f"its answer is not what Prometheus reads: {error}") from None


def _group(name: str) -> str:
    """What an exporter reads at once: a card, or the machine."""
    return name.partition("_")[0] if name.startswith("gpu") else "machine"


def _memory(gauges: Mapping[str, float]) -> dict[str, float]:
    found = {}
    total, free = (gauges.get(f"node_memory_{n}_bytes") for n in ("MemTotal", "MemAvailable"))
    if total is not None and free is not None:
        found["memory_used_bytes"] = total - free
    total, free = (gauges.get(f"node_memory_{n}_bytes") for n in ("SwapTotal", "SwapFree"))
    if total is not None and free is not None:
        found["swap_used_bytes"] = total - free
    if (pages := gauges.get("node_vmstat_pswpin")) is not None:
        found["swapped_in_bytes"] = pages * 4096
    return found


def parser() -> Callable[[str], Any]:
    """The parser of `prometheus-client`.

    Raises:
        UnreadableError: it is not installed.
    """
    try:
        module = importlib.import_module("prometheus_client.parser")
    except ImportError:
        raise UnreadableError(_INSTALL) from None
    found: Callable[[str], Any] = module.text_string_to_metric_families
    return found


def fetched(url: str) -> str:
    """The text behind a URL, whose credentials are sent as such.

    Raises:
        UnreadableError: it cannot be had in time, or is too long.
    """
    parts = urlsplit(url)
    request = urllib.request.Request(
        parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(),
        headers={"Accept": "text/plain;version=0.0.4"},
    )
    if parts.username:
        said = unquote_to_bytes(f"{parts.username}:{parts.password or ''}")
        request.add_header("Authorization", f"Basic {base64.b64encode(said).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            body = reply.read(_MOST_BYTES + 1)
    except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
        raise UnreadableError(f"{scrub(url)}: {getattr(error, 'reason', error)}") from None
    if len(body) > _MOST_BYTES:
        raise UnreadableError(f"{scrub(url)}: its answer is longer than 8 MiB")
    return str(body.decode(errors="replace"))
