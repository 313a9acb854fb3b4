"""The metrics of one case, from its data: one entry for every id of `metrics.METRICS`.

Point values of each block are beside them: what comparisons and drift charts are made from. Their
keys are documented at `BlockSummary.values`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bench.analysis.run.case_data import CaseData, unjudged
from bench.analysis.run.columns import (
    Bools,
    Floats,
    Ints,
    Sample,
    many_per_request,
    numbered,
    one_per_request,
)
from bench.analysis.run.evidence import NO_TIME_PER_TOKEN, Shape, left_out, missing, note, shapes
from bench.analysis.run.open_loop import with_memory
from bench.analysis.run.plausibility import DURATIONS
from bench.analysis.run.rates import RateParts
from bench.analysis.run.slots import Slots
from bench.analysis.run.summary import BlockSummary, Estimate, Metric, metric_of
from bench.analysis.run.work_values import block_work, work_values
from bench.metrics import BLOCK_QUANTILE_MIN, METRICS, QUANTILES, RATE_QUANTILES
from bench.stats.means import block_ratio, ratio_of_sums, share
from bench.stats.quantiles import quantile_estimates


def case_metrics(data: CaseData, slots: Slots | None) -> dict[str, Metric]:
    """Every metric of a case; those it has no data for have n = 0 and a note.

    The slots are those of its model on its target, as all cases that share them show.
    """
    found = (
        _times(data)
        | {id: _rate(data, id, parts) for id, parts in data.rates.items()}
        | _window_rates(data)
        | _shares(data)
        | _counts(data)
        | work_values(data)
        | _server(data, slots)
    )
    metrics = {id: found.get(id) or metric_of(id, 0) for id in METRICS}
    return with_memory(metrics, data, slots)


def _times(data: CaseData) -> dict[str, Metric]:
    metrics = {id: _distribution(data, id) for id in data.times}
    gaps = many_per_request(data.gaps.seconds, data.gaps.position_in(data.ok.row), data.ok.block)
    metrics["itl_s"] = _noted(_described("itl_s", gaps), data, "itl_s")
    if data.case.stream:
        return metrics
    why = "not streamed: only the whole reply has a time"
    return {
        id: metric_of(id, 0, note=why) if METRICS[id].streamed else m for id, m in metrics.items()
    }


FIELDS_BEHIND = {
    **{f"{name}_s": (f"{name}_ns",) for name in ("load", "prompt_eval", "eval", "total")},
    **{id: (id,) for id in ("prompt_tokens", "output_tokens")},
    **{"queue_s": DURATIONS, "overhead_s": ("total_ns",)},
}
"""Metric -> what the server must say for it."""
_LATE_FIRST_TEXT = (Shape.ONE_PIECE, Shape.HELD_BACK, Shape.HELD_AT_START)
_NO_GAPS = (*_LATE_FIRST_TEXT, Shape.FEW_BURSTS, Shape.BURSTS)


def _noted(metric: Metric, data: CaseData, id: str) -> Metric:
    """The metric with how many requests lack it, and why."""
    ok = data.ok
    if id == "itl_s":
        reasons = shapes(ok, _NO_GAPS)
        lacking = np.isin(ok.shape, _NO_GAPS)
    elif id == "tpot_s":
        reasons = shapes(ok, NO_TIME_PER_TOKEN)
        reasons += [(why, rows & ok.stream) for why, rows in missing(ok, ("output_tokens",))]
        lacking = np.isnan(data.times[id]) & np.logical_or.reduce([rows for _, rows in reasons])
    elif id in ("ttft_s", "answer_ttft_s"):
        held = np.isin(ok.shape, _LATE_FIRST_TEXT)
        late = int(held.sum())
        text = (
            f"in {late} of {len(ok)} streams the first text came later than it was made: "
            if late
            else ""
        )
        return replace(metric, note=text + note(held, shapes(ok, _LATE_FIRST_TEXT)) or metric.note)
    elif id in FIELDS_BEHIND:
        reasons = missing(ok, FIELDS_BEHIND[id])
        lacking = np.isnan(data.times[id] if id in data.times else getattr(ok, id))
    else:
        return metric
    return replace(metric, note=left_out(lacking, reasons) or metric.note)


def _distribution(data: CaseData, id: str) -> Metric:
    values = data.per_request(id)
    if values is None:
        return metric_of(id, 0)
    sample = one_per_request(values, data.ok.block)
    return _noted(_described(id, sample, data.case.in_sessions), data, id)


def _described(id: str, sample: Sample, patterned: bool = False) -> Metric:
    """Mean, quantiles, smallest and largest."""
    if not len(sample.values):
        return metric_of(id, 0)
    mean = ratio_of_sums(*sample.by_unit(), sample.blocks)
    stats = {"mean": mean, **_quantiles(sample, QUANTILES, patterned)}
    stats["min"] = Estimate(float(sample.values.min()), method="sample")
    stats["max"] = Estimate(float(sample.values.max()), method="sample")
    return metric_of(id, len(sample.values), stats)


def _quantiles(
    sample: Sample, quantiles: Mapping[str, float], patterned: bool
) -> dict[str, Estimate]:
    return quantile_estimates(sample.values, sample.blocks, quantiles, sample.owner, patterned)


def _rate(data: CaseData, id: str, parts: RateParts) -> Metric:
    blocks, given = data.ok.block, np.isfinite(parts.seconds)
    n = int(given.sum())
    if not n:
        return metric_of(id, 0, note=parts.note)
    rate = ratio_of_sums(parts.tokens[given], parts.seconds[given], numbered(blocks[given]))
    sample = one_per_request(parts.per_request, blocks)
    quantiles = _quantiles(sample, RATE_QUANTILES, data.case.in_sessions)
    less = len(given) - n
    note = f"{less} of {len(given)} requests left out: {parts.note}" if less else ""
    return metric_of(id, n, {"value": rate, **quantiles}, note)


def _window_rates(data: CaseData) -> dict[str, Metric]:
    blocks = [data.throughput[i] for i in data.block_order if i in data.throughput]
    if not blocks:
        return {}
    uncounted = np.isnan(data.ok.output_tokens)
    notes = {"output_tok_per_s": left_out(uncounted, missing(data.ok, ("output_tokens",)))}
    if why := unjudged(data):
        notes["goodput_per_s"] = f"at least: {why}"
    spent, found = np.array([b.seconds for b in blocks]), {}
    for id in blocks[0].amounts:
        sums, note = np.array([b.amounts[id] for b in blocks]), notes.get(id, "")
        if id == "goodput_per_s" and not data.requirements:
            continue
        # Tokens: absent if one of the blocks has too many replies that are not counted.
        if id == "output_tok_per_s" and (np.isnan(sums).any() or not sums.any()):
            found[id] = metric_of(id, 0, note=note)
        else:
            found[id] = metric_of(id, len(blocks), {"value": block_ratio(sums, spent)}, note)
    return found


def _shares(data: CaseData) -> dict[str, Metric]:
    judged = data.judged
    metrics = {"error_rate": _share("error_rate", ~judged.ok, judged.block)}
    if data.requirements:
        decided, why = ~data.without, unjudged(data)
        note = f"{why}, and are left out" if why else ""
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
    counts = ("prompt_tokens", "cached_tokens", "output_tokens", "context_tokens")
    metrics = {id: _distribution(data, id) for id in counts}
    with_tokens = ok.stream & (ok.output_tokens > 0)
    if with_tokens.any():
        some = ok.select(with_tokens)
        seen = some.text_chunks.astype(float)
        ratio = ratio_of_sums(seen, some.output_tokens, numbered(some.block))
        metrics["chunk_per_token"] = metric_of("chunk_per_token", len(some), {"value": ratio})
    chars = (ok.answer_chars + ok.thinking_chars).astype(float)
    if chars.any():
        ratio = share(ok.thinking_chars.astype(float), chars, numbered(ok.block))
        metrics["thinking_char_share"] = metric_of("thinking_char_share", len(ok), {"value": ratio})
    return metrics


def _server(data: CaseData, slots: Slots | None) -> dict[str, Metric]:
    metrics = {}
    if shares := data.gpu_shares:
        lowest = {"value": Estimate(min(shares), method="lowest reading")}
        metrics["gpu_share"] = metric_of("gpu_share", len(shares), lowest)
    if slots is not None:
        note = "" if slots.exact else "at least: no more were in flight, or none waited"
        seen = {"value": Estimate(float(slots.observed), method="overlap of working requests")}
        metrics["slots_observed"] = metric_of("slots_observed", slots.requests, seen, note)
    return metrics


def block_summaries(data: CaseData) -> tuple[BlockSummary, ...]:
    """One summary a block that was begun, in the order of the plan."""
    return tuple(_block(data, index) for index in data.block_order)


def _block(data: CaseData, index: int) -> BlockSummary:
    plan, info = data.plan_blocks.get(index), data.infos.get(index)
    ok = data.ok.block == index
    starts = data.columns.start_ns[data.columns.block == index]
    known = starts[~np.isnan(starts)]
    start_ns = float(info.start_ns) if info else float(known.min()) if len(known) else 0.0
    return BlockSummary(
        index=index,
        repetition=plan.repetition if plan else 0,
        start_s=start_ns / 1e9,
        n_ok=int(ok.sum()),
        values=block_work(data, index) | _block_times(data, ok) | _block_rates(data, index, ok),
        pair=plan.pair if plan else None,
        side=plan.side if plan else None,
        position=plan.position if plan else None,
    )


def _block_times(data: CaseData, ok: Bools) -> dict[str, float]:
    samples = {id: times[ok] for id, times in data.times.items()}
    samples["itl_s"] = data.gaps.of_rows(data.ok.row[ok]).seconds
    samples["prompt_tokens"] = data.ok.prompt_tokens[ok]
    samples["output_tokens"] = data.ok.output_tokens[ok]
    if (data.ok.work.session >= 0).any():
        samples["context_tokens"] = data.ok.prompt_tokens[ok]
    values: dict[str, float] = {}
    for id, sample in samples.items():
        if METRICS[id].missing == "never" and not np.isnan(sample).all():
            sample = np.where(np.isnan(sample) & data.ok.stream[ok], np.inf, sample)
        values |= {f"{id}.{stat}": value for stat, value in _statistics(sample).items()}
    return values


def _statistics(sample: Floats) -> dict[str, float]:
    """Those that are finite: what never came takes forever, as in thresholds.

    A comparison would else judge the requests that got an answer, and a side that answers only the
    easy ones would win.
    """
    sample = sample[~np.isnan(sample)]
    if not len(sample):
        return {}
    asked = {q: QUANTILES[q] for q, least in BLOCK_QUANTILE_MIN.items() if len(sample) >= least}
    places = list(asked.values())
    with np.errstate(invalid="ignore"):
        found = np.quantile(sample, places)
    if np.isinf(sample).any():  # right at the last finite value, 0 x infinity is no number
        found = np.where(np.isnan(found), np.quantile(sample, places, method="lower"), found)
    values = {"mean": float(sample.mean())} | dict(zip(asked, found.tolist(), strict=True))
    return {stat: value for stat, value in values.items() if np.isfinite(value)}


def _block_rates(data: CaseData, index: int, ok: Bools) -> dict[str, float]:
    """Ratios of sums over the block's requests, and over its window."""
    values = {}
    for id, parts in data.rates.items():
        if (rate := parts.together(ok)) is not None:
            values[id] = rate
    if (block := data.throughput.get(index)) is not None:
        for id, amount in block.amounts.items():
            if id == "output_tok_per_s" and not amount > 0:
                continue
            if id != "goodput_per_s" or data.requirements:
                values[id] = amount / block.seconds
    failed = ~data.judged.ok[data.judged.block == index]
    return values | ({"error_rate": float(failed.mean())} if len(failed) else {})
