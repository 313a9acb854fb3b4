"""What the analysis warns of: every condition with its advice.

What can be seen while a block runs or right after it (spill, reload, eviction, errors, dropped
arrivals, late sends ...) is found then, by the load, and comes with the run in `RunInfo.warnings`.
Here is what only the analysis can see. All codes are listed in `bench.results.warning_codes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from bench.analysis.case_data import CaseData
from bench.analysis.client_checks import client_warnings
from bench.analysis.columns import seconds
from bench.analysis.prompt_checks import prompt_warnings
from bench.analysis.slots import Slots
from bench.analysis.summary import CaseSummary, Estimate
from bench.analysis.windows import LITTLES_LAW_TOLERANCE, littles_law_gap
from bench.ollama.eras import boundaries_between, era_of, version_order
from bench.results.run import RunInfo, RunStatus, RunWarning

MIN_FOR_LITTLES_LAW = 20
MAX_EARLY_STOP_SHARE = 0.2
MAX_FAILED_SHARE = 0.05
CHUNKS_PER_TOKEN = (0.85, 1.15)


def run_warnings(info: RunInfo) -> list[RunWarning]:
    """What concerns the whole run."""
    return [*_nature(info), *_one_block(info), *_versions(info), *_transport(info)]


def case_warnings(
    info: RunInfo, data: CaseData, summary: CaseSummary, slots: Slots | None
) -> list[RunWarning]:
    """What concerns one case.

    Args:
        info: of the run.
        data: of the case.
        summary: of the case, as far as it is known.
        slots: of its model on its target.
    """
    return [
        *client_warnings(info, data, summary),
        *_steadiness(summary),
        *_littles_law(data, summary),
        *_survivors(summary),
        *_implausible(data),
        *prompt_warnings(data),
        *_lengths(summary),
        *_chunks(summary),
        *_slots(data, slots),
    ]


def _nature(info: RunInfo) -> Iterator[RunWarning]:
    if info.simulated:
        yield RunWarning(
            "simulated",
            "these numbers come from the simulated engine: no model was run",
            "Use them to try the tool, never as a result.",
        )
    if info.status is RunStatus.RUNNING:
        yield RunWarning(
            "incomplete",
            "the run has not ended, or was killed: what had been measured is shown",
            "Run it again for the whole plan.",
        )
    elif info.status is not RunStatus.COMPLETE:
        yield RunWarning(
            "incomplete",
            f"the run was {info.status.value}: what had been measured is shown",
            "Run it again for the whole plan.",
        )


def _one_block(info: RunInfo) -> Iterator[RunWarning]:
    counts = [sum(b.case == case.id for b in info.plan.blocks) for case in info.plan.cases]
    single = counts.count(1)
    if single:
        yield RunWarning(
            "one_block",
            f"{_which_cases(single, len(counts))} one block: throughput has no interval, and the "
            "intervals of the rest do not show what differs from one block to the next",
            "Set blocks: 3 or more.",
        )


def _which_cases(some: int, of: int) -> str:
    """The subject of a sentence, with its verb: "the only case has", "2 of 4 cases have"."""
    if some == of:
        return "the only case has" if of == 1 else f"each of the {of} cases has"
    return f"{some} of {of} cases {'has' if some == 1 else 'have'}"


def _versions(info: RunInfo) -> Iterator[RunWarning]:
    for target in info.targets:
        if target.version and era_of(target.version).assumed:
            yield RunWarning(
                "version_unknown",
                f"{target.name} says it is version {target.version}, which is no known release: "
                "its numbers are read as those of the newest one",
                "Take care with prefill speed and durations.",
            )
    versions = sorted({t.version for t in info.targets if t.version}, key=version_order)
    for first, second in pairwise(versions):
        reasons = [b.reason for b in boundaries_between(first, second)]
        if reasons:
            yield RunWarning(
                "mixed_versions",
                f"{first} and {second} do not measure alike: {' '.join(reasons)}",
                "Compare only what these do not touch.",
            )


def _transport(info: RunInfo) -> Iterator[RunWarning]:
    if info.transport is not None and info.transport.name == "httpx":
        why = f" ({info.transport.reason})" if info.transport.reason else ""
        yield RunWarning(
            "transport_not_exact",
            f"the requests went through the general HTTP client{why}: arrivals are stamped some "
            "milliseconds late under load",
            "Trust the server's own durations; take TTFT and gaps with care.",
        )


def _steadiness(summary: CaseSummary) -> Iterator[RunWarning]:
    if summary.steadiness.steady is False:
        yield RunWarning(
            "unsteady",
            f"not steady: {summary.steadiness.message}",
            "Look for throttling, other work on the server, or a growing context; then measure "
            "again.",
            summary.id,
        )


def _littles_law(data: CaseData, summary: CaseSummary) -> Iterator[RunWarning]:
    values = {
        id: summary.metrics[id].stats.get("value", Estimate(None)).value
        for id in ("in_flight", "request_per_s")
    }
    in_flight, rate = values["in_flight"], values["request_per_s"]
    if in_flight is None or rate is None or len(data.ok) < MIN_FOR_LITTLES_LAW:
        return
    sojourn = float(np.nanmean(seconds(data.ok.end_ns - data.ok.sent_ns)))
    gap = littles_law_gap(in_flight, rate, sojourn)
    if gap > LITTLES_LAW_TOLERANCE:
        yield RunWarning(
            "littles_law",
            f"{in_flight:.2f} requests were in flight on average, but rate x mean time gives "
            f"{rate * sojourn:.2f} ({gap:.0%} apart)",
            "Failed requests that held slots, lost records, or wrong time stamps: look at the "
            "timeline before you trust throughput.",
            summary.id,
        )


def _survivors(summary: CaseSummary) -> Iterator[RunWarning]:
    rate = summary.metrics["error_rate"].stats.get("value", Estimate(None)).value
    if rate is not None and MAX_FAILED_SHARE < rate < 1:
        yield RunWarning(
            "survivors",
            f"{rate:.0%} of the requests failed: latencies describe only the others, which may be "
            "the faster ones",
            "Find out why they fail before you read latencies.",
            summary.id,
        )


def _implausible(data: CaseData) -> Iterator[RunWarning]:
    for name, parts in (("decode", data.decode), ("prefill", data.prefill)):
        count = int(parts.implausible.sum())
        if count:
            yield RunWarning(
                "implausible_rate",
                f"{count} requests have a {name} speed that no machine reaches: left out",
                "The server's durations are wrong for them; look at the raw records.",
                data.case.id,
            )


def _lengths(summary: CaseSummary) -> Iterator[RunWarning]:
    share = summary.metrics["early_stop_share"].stats.get("value", Estimate(None)).value
    if share is not None and share > MAX_EARLY_STOP_SHARE:
        yield RunWarning(
            "early_stops",
            f"{share:.0%} of the answers ended before num_predict: they are not equally long",
            "Compare speeds per token, not times of whole answers; or ask for long texts.",
            summary.id,
        )


def _chunks(summary: CaseSummary) -> Iterator[RunWarning]:
    ratio = summary.metrics["chunk_per_token"].stats.get("value", Estimate(None)).value
    low, high = CHUNKS_PER_TOKEN
    if ratio is not None and not low <= ratio <= high:
        yield RunWarning(
            "chunk_not_token",
            f"{ratio:.2f} chunks came per token: gaps between chunks are not gaps between tokens",
            "Use tpot_s or decode_tok_per_s instead of itl_s.",
            summary.id,
        )


def _slots(data: CaseData, slots: Slots | None) -> Iterator[RunWarning]:
    asked = data.target.settings.get("OLLAMA_NUM_PARALLEL", "")
    if slots is None or not slots.exact or not asked.isdigit():
        return
    if slots.observed < int(asked):
        yield RunWarning(
            "fewer_slots",
            f"OLLAMA_NUM_PARALLEL is {asked}, but only {slots.observed} requests are worked on "
            f"at once",
            "Some model families are forced to one slot, and memory may not suffice for more.",
            data.case.id,
        )
