"""Did the prompts do what they were made for: their length, whole, and past the server's cache?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.columns import Bools
from bench.results.run import RunWarning
from bench.results.warning_codes import WarningCode

CACHE_FACTOR = 4.0  # a prefill speed of so many times the median is a cache hit
MIN_FOR_OUTLIERS = 5
SIZE_TOLERANCE = 0.2
SIZE_SLACK_TOKENS = 32  # a chat template adds up to about this many tokens
MIN_SHARE = 0.1
DEFAULT_NUM_KEEP = 4


def prompt_warnings(data: CaseData) -> list[RunWarning]:
    """What is wrong with the prompts of a case, as the server's counts show it."""
    if not len(data.ok):
        return []
    return [*_truncated(data), *_size(data), *_cache(data)]


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
            data.case.id,
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


def _size(data: CaseData) -> Iterator[RunWarning]:
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
            data.case.id,
        )


def _cache(data: CaseData) -> Iterator[RunWarning]:
    if not data.busted:
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
            data.case.id,
        )


def _repeated(data: CaseData) -> int:
    """Measured prompts that were sent before in this case, warm-up included."""
    prompts = data.columns.prompt
    known = prompts[prompts >= 0]
    return len(known) - len(np.unique(known))
