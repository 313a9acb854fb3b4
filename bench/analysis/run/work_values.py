"""What sessions, embeddings, pictures and checked answers come to, per case and per block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.analysis.run.columns import Bools, Columns, Floats, numbered
from bench.analysis.run.suspected_cache import suspected_cached
from bench.analysis.run.swaps import loads_of
from bench.analysis.run.windows import window_of
from bench.metrics import MIN_OUTPUT_TOKENS
from bench.results.record import CHECKS
from bench.stats.estimate import Estimate
from bench.stats.means import block_ratio, share
from bench.stats.paired import paired_effect

if TYPE_CHECKING:
    from bench.analysis.run.case_data import CaseData

_GIB = 2**30
_VALID = {name: f"{name}_valid_rate" for name in CHECKS}


@dataclass(frozen=True, slots=True)
class WorkValue:
    """One number of a case.

    Attributes:
        n: how many requests, blocks, ... it rests on.
    """

    n: int
    estimate: Estimate
    note: str = ""


Parts = tuple[Floats, Floats]
"""Numerators and denominators, one a row; NaN in both where a row has none."""


def work_values(data: CaseData) -> dict[str, WorkValue]:
    """Every such metric that the case has data for."""
    found: dict[str, WorkValue] = {}
    for id, (top, bottom) in shares_of(data).items():
        given = ~np.isnan(top) & ~np.isnan(bottom)
        if given.any():
            numbers = numbered(data.ok.block[given])
            n = int(given.sum())
            note = "" if n == len(given) or id in _SOME else f"{len(given) - n} requests left out"
            found[id] = WorkValue(n, share(top[given], bottom[given], numbers), note)
    blocks = [i for i in data.block_order if i in data.throughput]
    for id, counted in _windows(data).items():
        totals = np.array([counted(i) for i in blocks])
        spent = np.array([_unit_s(id, data, i) for i in blocks])
        if len(blocks) and not np.isnan(totals).any():
            found[id] = WorkValue(len(blocks), block_ratio(totals, spent))
    return found | _pictures(data) | _constraint(data) | _loads(data) | _memory(data)


_SOME = ("eligible_cached_share", "suspected_cached_share", *_VALID.values())
"""Shares that only some requests have, by their nature."""


def block_work(data: CaseData, index: int) -> dict[str, float]:
    """The values of one block."""
    rows = data.ok.block == index
    values = {}
    for id, (top, bottom) in shares_of(data).items():
        given = rows & ~np.isnan(top) & ~np.isnan(bottom)
        whole = float(bottom[given].sum())
        if whole > 0:
            values[id] = float(top[given].sum()) / whole
    if index in data.throughput:
        for id, counted in _windows(data).items():
            total = counted(index)
            if not np.isnan(total):
                values[id] = total / _unit_s(id, data, index)
    return values


def shares_of(data: CaseData) -> dict[str, Parts]:
    """Metric id -> parts and wholes, one a row of `data.ok`."""
    ok, cached = data.ok, data.ok.cached_tokens
    found = {"cached_share": (cached, ok.prompt_tokens)}
    if not data.era.prompt_count_has_cached:
        found = {}
    elif (ok.work.session >= 0).any():
        eligible = _eligible(data.columns)[np.isin(data.columns.row, ok.row)]
        found["eligible_cached_share"] = (np.minimum(cached, eligible), eligible)
        found["suspected_cached_share"] = (suspected_cached(data, eligible), eligible)
    for place, id in enumerate(_VALID.values()):
        valid = ok.work.valid[:, place]
        if not np.isnan(valid).all():
            found[id] = (valid, np.where(np.isnan(valid), np.nan, 1.0))
    return found


def _eligible(columns: Columns) -> Floats:
    """Tokens of each prompt that its thread had before: min(prompt, prompt before + answer before).

    NaN for the first request of a history, and where a count is missing.
    """
    work, found = columns.work, np.full(len(columns), np.nan)
    rows = np.flatnonzero(work.thread >= 0)
    order = rows[np.lexsort((columns.sent_ns[rows], work.thread[rows]))]
    if len(order) < 2:
        return found
    before, after = order[:-1], order[1:]
    goes_on = (work.thread[before] == work.thread[after]) & ~work.fresh[after]
    goes_on &= columns.ok[before]
    had = columns.prompt_tokens[before] + np.nan_to_num(columns.output_tokens[before])
    found[after] = np.where(goes_on, np.minimum(columns.prompt_tokens[after], had), np.nan)
    return found


def _windows(data: CaseData) -> dict[str, Callable[[int], float]]:
    """Metric id -> what is counted in the window of a block."""
    ok, work = data.ok, data.ok.work

    def ended(rows: Bools) -> Callable[[int], float]:
        def count(index: int) -> float:
            info = data.infos.get(index)
            block = data.columns.select(data.columns.block == index)
            low, high = window_of(block, info)
            inside = (ok.end_ns >= low) & (ok.end_ns <= high) & (ok.block == index)
            return float((rows & inside).sum())

        return count

    found: dict[str, Callable[[int], float]] = {}
    if (work.session >= 0).any():
        whole = ~np.isnan(data.times["user_turn_s"])
        found["session_per_h"] = ended(work.last_of_session)
        found["user_turn_per_h"] = ended(whole)
    if (work.inputs > 0).any():
        inputs = np.nan_to_num(work.inputs)
        found["text_per_s"] = lambda index: float(inputs[ok.block == index].sum())
        found["embed_tok_per_s"] = lambda index: float(ok.prompt_tokens[ok.block == index].sum())
    return found


def _unit_s(id: str, data: CaseData, index: int) -> float:
    spent = data.throughput[index].seconds
    return spent / 3600 if id.endswith("_per_h") else spent


def _per_block(data: CaseData, value: Callable[[Columns], float]) -> tuple[Floats, Floats]:
    """A value of each block's requests, and of its control requests."""
    with_it, without = [], []
    for index in data.block_order:
        with_it.append(value(data.ok.select(data.ok.block == index)))
        without.append(value(data.controls.select(data.controls.block == index)))
    both = np.array(with_it), np.array(without)
    given = ~np.isnan(both[0]) & ~np.isnan(both[1])
    return both[0][given], both[1][given]


def _mean(values: Floats) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _pictures(data: CaseData) -> dict[str, WorkValue]:
    """Tokens and seconds of a picture: the difference to the same prompts without."""
    pictures = _mean(data.ok.work.images)
    if not pictures > 0 or not len(data.controls):
        return {}
    found = {}
    values: dict[str, Callable[[Columns], float]] = {
        "image_tokens": lambda columns: _mean(columns.prompt_tokens),
        "image_s": lambda columns: _mean(columns.prompt_eval_ns / 1e9),
    }
    for id, value in values.items():
        more, less = _per_block(data, value)
        if len(more):
            each = (more - less) / pictures
            found[id] = WorkValue(len(data.controls), block_ratio(each, np.ones(len(each))))
    return found


def _constraint(data: CaseData) -> dict[str, WorkValue]:
    """Decode speed with the format, as a part of that without, block by block."""
    if data.case.format is None or data.case.prompts.images or not len(data.controls):
        return {}

    def speed(columns: Columns) -> float:
        some = (columns.output_tokens >= MIN_OUTPUT_TOKENS) & (columns.eval_ns > 0)
        spent = float(columns.eval_ns[some].sum())
        return float((columns.output_tokens[some] - 1).sum()) / spent if spent else float("nan")

    with_it, without = _per_block(data, speed)
    if not len(with_it):
        return {}
    if len(with_it) == 1:
        ratio = float(with_it[0] / without[0])
        one = Estimate(ratio, needs=2, method="one block", needs_unit="blocks")
        return {"constraint_cost": WorkValue(1, one)}
    effect = paired_effect(np.log(with_it / without))
    low, high = effect.interval()
    value = Estimate(1 + effect.ratio_change, 1 + low, 1 + high, method="t, paired blocks")
    return {"constraint_cost": WorkValue(len(with_it), value)}


def _loads(data: CaseData) -> dict[str, WorkValue]:
    """Loads of the model while it was measured; only reported where several models take turns."""
    if not data.case.together:
        return {}
    found = [
        loads_of(data.columns.select(data.columns.block == index), data.era)
        for index in data.block_order
    ]
    if np.isnan(data.columns.load_ns).all():
        return {}
    count, spent = sum(n for n, _ in found), sum(ns for _, ns in found)
    return {
        "swaps": WorkValue(len(data.ok), Estimate(float(count), method="count")),
        "swap_s": WorkValue(len(data.ok), Estimate(spent / 1e9, method="sum")),
    }


def _memory(data: CaseData) -> dict[str, WorkValue]:
    """Growth of the server's processes from the first sample of the case to the last."""
    series = [data.infos[i].utilisation.get("server_rss_bytes", []) for i in sorted(data.infos)]
    samples = [value for one in series for _, value in one]
    if len(samples) < 2:
        return {}
    grown = Estimate((samples[-1] - samples[0]) / _GIB, method="last sample - first")
    return {"runner_rss": WorkValue(len(samples), grown)}
