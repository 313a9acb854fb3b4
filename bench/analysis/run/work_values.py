"""What sessions, embeddings, pictures and checked answers come to, per case and per block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Bools, Columns, Floats, numbered
from bench.analysis.run.rates import MIN_GRAINS, MIN_PREFILL_TOKENS_BUSTED, decode
from bench.analysis.run.summary import Estimate, Metric, metric_of
from bench.analysis.run.windows import window_of
from bench.ollama.eras import LOAD_S, Era
from bench.results.record import CHECKS
from bench.stats.means import block_ratio, share
from bench.stats.paired import paired_effect

_GIB = 2**30
MIN_COLD = 3  # blocks with a cold prompt: fewer show no spread
_VALID = {name: f"{name}_valid_rate" for name in CHECKS}


Parts = tuple[Floats, Floats]
"""Numerators and denominators, one a row; NaN in both where a row has none."""


def _metric(id: str, n: int, estimate: Estimate, note: str = "") -> dict[str, Metric]:
    return {id: metric_of(id, n, {"value": estimate}, note)}


def work_values(data: CaseData) -> dict[str, Metric]:
    """Every such metric that the case has data for."""
    found: dict[str, Metric] = {}
    for id, (top, bottom) in shares_of(data).items():
        given = ~np.isnan(top) & ~np.isnan(bottom)
        if given.any():
            numbers = numbered(data.ok.block[given])
            n = int(given.sum())
            note = "" if n == len(given) or id in _SOME else f"{len(given) - n} requests left out"
            found |= _metric(id, n, share(top[given], bottom[given], numbers), note)
    blocks = [i for i in data.block_order if i in data.throughput]
    for id, counted in _windows(data).items():
        totals = np.array([counted(i) for i in blocks])
        spent = np.array([_unit_s(id, data, i) for i in blocks])
        if len(blocks) and not np.isnan(totals).any():
            found |= _metric(id, len(blocks), block_ratio(totals, spent))
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
    found: dict[str, Callable[[int], float]] = {}

    def ended(rows: Bools) -> Callable[[int], float]:
        def count(index: int) -> float:
            block = data.columns.select(data.columns.block == index)
            low, high = window_of(block, data.infos.get(index))
            inside = (ok.end_ns >= low) & (ok.end_ns <= high) & (ok.block == index)
            return float((rows & inside).sum())

        return count

    if (work.session >= 0).any():
        found["session_per_h"] = ended(work.last_of_session)
        found["user_turn_per_h"] = ended(~np.isnan(data.times["user_turn_s"]))
    if (work.inputs > 0).any():
        inputs = np.nan_to_num(work.inputs)
        found["text_per_s"] = lambda index: float(inputs[ok.block == index].sum())
        found["embed_tok_per_s"] = lambda index: float(ok.prompt_tokens[ok.block == index].sum())
    return found


def _unit_s(id: str, data: CaseData, index: int) -> float:
    spent = data.throughput[index].seconds
    return spent / 3600 if id.endswith("_per_h") else spent


def _per_block(data: CaseData, value: Callable[[Columns], float | None]) -> tuple[Floats, Floats]:
    """A value of each block's requests, and of its control requests."""
    with_it, without = (
        np.array([value(columns.select(columns.block == i)) for i in data.block_order], float)
        for columns in (data.ok, data.controls)
    )
    given = ~np.isnan(with_it) & ~np.isnan(without)
    return with_it[given], without[given]


def _mean(values: Floats) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _pictures(data: CaseData) -> dict[str, Metric]:
    """Tokens and seconds of a picture: the difference to the same prompts without."""
    pictures = _mean(data.ok.work.images)
    if not pictures > 0 or not len(data.controls):
        return {}
    found: dict[str, Metric] = {}
    values: dict[str, Callable[[Columns], float]] = {
        "image_tokens": lambda columns: _mean(columns.prompt_tokens),
        "image_s": lambda columns: _mean(columns.prompt_eval_ns / 1e9),
    }
    for id, value in values.items():
        more, less = _per_block(data, value)
        if len(more):
            each = (more - less) / pictures
            found |= _metric(id, len(data.controls), block_ratio(each, np.ones(len(each))))
    return found


def _constraint(data: CaseData) -> dict[str, Metric]:
    """Decode speed with the format, as a part of that without, block by block."""
    if data.case.format is None or data.case.prompts.images or not len(data.controls):
        return {}

    with_it, without = _per_block(data, lambda columns: decode(columns, data.era).together())
    if not len(with_it):
        return {}
    if len(with_it) == 1:
        ratio = float(with_it[0] / without[0])
        one = Estimate(ratio, needs=2, method="one block", needs_unit="blocks")
        return _metric("constraint_cost", 1, one)
    effect = paired_effect(np.log(with_it / without))
    low, high = effect.interval()
    value = Estimate(1 + effect.ratio_change, 1 + low, 1 + high, method="t, paired blocks")
    return _metric("constraint_cost", len(with_it), value)


def _loads(data: CaseData) -> dict[str, Metric]:
    """Loads of the model while it was measured; only reported where several models take turns."""
    columns = data.columns
    if not data.case.together or np.isnan(columns.load_ns).all():
        return {}
    found = [loads_of(columns.select(columns.block == i), data.era) for i in data.block_order]
    count, spent = sum(n for n, _ in found), sum(ns for _, ns in found)
    return _metric("swaps", len(data.ok), Estimate(float(count), method="count")) | _metric(
        "swap_s", len(data.ok), Estimate(spent / 1e9, method="sum")
    )


def _memory(data: CaseData) -> dict[str, Metric]:
    """Growth of the server's processes from the first sample of the case to the last."""
    series = [data.infos[i].utilisation.get("server_rss_bytes", []) for i in sorted(data.infos)]
    samples = [value for one in series for _, value in one]
    if len(samples) < 2:
        return {}
    grown = Estimate((samples[-1] - samples[0]) / _GIB, method="last sample - first")
    return _metric("runner_rss", len(samples), grown)


_WARM = 2.0  # times the longest that a request to a loaded model usually waits: more is a load


def loads_of(columns: Columns, era: Era) -> tuple[int, float]:
    """Loads that requests waited for, and how long at least one of them waited, in nanoseconds.

    A request waits from when it is sent, for the loads of other models before its own too. Those
    that wait for the same load end waiting together; before a model has gone, another has come and
    it is loaded again, more time passes than one load takes.
    """
    warm_s = era.warm_load_s[1]
    limit_ns = (_WARM * warm_s if warm_s < LOAD_S else max(LOAD_S, _WARM * warm_s)) * 1e9
    with np.errstate(invalid="ignore"):
        waited = (columns.load_ns >= limit_ns) & columns.measured & columns.ok
    begins = columns.sent_ns[waited]
    ends = begins + columns.load_ns[waited]
    count, last_ns = 0, -np.inf
    for end in np.sort(ends).tolist():
        if end - last_ns >= LOAD_S * 1e9:
            count, last_ns = count + 1, end
    spent, until = 0.0, -np.inf
    for begin, end in sorted(zip(begins.tolist(), ends.tolist(), strict=True)):
        spent += max(end - max(begin, until), 0.0)
        until = max(end, until)
    return count, spent


def suspected_cached(data: CaseData, eligible: Floats) -> Floats:
    """Tokens of each prompt's history that were probably not read again; NaN where nobody can tell.

    The first request of a block is read whole: its head carries a number of the block. Its prompt
    time is the cold fit, and each later prompt is taken to have cost as much a token. Reading gets
    slower in a long context, so the share comes out low rather than high; it is called suspected,
    and is not compared or judged as the counted one is. Only of requests that had the server to
    themselves: others' prompts and answers slow a prompt down, which would look like a lost cache.
    `eligible` is, for each row of `data.ok`, the tokens of its history.
    """
    unknown = np.full(len(data.ok), np.nan)
    judgeable = data.busted and data.era.prompt_duration_trusted
    if not judgeable or np.isfinite(data.ok.cached_tokens).any():
        return unknown
    cold = _cold_token_ns(data)
    if len(cold) < MIN_COLD:
        return unknown
    each = np.array([cold.get(block, np.nan) for block in data.ok.block.tolist()])
    read = np.minimum(data.ok.prompt_eval_ns / each, data.ok.prompt_tokens)
    new = data.ok.prompt_tokens - eligible
    kept = np.clip(eligible - np.maximum(read - new, 0.0), 0.0, eligible)
    return np.where(data.ok.alone, kept, np.nan)


def _cold_token_ns(data: CaseData) -> dict[int, float]:
    """Time of a token that is read for the first time, by block."""
    found = {}
    for block in data.block_order:
        rows = np.flatnonzero(data.columns.block == block)
        first = rows[np.argsort(data.columns.sent_ns[rows], kind="stable")[:1]]
        asked = data.columns.select(first)
        enough = asked.prompt_tokens >= MIN_PREFILL_TOKENS_BUSTED
        enough &= asked.prompt_eval_ns >= MIN_GRAINS * data.era.duration_grain_ns
        if (asked.ok & asked.alone & enough).all() and len(first):
            found[block] = float(asked.prompt_eval_ns[0] / asked.prompt_tokens[0])
    return found
