"""Point values of each block: what comparisons and drift charts are made from.

The keys of `BlockSummary.values` are documented there.
"""

from __future__ import annotations

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Bools, Floats
from bench.analysis.run.rates import RateParts
from bench.analysis.run.summary import BlockSummary
from bench.analysis.run.work_values import block_work
from bench.metrics import BLOCK_QUANTILE_MIN, METRICS, QUANTILES


def block_summaries(data: CaseData) -> tuple[BlockSummary, ...]:
    """One summary a block that was begun, in the order of the plan."""
    return tuple(_block(data, index) for index in data.block_order)


def _block(data: CaseData, index: int) -> BlockSummary:
    plan = data.plan_blocks.get(index)
    info = data.infos.get(index)
    ok = data.ok.block == index
    values = (
        block_work(data, index)
        | _times(data, ok)
        | _rates(data, ok)
        | _window(data, index)
        | _error_rate(data, index)
    )
    starts = data.columns.start_ns[data.columns.block == index]
    known = starts[~np.isnan(starts)]
    start_ns = float(info.start_ns) if info else float(known.min()) if len(known) else 0.0
    return BlockSummary(
        index=index,
        repetition=plan.repetition if plan else 0,
        start_s=start_ns / 1e9,
        n_ok=int(ok.sum()),
        values=values,
        pair=plan.pair if plan else None,
        side=plan.side if plan else None,
        position=plan.position if plan else None,
    )


def _times(data: CaseData, ok: Bools) -> dict[str, float]:
    rows = data.ok.row[ok]
    samples = {id: times[ok] for id, times in data.times.items()}
    samples["itl_s"] = data.gaps.of_rows(rows).seconds
    samples["prompt_tokens"] = data.ok.prompt_tokens[ok]
    samples["output_tokens"] = data.ok.output_tokens[ok]
    if (data.ok.work.session >= 0).any():
        samples["context_tokens"] = data.ok.prompt_tokens[ok]
    values: dict[str, float] = {}
    for id, sample in samples.items():
        never = METRICS[id].missing == "never" and not np.isnan(sample).all()
        counted = (
            np.where(np.isnan(sample) & data.ok.stream[ok], np.inf, sample) if never else sample
        )
        values |= {f"{id}.{stat}": value for stat, value in _statistics(counted).items()}
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


def _rates(data: CaseData, ok: Bools) -> dict[str, float]:
    parts = {
        "decode_tok_per_s": data.decode,
        "ollama_tok_per_s": data.ollama_decode,
        "prefill_tok_per_s": data.prefill,
    }
    found = {id: _ratio(part, ok) for id, part in parts.items()}
    return {id: value for id, value in found.items() if value is not None}


def _ratio(parts: RateParts, ok: Bools) -> float | None:
    tokens, spent = np.nansum(parts.tokens[ok]), np.nansum(parts.seconds[ok])
    return float(tokens / spent) if spent > 0 else None


def _window(data: CaseData, index: int) -> dict[str, float]:
    block = data.throughput.get(index)
    if block is None:
        return {}
    values = {
        "request_per_s": block.requests / block.seconds,
        "in_flight": block.in_flight_s / block.seconds,
    }
    if block.output_tokens > 0:
        values["output_tok_per_s"] = block.output_tokens / block.seconds
    if data.requirements:
        values["goodput_per_s"] = block.good / block.seconds
    return values


def _error_rate(data: CaseData, index: int) -> dict[str, float]:
    failed = ~data.judged.ok[data.judged.block == index]
    return {"error_rate": float(failed.mean())} if len(failed) else {}
