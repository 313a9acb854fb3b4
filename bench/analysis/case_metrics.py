"""The metrics of one case, from its data: one entry for every id of `metrics.METRICS`."""

from __future__ import annotations

import numpy as np

from bench.analysis.case_data import CaseData
from bench.analysis.columns import Bools, Floats, Ints, numbered, size_by, total_by
from bench.analysis.mean_ci import block_ratio, mean, ratio_of_sums, share
from bench.analysis.metrics import LATENCIES, METRICS, QUANTILES, RATE_QUANTILES
from bench.analysis.quantile_ci import quantile_estimates
from bench.analysis.rates import RateParts
from bench.analysis.sample import Sample, many_per_request, one_per_request
from bench.analysis.slots import Slots
from bench.analysis.summary import Estimate, Metric

_ABSENT = {
    "ttft_s": "no streamed reply with text",
    "answer_ttft_s": "no streamed reply with answer text",
    "itl_s": "no streamed reply with two chunks of text",
    "tpot_s": "no streamed reply of two tokens or more",
    "send_delay_s": "a closed loop has no planned times",
    "goodput_per_s": "no threshold on a per-request metric",
    "goodput_share": "no threshold on a per-request metric",
    "gpu_share": "the server did not say",
    "slots_observed": "no request tells",
    "cached_tokens": "this server does not say how many prompt tokens came from its cache",
}


def case_metrics(data: CaseData, slots: Slots | None) -> dict[str, Metric]:
    """Every metric of a case; those it has no data for have n = 0 and a note.

    Args:
        data: of the case.
        slots: of its model on its target, as all cases that share them show.
    """
    found = (
        _times(data)
        | _token_rates(data)
        | _window_rates(data)
        | _shares(data)
        | _counts(data)
        | _server(data, slots)
    )
    return {id: found.get(id) or _metric(id, 0) for id in METRICS}


def _metric(id: str, n: int, stats: dict[str, Estimate] | None = None, note: str = "") -> Metric:
    kind = METRICS[id]
    note = note or ("" if n else _ABSENT.get(id, "no samples"))
    return Metric(id, kind.unit, n, stats or {}, note, kind.better)


def _times(data: CaseData) -> dict[str, Metric]:
    metrics = {
        id: _distribution(id, data.times[id], data.ok.block) for id in LATENCIES if id != "itl_s"
    }
    gaps = many_per_request(data.gaps.seconds, data.gaps.position_in(data.ok.row), data.ok.block)
    metrics["itl_s"] = _described("itl_s", gaps)
    streamed = data.case.stream
    for id in ("ttft_s", "answer_ttft_s", "itl_s", "tpot_s"):
        if not streamed:
            metrics[id] = _metric(id, 0, note="not streamed: only the whole reply has a time")
    return metrics


def _distribution(id: str, values: Floats, blocks: Ints) -> Metric:
    return _described(id, one_per_request(values, blocks))


def _described(id: str, sample: Sample) -> Metric:
    """Mean, quantiles, smallest and largest."""
    if not len(sample.values):
        return _metric(id, 0)
    stats = {"mean": mean(sample)} | quantile_estimates(sample, QUANTILES)
    stats["min"] = Estimate(float(sample.values.min()), method="sample")
    stats["max"] = Estimate(float(sample.values.max()), method="sample")
    return _metric(id, len(sample.values), stats)


def _token_rates(data: CaseData) -> dict[str, Metric]:
    return {
        "decode_tok_per_s": _rate("decode_tok_per_s", data.decode, data.ok.block),
        "ollama_tok_per_s": _rate("ollama_tok_per_s", data.ollama_decode, data.ok.block),
        "prefill_tok_per_s": _rate("prefill_tok_per_s", data.prefill, data.ok.block),
    }


def _rate(id: str, parts: RateParts, blocks: Ints) -> Metric:
    given = np.isfinite(parts.seconds)
    n = int(given.sum())
    if not n:
        return _metric(id, 0, note=parts.note)
    stats = {"value": ratio_of_sums(parts.tokens[given], parts.seconds[given], blocks[given])}
    stats |= quantile_estimates(one_per_request(parts.per_request, blocks), RATE_QUANTILES)
    left_out = len(given) - n
    note = f"{left_out} of {len(given)} requests left out: {parts.note}" if left_out else ""
    return _metric(id, n, stats, note)


def _window_rates(data: CaseData) -> dict[str, Metric]:
    blocks = [data.throughput[i] for i in data.block_order if i in data.throughput]
    if not blocks:
        return {}
    spent = np.array([b.seconds for b in blocks])
    totals = {
        "output_tok_per_s": [b.output_tokens for b in blocks],
        "request_per_s": [b.requests for b in blocks],
        "in_flight": [b.in_flight_s for b in blocks],
    }
    if data.requirements:
        totals["goodput_per_s"] = [b.good for b in blocks]
    if not (data.ok.output_tokens > 0).any():
        del totals["output_tok_per_s"]
    return {
        id: _metric(id, len(blocks), {"value": block_ratio(np.array(sums), spent)})
        for id, sums in totals.items()
    }


def _shares(data: CaseData) -> dict[str, Metric]:
    judged = data.judged
    metrics = {"error_rate": _share("error_rate", ~judged.ok, judged.block)}
    if data.requirements:
        metrics["goodput_share"] = _share("goodput_share", data.good, judged.block)
    limited = ~np.isnan(data.ok.num_predict) & ~np.isnan(data.ok.output_tokens)
    if limited.any():
        some = data.ok.select(limited)
        early = (some.done_reason == "stop") & (some.output_tokens < some.num_predict)
        metrics["early_stop_share"] = _share("early_stop_share", early, some.block)
    return metrics


def _share(id: str, hits: Bools, blocks: Ints) -> Metric:
    if not len(hits):
        return _metric(id, 0)
    number = numbered(blocks)
    counts = total_by(number, hits).astype(np.int64)
    return _metric(id, len(hits), {"value": share(counts, size_by(number))})


def _counts(data: CaseData) -> dict[str, Metric]:
    ok = data.ok
    metrics = {
        "prompt_tokens": _distribution("prompt_tokens", ok.prompt_tokens, ok.block),
        "cached_tokens": _distribution("cached_tokens", ok.cached_tokens, ok.block),
        "output_tokens": _distribution("output_tokens", ok.output_tokens, ok.block),
    }
    with_tokens = ok.stream & (ok.output_tokens > 0)
    if with_tokens.any():
        some = ok.select(with_tokens)
        ratio = ratio_of_sums(some.text_chunks.astype(float), some.output_tokens, some.block)
        metrics["chunk_per_token"] = _metric("chunk_per_token", len(some), {"value": ratio})
    chars = (ok.answer_chars + ok.thinking_chars).astype(float)
    if chars.any():
        ratio = ratio_of_sums(ok.thinking_chars.astype(float), chars, ok.block)
        metrics["thinking_char_share"] = _metric("thinking_char_share", len(ok), {"value": ratio})
    return metrics


def _server(data: CaseData, slots: Slots | None) -> dict[str, Metric]:
    metrics = {}
    shares = gpu_shares(data)
    if shares:
        lowest = {"value": Estimate(min(shares), method="lowest reading")}
        metrics["gpu_share"] = _metric("gpu_share", len(shares), lowest)
    if slots is not None:
        note = "" if slots.exact else "at least: requests hardly had to wait"
        seen = {"value": Estimate(float(slots.observed), method="overlap of working requests")}
        metrics["slots_observed"] = _metric("slots_observed", slots.requests, seen, note)
    return metrics


def gpu_shares(data: CaseData) -> list[float]:
    """Every reading of size_vram / size around the case's blocks."""
    readings = (r for i in data.infos.values() for r in (i.before, i.after))
    return [r.gpu_share for r in readings if r is not None and r.gpu_share is not None]
