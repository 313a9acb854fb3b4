"""Did requests wait though the server had room for all of this run's? Then somebody else uses it.

A request that has the server to itself waits for nobody of this run, and neither do users that are
no more than the slots. What then passes before the server works on it, in no part that it names, is
rendering and tokenising, which take little and always about as long; or it is a queue of somebody
else's requests. The prefill of this run's other requests is taken off: llama.cpp counts it nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Columns, Floats, seconds
from bench.analysis.run.evidence import Shape
from bench.analysis.run.latency import queue_ns
from bench.analysis.run.sender_clocks import overlaps_known
from bench.analysis.run.slots import Slots, mean_at_once
from bench.analysis.run.summary import CaseSummary
from bench.results.run import RunWarning
from bench.results.warning_codes import WarningCode

UNTIMED_SAMPLING = 0.10
"""Where decoding time leaves out sampling: 0 to 4 % in the recordings of 0.12.11 and 0.24.0."""
UNTIMED_GRAMMAR = 1.5  # the same with a grammar (65 % in the recordings)

LEAST_S = 0.1  # a shorter wait than this, beyond the usual one, is noise
PREFILL_SHARE = 0.25
TOKENISING_S = 2e-5  # a prompt token: rendering and tokenising, generously
STEPS = 2.0  # of decoding: a request waits for the batch that is being computed
USUAL_QUANTILE = 0.2
MIN_WAITS = 2
MIN_SHARE = 0.02
AFTER_FAILURE_S = 5.0
"""Until then the server may still work on a request that failed or was given up."""
BENDS = 0.05  # a headline that these waits moved by more than this part of it is not this run's own


def unnamed_s(data: CaseData) -> Floats:
    """Time before the first text that is in no part of the server's, per row of `data.ok`.

    NaN where it is not known. Of replies that are not streamed: such time anywhere in it.
    """
    ok = data.ok
    rest = seconds(queue_ns(ok))
    if data.era.sampling_untimed:
        share = UNTIMED_GRAMMAR if data.case.format else UNTIMED_SAMPLING
        rest = rest - share * np.nan_to_num(data.times["eval_s"])
    network = np.maximum(np.nan_to_num(data.times["overhead_s"]), 0.0)
    before = seconds(ok.first_text_ns - ok.sent_ns - ok.load_ns - ok.prompt_eval_ns) - network
    lacking = np.where(ok.stream, np.minimum(before, rest), rest)
    known = ~np.isnan(ok.prompt_eval_ns) & ~np.isin(ok.shape, (Shape.ONE_PIECE, Shape.HELD_BACK))
    return np.where(known, lacking, np.nan)


def waits_for_others_s(data: CaseData, slots: Slots | None) -> Floats:
    """How long each request waited for somebody else; one value a row of `data.ok`.

    0 where it did not, NaN where it is not known: it was not alone, and the users are not known
    to be no more than the slots; or a request had just failed.
    """
    ok, load = data.ok, data.case.load
    if data.case.cold or not data.era.prompt_duration_trusted:
        return np.full(len(ok), np.nan)
    room = load.loop == "closed" and slots is not None and (load.users or 1) <= slots.observed
    wait = np.where(ok.alone | room, unnamed_s(data), np.nan)
    wait = wait - _own_prefill_s(data.sent.select(data.sent.ok), ok, wait)
    wait[_after_failure(data.sent, ok)] = np.nan
    known = ~np.isnan(wait)
    if not known.any():
        return wait
    usual = max(float(np.quantile(wait[known], USUAL_QUANTILE)), 0.0)
    step = np.nan_to_num(data.times["eval_s"] / np.maximum(ok.output_tokens, 1))
    allowed = LEAST_S + PREFILL_SHARE * np.nan_to_num(data.times["prompt_eval_s"])
    allowed += TOKENISING_S * np.nan_to_num(ok.prompt_tokens) + STEPS * step
    return np.where(known & (wait - usual <= allowed), 0.0, wait - usual)


def _own_prefill_s(everything: Columns, ok: Columns, wait_s: Floats) -> Floats:
    """For how long during each wait the prompt of some other request of this run was read."""
    read = np.fmin(everything.first_text_ns, everything.end_ns - np.nan_to_num(everything.eval_ns))
    begun = read - everything.prompt_eval_ns
    known = np.flatnonzero(~np.isnan(begun) & ~np.isnan(read))
    known = known[np.argsort(begun[known])]
    start, end = begun[known], np.maximum.accumulate(read[known])
    # One span for those that overlap: two prompts at once do not take twice the time.
    first = np.ones(len(known), dtype=np.bool_)
    first[1:] = start[1:] > end[:-1]
    starts, ends = start[first], end[np.roll(first, -1)]
    since = ok.sent_ns + np.nan_to_num(ok.load_ns)
    length = np.maximum(np.nan_to_num(wait_s), 0.0) * 1e9
    share = mean_at_once(starts, ends, since, since + length)
    return np.asarray(seconds(np.nan_to_num(share) * length))


def _after_failure(columns: Columns, ok: Columns) -> np.ndarray:
    failed = np.sort(columns.end_ns[~columns.ok & ~np.isnan(columns.end_ns)])
    if not len(failed):
        return np.zeros(len(ok), dtype=np.bool_)
    last = np.searchsorted(failed, ok.sent_ns, side="right") - 1
    age = seconds(ok.sent_ns - failed[np.maximum(last, 0)])
    return np.asarray((last >= 0) & (age < AFTER_FAILURE_S))


def other_load(data: CaseData, summary: CaseSummary, slots: Slots | None) -> Iterator[RunWarning]:
    """A warning if requests waited for somebody else; invalid where that bends a headline."""
    if not overlaps_known(data.infos.values(), data.ok):
        return
    wait = waits_for_others_s(data, slots)
    waited = np.nan_to_num(wait) > 0
    known = int((~np.isnan(wait)).sum())
    count = int(waited.sum())
    if count < max(MIN_WAITS, MIN_SHARE * known):
        return
    bent = _bent(data, summary, np.nan_to_num(wait))
    yield RunWarning(
        WarningCode.OTHER_LOAD,
        f"{count} of {known} requests waited, though the server had room for all of this run's: "
        f"{np.median(wait[waited]):.2g} s (median), {wait[waited].max():.2g} s at most"
        + (f"; without that, {bent}" if bent else ""),
        "Somebody else uses this server, or its machine does other work: stop that, and measure "
        "again.",
        invalidates=bool(bent),
    )


def _bent(data: CaseData, summary: CaseSummary, wait_s: Floats) -> str:
    """The headline that the waits moved most, or "" if none was moved by much."""
    moved: list[tuple[float, str]] = []
    for id in ("ttft_s", "e2e_s"):
        values = data.times[id]
        has = ~np.isnan(values)
        for name, level in (("p50", 0.5), ("p95", 0.95)):
            estimate = summary.metrics[id].stats.get(name)
            if estimate is None or estimate.value is None:
                continue
            shown, own = (float(np.quantile(v[has], level)) for v in (values, values - wait_s))
            moved.append(((shown - own) / shown, f"{id}.{name} is {own:.2g} s, not {shown:.2g} s"))
    most, text = max(moved, default=(0.0, ""))
    return text if most > BENDS else ""
