"""What the memory allows: the bytes a decoded token must read, against what can be read per second.

A decode step reads the weights once for all sequences that it serves, and the KV cache of each:

    bytes = weights + sequences x KV(context)          share = bytes x steps/s / bandwidth

(S. Williams et al., "Roofline", CACM 2009: decoding is the memory side of it.) A share above 1
cannot be: something was assumed wrong, and no share is given. The roof of computing is measured,
too: reading a prompt does the same operations per token without rereading the weights, so more
sequences at once cannot bring more tokens per second than prefill does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.analysis.capacity.memory import BYTES_PER_ELEMENT, kv_shape
from bench.analysis.run.case_data import CaseData
from bench.analysis.run.machine import CARDS, SIMULATED, window
from bench.analysis.run.summary import Estimate, Metric, Roofline, metric_of
from bench.results.run import RunInfo
from bench.telemetry.gpu_bandwidth import DISAGREE, GB, CardBandwidth, card_bandwidth

FLOP_PER_WEIGHT = 2
GIVEN = "as given by the user"
"""How the source of a bandwidth begins that the machine does not report."""
_CACHE_TYPE = "OLLAMA_KV_CACHE_TYPE"
_MLA = ("kv_lora_rank", "ssm.", "wkv")


@dataclass(frozen=True, slots=True)
class Roof:
    """What the memory that holds the model can give, in bytes per second.

    Attributes:
        spread: relative error of a measured one.
        place: "CPU", "GPU" or "GPU and CPU".
    """

    reachable: float
    peak: float
    spread: float
    source: str
    place: str


def roofline(
    info: RunInfo, data: CaseData, gpu_shares: list[float], metrics: Mapping[str, Metric]
) -> Roofline | str:
    """Decoding of one case against its roof.

    Returns:
        The roofline, whatever its share; or, in words, why there is none.
    """
    if data.target.simulated:
        return SIMULATED
    weights = data.model.weights
    if weights is None:
        return "the server does not tell the tensors of the model"
    rate = metrics["decode_tok_per_s"].value
    if not rate:
        return "no decode speed"
    roof = _roof(info, data, gpu_shares)
    if isinstance(roof, str):
        return roof
    kv, assumed = _kv_bytes(data)
    context = _context(data)
    sequences = sequences_of(data)
    read = weights.bytes_read(sequences) + sequences * (kv or 0.0) * context
    prefill = metrics["prefill_tok_per_s"].value
    flop = FLOP_PER_WEIGHT * weights.active_parameters
    return Roofline(
        family=f"{data.model.family} {data.model.parameter_size}".strip(),
        bytes_per_step=read,
        weight_bytes=weights.bytes_read(sequences),
        kv_bytes_per_token=kv,
        context_tokens=context,
        sequences=sequences,
        step_s=1 / rate,
        bytes_per_s=read * rate,
        reachable_bytes_per_s=roof.reachable,
        peak_bytes_per_s=roof.peak,
        spread=roof.spread,
        place=roof.place,
        source=roof.source,
        flop_per_prompt_token=flop,
        prefill_flop_per_s=prefill * flop if prefill else None,
        assumed=assumed,
    )


def share_metric(found: Roofline | str, rate: Estimate | None) -> Metric:
    """`mem_bw_share` of a case, with the error of the roof in its interval."""
    if isinstance(found, str) or rate is None:
        note = found if isinstance(found, str) else "no decode speed"
        return metric_of("mem_bw_share", 0, note=note)
    if found.share > 1:
        note = f"above what the memory can give ({found.source}): something is assumed wrong"
        return metric_of("mem_bw_share", 0, note=note)
    low, high = (None if end is None else end * found.reading_s for end in (rate.low, rate.high))
    spread = f", and ±{found.spread:.0%} of the bandwidth" if found.spread else ""
    value = replace(
        rate,
        value=found.share,
        low=None if low is None else low * (1 - found.spread),
        high=None if high is None else min(1.0, high * (1 + found.spread)),
        method=rate.method + spread,
    )
    return metric_of("mem_bw_share", 1, {"value": value}, found.source)


def share_values(found: Roofline | str, rates: Mapping[int, float]) -> dict[int, float]:
    """The share of each block, by its decode speed."""
    if isinstance(found, str) or found.share > 1:
        return {}
    return {index: rate * found.reading_s for index, rate in rates.items()}


def sequences_of(data: CaseData) -> float:
    """How many sequences a decode step serves on average: time spent decoding / time decoded in.

    At least 1. The time in which anything is decoded is the union of the requests' decode phases,
    each taken as the last `eval_duration` before the request's end.
    """
    end, took = data.ok.end_ns, data.ok.eval_ns
    known = ~np.isnan(end) & ~np.isnan(took) & (took > 0)
    if not known.any():
        return 1.0
    start, end = (end - took)[known], end[known]
    order = np.argsort(start)
    start, end = start[order], end[order]
    reached = np.maximum.accumulate(end)
    fresh = np.maximum(start, np.concatenate([[-np.inf], reached[:-1]]))
    union = float(np.maximum(end - fresh, 0).sum())
    return max(1.0, float((end - start).sum()) / union) if union > 0 else 1.0


def _context(data: CaseData) -> float:
    """Tokens in the cache on average while a request is decoded."""
    prompt, output = data.ok.prompt_tokens, data.ok.output_tokens
    held = prompt + output / 2
    known = ~np.isnan(held)
    return float(np.average(held[known], weights=output[known])) if known.any() else 0.0


def _kv_bytes(data: CaseData) -> tuple[float | None, tuple[str, ...]]:
    """Bytes of cache that a token of context adds; None, and why, where it is not known."""
    info = data.model.model_info
    shape = kv_shape(info)
    if shape is None or any(part in key for key in info for part in _MLA):
        return None, ("the KV cache is left out: its shape is not known",)
    asked = data.target.settings.get(_CACHE_TYPE, "")
    kind = asked if asked in BYTES_PER_ELEMENT else "f16"
    assumed = [] if asked in BYTES_PER_ELEMENT else ["a KV cache of 16 bits"]
    sliding = info.get(f"{info.get('general.architecture')}.attention.sliding_window")
    if isinstance(sliding, int) and 0 < sliding < _context(data):
        assumed.append("a KV cache read whole, though some layers read a window of it only")
    return shape.bytes_per_token(kind), tuple(assumed)


def _roof(info: RunInfo, data: CaseData, gpu_shares: list[float]) -> Roof | str:
    share = min(gpu_shares) if gpu_shares else None
    cards, given = _cards(info, data), given_bandwidth(info)
    if share is None and given is not None:
        return _as_given(given, None, "memory")
    if share is None and cards:
        return "it is not known how much of the model is on the GPU"
    if not share:
        found = _cpu_roof(info, data)
        return found if given is None else _as_given(given, found, "CPU")
    gpu = _joined(cards)
    if given is not None:
        gpu = _as_given(given, gpu, "GPU" if len(cards) < 2 else f"{len(cards)} GPUs in turn")
    if gpu is None:
        return "the memory bandwidth of this GPU is not known (--bandwidth gives it)"
    if share > 0.995:
        return gpu
    cpu = _cpu_roof(info, data)
    if isinstance(cpu, str):
        return f"a part of the model is on the CPU: {cpu}"
    both = 1 / (share / gpu.reachable + (1 - share) / cpu.reachable)
    peak = 1 / (share / gpu.peak + (1 - share) / cpu.peak)
    source = f"{share:.0%} on the GPU ({gpu.source}), the rest on the CPU ({cpu.source})"
    return Roof(both, peak, cpu.spread, source, "GPU and CPU")


def given_bandwidth(info: RunInfo) -> float | None:
    """Bytes per second that the user gave; None if nothing was given."""
    stated = info.plan.scenario.get("bandwidth")
    return float(stated) * GB if isinstance(stated, int | float) else None


def _as_given(given: float, known: Roof | str | None, place: str) -> Roof:
    """The user's figure, with what speaks against it."""
    source = GIVEN
    if isinstance(known, Roof) and abs(known.reachable / given - 1) > DISAGREE:
        source += f"; {known.source}: {known.reachable / GB:,.0f} GB/s"
    return Roof(given, given, 0.0, source, place)


def _cpu_roof(info: RunInfo, data: CaseData) -> Roof | str:
    if not data.target.same_host:
        return "the memory of another machine cannot be measured from here"
    reported = info.environment.get("memory_bandwidth")
    speeds = [s for s in reported if isinstance(s, dict)] if isinstance(reported, list) else []
    try:
        best = max(speeds, key=lambda s: float(s["bytes_per_s"]))
        rate, spread, threads = (float(best[k]) for k in ("bytes_per_s", "spread", "threads"))
    except (ValueError, KeyError, TypeError):
        return "the memory's bandwidth was not measured"
    source = f"measured with {threads:.0f} {'thread' if threads == 1 else 'threads'}"
    return Roof(rate, rate, min(max(spread, 0.0), 0.5), source, "CPU")


def _cards(info: RunInfo, data: CaseData) -> list[CardBandwidth | None]:
    """The bandwidth of each card that computes; None of one whose is not known."""
    reported = info.environment.get("telemetry")
    sources = reported.get("sources") if isinstance(reported, dict) else None
    found: list[CardBandwidth | None] = []
    busy = {
        name.partition("_")[0]
        for b in data.infos.values()
        for name in b.utilisation
        if name.endswith("_processes") and any(window(b, name))
    }
    for source in sources or ():
        if not isinstance(source, dict) or not str(source.get("device")).startswith(CARDS):
            continue
        device = str(source["device"])
        if not busy or device in busy:
            found.append(_card(source, device, data))
    cpu = info.environment.get("cpu")
    model = str(cpu.get("model")) if isinstance(cpu, dict) else ""
    return found or ([card_bandwidth(model)] if model.startswith("Apple") else [])


def _card(source: dict[str, Any], device: str, data: CaseData) -> CardBandwidth | None:
    facts = source.get("facts")
    facts = facts if isinstance(facts, dict) else {}
    name = f"{device}_memory_clock_mhz"
    clocks = [v for b in data.infos.values() for v in window(b, name)]
    return card_bandwidth(
        str(source.get("product") or ""),
        facts.get("bus_width_bits"),
        facts.get("memory_clock_max_mhz"),
        float(np.median(clocks)) if clocks else None,
    )


def _joined(cards: list[CardBandwidth | None]) -> Roof | None:
    """Cards that hold a part each and work in turn: the harmonic mean of equal parts."""
    known = [c for c in cards if c is not None]
    count = len(known)
    if not known or count < len(cards):
        return None
    reachable, peak = (
        count / sum(1 / c.reachable for c in known),
        count / sum(1 / c.peak for c in known),
    )
    source = "; ".join(dict.fromkeys(c.source for c in known))
    return Roof(reachable, peak, 0.0, source, "GPU" if count < 2 else f"{count} GPUs in turn")
