"""The metrics of one case, from its data: one entry for every id of `metrics.METRICS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bench.analysis.run.absence import NO_TIME_PER_TOKEN, left_out, missing, note, shapes
from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Bools, Floats, Ints, numbered
from bench.analysis.run.goodput import left_out as without_value
from bench.analysis.run.open_loop import with_memory
from bench.analysis.run.plausibility import DURATIONS
from bench.analysis.run.rates import RateParts
from bench.analysis.run.sample import Sample, many_per_request, one_per_request
from bench.analysis.run.slots import Slots
from bench.analysis.run.stream_shape import Shape
from bench.analysis.run.summary import Estimate, Metric, metric_of
from bench.analysis.run.work_values import work_values
from bench.metrics import METRICS, QUANTILES, RATE_QUANTILES
from bench.stats.means import block_ratio, ratio_of_sums, share
from bench.stats.quantiles import quantile_estimates


def case_metrics(data: CaseData, slots: Slots | None) -> dict[str, Metric]:
    """Every metric of a case; those it has no data for have n = 0 and a note.

    The slots are those of its model on its target, as all cases that share them show.
    """
    found = (
        _times(data)
        | _token_rates(data)
        | _window_rates(data)
        | _shares(data)
        | _counts(data)
        | _work(data)
        | _server(data, slots)
    )
    metrics = {id: found.get(id) or metric_of(id, 0) for id in METRICS}
    return with_memory(metrics, data, slots)


def _times(data: CaseData) -> dict[str, Metric]:
    metrics = {
        id: _noted(_distribution(id, values, data.ok.block), data, id)
        for id, values in data.times.items()
    }
    gaps = many_per_request(data.gaps.seconds, data.gaps.position_in(data.ok.row), data.ok.block)
    metrics["itl_s"] = _noted(_described("itl_s", gaps), data, "itl_s")
    if data.case.stream:
        return metrics
    why = "not streamed: only the whole reply has a time"
    return {
        id: metric_of(id, 0, note=why) if METRICS[id].streamed else m for id, m in metrics.items()
    }


_FIELDS_BEHIND = {
    "load_s": ("load_ns",),
    "prompt_eval_s": ("prompt_eval_ns",),
    "eval_s": ("eval_ns",),
    "total_s": ("total_ns",),
    "queue_s": DURATIONS,
    "overhead_s": ("total_ns",),
    "prompt_tokens": ("prompt_tokens",),
    "output_tokens": ("output_tokens",),
}
_LATE_FIRST_TEXT = (Shape.ONE_PIECE, Shape.HELD_BACK, Shape.HELD_AT_START)
_NO_GAPS = (*_LATE_FIRST_TEXT, Shape.FEW_BURSTS, Shape.BURSTS)


def _noted(metric: Metric, data: CaseData, id: str) -> Metric:
    """The metric with how many requests lack it, and why."""
    ok = data.ok
    if id in ("tpot_s", "itl_s"):
        reasons = shapes(ok, NO_TIME_PER_TOKEN if id == "tpot_s" else _NO_GAPS)
        if id == "tpot_s":
            reasons += [(why, rows & ok.stream) for why, rows in missing(ok, ("output_tokens",))]
        lacking = np.logical_or.reduce([rows for _, rows in reasons])
        if id == "tpot_s":
            lacking &= np.isnan(data.times[id])
    elif id in ("ttft_s", "answer_ttft_s"):
        held = np.isin(ok.shape, _LATE_FIRST_TEXT)
        late = int(held.sum())
        text = f"of {late} of {len(ok)} streams this is when they were let go: " if late else ""
        return replace(metric, note=text + note(held, shapes(ok, _LATE_FIRST_TEXT)) or metric.note)
    elif id in _FIELDS_BEHIND:
        reasons = missing(ok, _FIELDS_BEHIND[id])
        lacking = np.isnan(data.times[id] if id in data.times else getattr(ok, id))
    else:
        return metric
    return replace(metric, note=left_out(lacking, reasons) or metric.note)


def _distribution(id: str, values: Floats, blocks: Ints) -> Metric:
    return _described(id, one_per_request(values, blocks))


def _described(id: str, sample: Sample) -> Metric:
    """Mean, quantiles, smallest and largest."""
    if not len(sample.values):
        return metric_of(id, 0)
    mean = ratio_of_sums(sample.by_unit(sample.values), sample.sizes, sample.blocks)
    stats = {"mean": mean} | _quantiles(sample, QUANTILES)
    stats["min"] = Estimate(float(sample.values.min()), method="sample")
    stats["max"] = Estimate(float(sample.values.max()), method="sample")
    return metric_of(id, len(sample.values), stats)


def _quantiles(sample: Sample, quantiles: Mapping[str, float]) -> dict[str, Estimate]:
    return quantile_estimates(sample.values, sample.blocks, quantiles, sample.owner)


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
        return metric_of(id, 0, note=parts.note)
    stats = {
        "value": ratio_of_sums(parts.tokens[given], parts.seconds[given], numbered(blocks[given]))
    }
    stats |= _quantiles(one_per_request(parts.per_request, blocks), RATE_QUANTILES)
    left_out = len(given) - n
    note = f"{left_out} of {len(given)} requests left out: {parts.note}" if left_out else ""
    return metric_of(id, n, stats, note)


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
    unjudged = without_value(data.without, data.requirements)
    notes = {"goodput_per_s": f"at least: {unjudged}" if unjudged else ""}
    found = {
        id: metric_of(
            id, len(blocks), {"value": block_ratio(np.array(sums), spent)}, notes.get(id, "")
        )
        for id, sums in totals.items()
        if id != "output_tok_per_s"
    }
    return found | {
        "output_tok_per_s": _throughput(data, np.array(totals["output_tok_per_s"]), spent)
    }


def _throughput(data: CaseData, tokens: Floats, spent: Floats) -> Metric:
    """Of the blocks whose replies are counted; absent if one of them has too many that are not."""
    uncounted = np.isnan(data.ok.output_tokens)
    why = left_out(uncounted, missing(data.ok, ("output_tokens",)))
    if np.isnan(tokens).any() or not tokens.any():
        return metric_of("output_tok_per_s", 0, note=why)
    stats = {"value": block_ratio(tokens, spent)}
    return metric_of("output_tok_per_s", len(tokens), stats, why)


def _shares(data: CaseData) -> dict[str, Metric]:
    judged = data.judged
    metrics = {"error_rate": _share("error_rate", ~judged.ok, judged.block)}
    if data.requirements:
        decided = ~data.without
        unjudged = without_value(data.without, data.requirements)
        note = f"{unjudged}, and are left out" if unjudged else ""
        metrics["goodput_share"] = _share(
            "goodput_share", data.good[decided], judged.block[decided], note
        )
    limited = ~np.isnan(data.ok.num_predict) & ~np.isnan(data.ok.output_tokens)
    if limited.any():
        some = data.ok.select(limited)
        early = (some.done_reason == "stop") & (some.output_tokens < some.num_predict)
        metrics["early_stop_share"] = _share("early_stop_share", early, some.block)
    return metrics


def _share(id: str, hits: Bools, blocks: Ints, note: str = "") -> Metric:
    if not len(hits):
        return metric_of(id, 0, note=note)
    estimate = share(hits.astype(float), np.ones(len(hits)), numbered(blocks))
    return metric_of(id, len(hits), {"value": estimate}, note)


def _counts(data: CaseData) -> dict[str, Metric]:
    ok = data.ok
    metrics = {
        id: _noted(_distribution(id, getattr(ok, id), ok.block), data, id)
        for id in ("prompt_tokens", "cached_tokens", "output_tokens")
    }
    with_tokens = ok.stream & (ok.output_tokens > 0)
    if with_tokens.any():
        some = ok.select(with_tokens)
        ratio = ratio_of_sums(
            some.text_chunks.astype(float), some.output_tokens, numbered(some.block)
        )
        metrics["chunk_per_token"] = metric_of("chunk_per_token", len(some), {"value": ratio})
    chars = (ok.answer_chars + ok.thinking_chars).astype(float)
    if chars.any():
        ratio = share(ok.thinking_chars.astype(float), chars, numbered(ok.block))
        metrics["thinking_char_share"] = metric_of("thinking_char_share", len(ok), {"value": ratio})
    return metrics


def _work(data: CaseData) -> dict[str, Metric]:
    """Of sessions, embeddings, pictures and checked answers."""
    found = {
        id: metric_of(id, parts.n, {"value": parts.estimate}, parts.note)
        for id, parts in work_values(data).items()
    }
    context = np.where(data.ok.work.session >= 0, data.ok.prompt_tokens, np.nan)
    return found | {"context_tokens": _distribution("context_tokens", context, data.ok.block)}


def _server(data: CaseData, slots: Slots | None) -> dict[str, Metric]:
    metrics = {}
    shares = gpu_shares(data)
    if shares:
        lowest = {"value": Estimate(min(shares), method="lowest reading")}
        metrics["gpu_share"] = metric_of("gpu_share", len(shares), lowest)
    if slots is not None:
        note = "" if slots.exact else "at least: no more were in flight, or none waited"
        seen = {"value": Estimate(float(slots.observed), method="overlap of working requests")}
        metrics["slots_observed"] = metric_of("slots_observed", slots.requests, seen, note)
    return metrics


def gpu_shares(data: CaseData) -> list[float]:
    """Every reading of size_vram / size around the case's blocks."""
    readings = (r for i in data.infos.values() for r in (i.before, i.after))
    return [r.gpu_share for r in readings if r is not None and r.gpu_share is not None]
