"""What the analysis warns of: every condition with its advice.

What can be seen while a block runs or right after it (spill, reload, eviction, errors, dropped
arrivals, late sends ...) is found then, by the load, and comes with the run in `RunInfo.warnings`.
Here is what only the analysis can see. All codes are listed in `bench.results.warning_codes`.
A check of one's own joins by `add_check`, its code by `add_code` there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.client_checks import client_warnings, idle_warnings
from bench.analysis.run.columns import Bools
from bench.analysis.run.evidence_checks import evidence_warnings, server_changes
from bench.analysis.run.littles_law import littles_law
from bench.analysis.run.open_loop import open_loop_warnings
from bench.analysis.run.other_load import other_load
from bench.analysis.run.sender_clocks import clock_warnings
from bench.analysis.run.slots import Slots
from bench.analysis.run.summary import CaseSummary
from bench.ollama.eras import boundaries_between, era_of, version_order
from bench.results.run import RunInfo, RunStatus, RunWarning
from bench.results.warning_codes import WarningCode

MAX_EARLY_STOP_SHARE = 0.2
MAX_FAILED_SHARE = 0.05
CACHE_FACTOR = 4.0  # a prefill speed of so many times the median is a cache hit
MIN_FOR_OUTLIERS = 5
SIZE_TOLERANCE = 0.2
SIZE_SLACK_TOKENS = 32  # a chat template adds up to about this many tokens
MIN_SHARE = 0.1
DEFAULT_NUM_KEEP = 4


Check = Callable[[CaseData, CaseSummary], Iterable[RunWarning]]
"""What concerns one case: its data, and its summary as far as it is known."""

ADDED: list[Check] = []


def add_check(check: Check) -> Check:
    """Let every case be checked by this, too."""
    ADDED.append(check)
    return check


def run_warnings(info: RunInfo) -> list[RunWarning]:
    """What concerns the whole run."""
    return [
        *_nature(info),
        *_one_block(info),
        *_versions(info),
        *server_changes(info),
        *_transport(info),
    ]


def case_warnings(
    info: RunInfo, data: CaseData, summary: CaseSummary, slots: Slots | None
) -> list[RunWarning]:
    """What concerns one case; checks leave it to the summary to name the case."""
    return [
        *client_warnings(info, data, summary),
        *idle_warnings(summary.metrics, data),
        *clock_warnings(data),
        *_steadiness(summary),
        *open_loop_warnings(data, summary),
        *littles_law(data),
        *_survivors(summary),
        *_implausible(data),
        *_truncated(data),
        *_prompt_size(data),
        *_cache(data),
        *_lengths(summary),
        *evidence_warnings(info, data, summary),
        *_thought_only(data),
        *other_load(data, summary, slots),
        *_slots(data, slots),
        *(warning for check in ADDED for warning in check(data, summary)),
    ]


def _nature(info: RunInfo) -> Iterator[RunWarning]:
    if info.simulated:
        yield RunWarning(
            WarningCode.SIMULATED,
            "these numbers come from the simulated engine: no model was run",
            "Use them to try the tool, never as a result.",
        )
    if info.status is not RunStatus.COMPLETE:
        running = info.status is RunStatus.RUNNING
        how = "has not ended, or was killed" if running else f"was {info.status.value}"
        yield RunWarning(
            WarningCode.INCOMPLETE,
            f"the run {how}: what had been measured is shown",
            "Run it again for the whole plan.",
        )


def _one_block(info: RunInfo) -> Iterator[RunWarning]:
    counts = [sum(b.case == case.id for b in info.plan.blocks) for case in info.plan.cases]
    single = counts.count(1)
    if single:
        yield RunWarning(
            WarningCode.ONE_BLOCK,
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
                WarningCode.VERSION_UNKNOWN,
                f"{target.name} says it is version {target.version}, which is no known release: "
                "its numbers are read as those of the newest one",
                "Take care with prefill speed and durations.",
            )
    versions = sorted({t.version for t in info.targets if t.version}, key=version_order)
    for first, second in pairwise(versions):
        reasons = [b.reason for b in boundaries_between(first, second)]
        if reasons:
            yield RunWarning(
                WarningCode.MIXED_VERSIONS,
                f"{first} and {second} do not measure alike: {' '.join(reasons)}",
                "Compare only what these do not touch.",
            )


def _transport(info: RunInfo) -> Iterator[RunWarning]:
    if info.transport is not None and info.transport.name == "httpx":
        why = f" ({info.transport.reason})" if info.transport.reason else ""
        yield RunWarning(
            WarningCode.TRANSPORT_NOT_EXACT,
            f"the requests went through the general HTTP client{why}: arrivals are stamped some "
            "milliseconds late under load",
            "Trust the server's own durations; take TTFT and gaps with care.",
        )


def _steadiness(summary: CaseSummary) -> Iterator[RunWarning]:
    if summary.steadiness.steady is False:
        yield RunWarning(
            WarningCode.UNSTEADY,
            f"not steady: {summary.steadiness.message}",
            "Look for throttling, other work on the server, or a growing context; then measure "
            "again.",
        )


def _survivors(summary: CaseSummary) -> Iterator[RunWarning]:
    rate = summary.metrics["error_rate"].value
    if rate is not None and MAX_FAILED_SHARE < rate < 1:
        yield RunWarning(
            WarningCode.SURVIVORS,
            f"{rate:.0%} of the requests failed: latencies describe only the others, which may be "
            "the faster ones",
            "Find out why they fail before you read latencies.",
        )


def _implausible(data: CaseData) -> Iterator[RunWarning]:
    for name in ("decode", "prefill"):
        count = int(data.rates[f"{name}_tok_per_s"].implausible.sum())
        if count:
            yield RunWarning(
                WarningCode.IMPLAUSIBLE_RATE,
                f"{count} requests have a {name} speed that no machine reaches: left out",
                "The server's durations are wrong for them, or its cache held most of the prompt.",
            )


def _lengths(summary: CaseSummary) -> Iterator[RunWarning]:
    share = summary.metrics["early_stop_share"].value
    if share is not None and share > MAX_EARLY_STOP_SHARE:
        yield RunWarning(
            WarningCode.EARLY_STOPS,
            f"{share:.0%} of the answers ended before num_predict: they are not equally long",
            "Compare speeds per token, not times of whole answers; or ask for long texts.",
        )


def _thought_only(data: CaseData) -> Iterator[RunWarning]:
    """Answers that were all thinking: nobody who waited for them saw a word."""
    silent = (data.ok.thinking_chars > 0) & (data.ok.answer_chars == 0)
    count = int((silent & (data.ok.done_reason == "length")).sum())
    if count:
        yield RunWarning(
            WarningCode.THINKING_ONLY,
            f"in {count:,} of {len(data.ok):,} answers thinking used up num_predict: no word of an "
            "answer came",
            "Allow more (options.num_predict), or set think: false. Thresholds on answer_ttft_s "
            "count them as infinitely late.",
        )


def _slots(data: CaseData, slots: Slots | None) -> Iterator[RunWarning]:
    asked = data.target.settings.get("OLLAMA_NUM_PARALLEL", "")
    if slots is None or not slots.exact or not asked.isdecimal():
        return
    if slots.observed < int(asked):
        yield RunWarning(
            WarningCode.FEWER_SLOTS,
            f"OLLAMA_NUM_PARALLEL is {asked}, but only {slots.observed} requests are worked on "
            f"at once",
            "Some model families are forced to one slot, and memory may not suffice for more.",
        )


def _truncated(data: CaseData) -> Iterator[RunWarning]:
    context = data.context
    if context is None:
        return
    count = int(_cut(data, context).sum())
    if count:
        yield RunWarning(
            WarningCode.PROMPT_TRUNCATED,
            f"{count} of {len(data.ok)} prompts were cut to fit the context of {context} tokens",
            "Raise options.num_ctx or shorten the prompts; the server says nothing of it.",
        )


def _cut(data: CaseData, context: int) -> Bools:
    """Prompts that fill the context (up to 0.24), or end where a cut to half of it does (0.30).

    The latter limit is num_ctx - max((num_ctx - num_keep) / 2, 1); only a prompt that was meant to
    be longer, or a length that most requests share, tells a cut from a coincidence.
    """
    tokens = data.ok.prompt_tokens
    keep = data.case.options.get("num_keep", DEFAULT_NUM_KEEP)
    half = context - max((context - keep) // 2, 1) if isinstance(keep, int) else 0
    at_half = tokens == half
    meant_longer = data.ok.target_tokens > half + SIZE_SLACK_TOKENS
    common = at_half.sum() >= max(2, 0.5 * len(tokens))
    return np.asarray((tokens >= context) | (at_half & (meant_longer | common)), dtype=np.bool_)


def _prompt_size(data: CaseData) -> Iterator[RunWarning]:
    difference = data.ok.prompt_tokens - data.ok.target_tokens
    off = np.abs(difference) > np.maximum(SIZE_TOLERANCE * data.ok.target_tokens, SIZE_SLACK_TOKENS)
    known = ~np.isnan(difference)
    if known.any() and off[known].mean() > MIN_SHARE:
        got, asked = (
            float(np.median(x[known])) for x in (data.ok.prompt_tokens, data.ok.target_tokens)
        )
        yield RunWarning(
            WarningCode.PROMPT_SIZE,
            f"prompts of {asked:.0f} tokens were asked for, {got:.0f} came out (medians)",
            "Read prompt_tokens for the size that was measured.",
        )


def _cache(data: CaseData) -> Iterator[RunWarning]:
    if not data.busted or not len(data.ok):
        return
    repeated = _repeated(data)
    hits = 0
    if not np.isfinite(data.ok.cached_tokens).any():
        rates = data.rates["prefill_tok_per_s"].per_request
        given = rates[np.isfinite(rates)]
        if len(given) >= MIN_FOR_OUTLIERS:
            hits = int((given > CACHE_FACTOR * np.median(given)).sum())
    if repeated or hits:
        what = f"{repeated} prompts were sent before" if repeated else f"{hits} prompts"
        how = "" if repeated else " were read several times faster than the others"
        yield RunWarning(
            WarningCode.CACHE_SUSPECTED,
            f"{what}{how}: the server may have had them in its cache",
            "Take prefill speed and TTFT with care; make every prompt unique (cache: bust).",
        )


def _repeated(data: CaseData) -> int:
    """Measured prompts that were sent before in this case, warm-up included."""
    prompts = data.columns.prompt
    known = prompts[prompts >= 0]
    return len(known) - len(np.unique(known))
