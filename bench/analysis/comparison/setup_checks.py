"""What two results differ in besides their numbers: named before any number is.

At least four of twelve "slower after the upgrade" reports turned out to be about configuration,
build or backend. So before a change is reported, all else that differs is named: the thing that
is compared on purpose, what may explain a change, and what makes the two no comparison at all.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from bench.analysis.comparison.causes import machine_differences
from bench.analysis.comparison.server_place import server_differences
from bench.analysis.comparison.setup_difference import (
    UNKNOWN_VERSION,
    CaseSide,
    Role,
    SetupDifference,
    era_differences,
)
from bench.analysis.run.summary import CaseSummary
from bench.errors import UsageError
from bench.scenario.options import OPTION_NAMES
from bench.scenario.plan import Case, Load, Plan

ASKED: Final = (
    "endpoint", "stream", "think", "cold", "system", "raw", "format", "tools", "control",
    "truncate",
)  # fmt: skip
"""Fields of a case that belong to what was asked."""
_FORBIDDING: Final = (
    "options", "settings", *ASKED, "load", "prompts", "engine", "server", "digest", "quantization",
    "served_context", "slots_observed", "gpu_share", "hardware", "era", "order", "incomplete",
    "invalid",
)  # fmt: skip
"""Keys of what can forbid a comparison. "options" stands for every "options.NAME", likewise
"settings"."""

_NOTED: Final = (
    "model", "server_version", "seed", "output_tokens", "failed_requests", "gpu_driver",
    "cpu_governor", "operating_system",
)  # fmt: skip
"""Keys of what is reported and never forbids: allowing these changes nothing, and is no mistake."""
_OUTPUT_TOLERANCE = 0.02
"""Mean output lengths closer than this count as equal."""
_GPU_SHARE_TOLERANCE = 0.01
_FAILED_TOLERANCE = 0.01

_ANSWER_LENGTH = ("e2e_s", "eval_s", "total_s", "output_tok_per_s", "request_per_s")
_WAITING = ("ttft_s", "answer_ttft_s", "e2e_s", "queue_s", "total_s", "output_tok_per_s")

_CONSEQUENCES: Mapping[str, Mapping[str, Role]] = {
    "model": {
        "digest": Role.COMPARED,
        "quantization": Role.COMPARED,
        "gpu_share": Role.EXPLAINS,
        "slots_observed": Role.EXPLAINS,
    },
    "digest": {"quantization": Role.EXPLAINS},
    "options.num_ctx": {"served_context": Role.COMPARED, "gpu_share": Role.EXPLAINS},
    "options.num_gpu": {"gpu_share": Role.COMPARED},
    "settings.OLLAMA_NUM_PARALLEL": {"slots_observed": Role.COMPARED, "gpu_share": Role.EXPLAINS},
    "settings.OLLAMA_CONTEXT_LENGTH": {"served_context": Role.COMPARED, "gpu_share": Role.EXPLAINS},
    "served_context": {"gpu_share": Role.EXPLAINS},
    "load": {"slots_observed": Role.EXPLAINS},
}
"""If the first is compared (or allowed), the others differ in consequence of it."""

_MEANING = {
    "model": "Different models.",
    "digest": "One name, two digests: these are different weights.",
    "quantization": "Different quantisations.",
    "engine": "Numbers of different engines.",
    "served_context": "The server gave the model another context length; a larger one takes "
    "memory and can push layers off the GPU.",
    "gpu_share": "Another share of the model lies in GPU memory; the rest runs on the CPU, which "
    "alone makes a large difference.",
    "slots_observed": "The server works on another number of requests at once; with fewer slots "
    "requests wait longer.",
    "prompts": "The prompts are not the same.",
    "system": "The system prompts are not the same.",
    "tools": "The tools are not the same.",
    "load": "The load is not the same.",
    "seed": "The prompts were drawn with different seeds: alike, but not the same.",
    "output_tokens": "The answers are not equally long: times of whole answers, and throughput at "
    "the same number of users, differ for that reason.",
    "failed_requests": "Failed requests have no latency and no speed, so what is left may look "
    "better than it is.",
}


def setup_differences(
    baseline: CaseSide, candidate: CaseSide, *, intended: bool = False, allow: Collection[str] = ()
) -> tuple[SetupDifference, ...]:
    """All differences of two cases, the gravest first.

    `intended`: the two were set up side by side on purpose (`ab`), so what was *asked* of them
    differs on purpose too. "options" in `allow` allows all of "options.*".
    """
    found = [*_asked(baseline, candidate, intended), *_observed(baseline, candidate)]
    found = _with_consequences(_allowed(found, allow))
    found += era_differences(baseline, candidate, allow)
    order = list(Role)[::-1]
    return tuple(sorted(found, key=lambda d: order.index(d.role)))


def check_allowed(keys: Iterable[str]) -> None:
    """Whether all keys of `--allow` name something that can differ: a mistyped one allows nothing.

    Raises:
        UsageError: one does not.
    """
    for key in keys:
        group, _, name = key.partition(".")
        known = group == "settings" if name else key in (*_FORBIDDING, *_NOTED)
        if known or (group == "options" and name in OPTION_NAMES):
            continue
        names = [*_FORBIDDING, *_NOTED, *(f"options.{n}" for n in OPTION_NAMES)]
        near = difflib.get_close_matches(key, names, n=2)
        advice = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"--allow {key}: nothing of that name can differ",
            f"{advice}There are: {', '.join(_FORBIDDING)}; and options.NAME, settings.VARIABLE.",
        )


def _asked(a: CaseSide, b: CaseSide, intended: bool) -> Iterator[SetupDifference]:
    """Differences in what was asked of the two, from the plans."""
    if a.summary.model != b.summary.model:
        yield _difference("model", (a.summary.model, b.summary.model), Role.COMPARED)
    servers = _server(a), _server(b)
    if intended and all(servers) and servers[0] != servers[1]:
        yield _difference("server", servers, Role.COMPARED)
    elif not intended:
        yield from server_differences(a, b)
    role = Role.COMPARED if intended else Role.BLOCKS
    # Nothing is known of the environment of a server by URL.
    settings = (side.target.settings if side.target else {} for side in (a, b))
    for key, values in _unequal(*settings).items():
        yield _difference(f"settings.{key}", values, role)
    for key, values in _unequal(a.case.options, b.case.options).items():
        yield _difference(f"options.{key}", values, role)
    for name in ASKED:
        values = getattr(a.case, name), getattr(b.case, name)
        if values[0] != values[1]:
            yield _difference(name, values, role)
    loads = _unequal(level_of(a.case.load), level_of(b.case.load))
    if loads:
        shown = (", ".join(f"{k}={v[side]}" for k, v in loads.items()) for side in (0, 1))
        yield _difference("load", shown, role)
    if _prompts(a.info.plan, a.case) != _prompts(b.info.plan, b.case):
        yield _difference("prompts", ("", ""), role)
    elif a.info.plan.seed != b.info.plan.seed:
        yield _difference("seed", (a.info.plan.seed, b.info.plan.seed), Role.EXPLAINS)


def _observed(a: CaseSide, b: CaseSide) -> Iterator[SetupDifference]:
    """Differences in what was found, from the servers and the summaries."""
    first, second = a.summary.identity, b.summary.identity
    versions = first.server_version, second.server_version
    if all(versions) and versions[0] != versions[1]:
        yield _difference("server_version", versions, Role.COMPARED)
    elif any(versions) and not all(versions):
        message = "One side's version is not known: its numbers are read as those of the newest."
        one, other = (version or UNKNOWN_VERSION for version in versions)
        yield SetupDifference("server_version", one, other, Role.EXPLAINS, message)
    if a.summary.simulated != b.summary.simulated or first.engine != second.engine:
        yield _difference("engine", map(_engine, (a, b)), Role.BLOCKS)
    for key in ("digest", "quantization", "served_context"):
        one, other = getattr(first, key), getattr(second, key)
        if one and other and one != other:
            if key == "digest" and a.summary.model != b.summary.model:
                yield SetupDifference(key, _text(one), _text(other), Role.COMPARED, "")
            else:
                yield _difference(key, (one, other), Role.BLOCKS)
    yield from _slots(a.summary, b.summary)
    shares = [s for s in (first.gpu_share, second.gpu_share) if s is not None]
    if len(shares) == 2 and abs(shares[0] - shares[1]) > _GPU_SHARE_TOLERANCE:
        yield _difference("gpu_share", (f"{s:.0%}" for s in shares), Role.BLOCKS)
    lengths = first.mean_output_tokens or 0.0, second.mean_output_tokens or 0.0
    if all(lengths) and abs(lengths[1] / lengths[0] - 1) > _OUTPUT_TOLERANCE:
        shown = (f"{length:.0f}" for length in lengths)
        yield _difference("output_tokens", shown, Role.EXPLAINS, _ANSWER_LENGTH)
    requests = (a.summary.requests, b.summary.requests)
    counts = [(r.failed, r.ok + r.failed) for r in requests]
    failing = [failed / max(of, 1) for failed, of in counts]
    if abs(failing[1] - failing[0]) > _FAILED_TOLERANCE:
        shown = (f"{failed} of {of}" for failed, of in counts)
        yield _difference("failed_requests", shown, Role.EXPLAINS)
    yield from machine_differences(a.info.environment, b.info.environment)


def _slots(a: CaseSummary, b: CaseSummary) -> Iterator[SetupDifference]:
    """A known number of slots differs from another, or is below what the other side has at least.

    The number is known (`Identity.slots_observed`) once requests had to wait; until then only that
    there are at least as many as were seen at work together.
    """
    (seen, exact), (seen_other, exact_other) = (_slots_seen(case) for case in (a, b))
    if seen is None or seen_other is None:
        return
    if (exact and seen < seen_other) or (exact_other and seen_other < seen):
        shown = (f"{'' if known else 'at least '}{n}"
                 for n, known in ((seen, exact), (seen_other, exact_other)))  # fmt: skip
        yield _difference("slots_observed", shown, Role.BLOCKS, _WAITING)


def _slots_seen(case: CaseSummary) -> tuple[int | None, bool]:
    """(how many slots were seen at work, whether there are no more)."""
    if case.identity.slots_observed is not None:
        return case.identity.slots_observed, True
    metric = case.metrics.get("slots_observed")
    value = metric.stats["value"].value if metric and "value" in metric.stats else None
    return (None if value is None else round(value)), False


def _allowed(found: list[SetupDifference], allow: Collection[str]) -> list[SetupDifference]:
    return [
        replace(d, role=Role.ALLOWED)
        if d.role is Role.BLOCKS and {d.key, d.key.partition(".")[0]} & set(allow)
        else d
        for d in found
    ]


def _with_consequences(found: list[SetupDifference]) -> list[SetupDifference]:
    """What follows from a difference that is compared or allowed does not forbid anything."""
    soft: dict[str, Role] = {}
    for cause in found:
        if cause.role in (Role.COMPARED, Role.ALLOWED):
            soft = {**_CONSEQUENCES.get(cause.key, {}), **soft}
    return [
        replace(d, role=soft[d.key]) if d.role is Role.BLOCKS and d.key in soft else d
        for d in found
    ]


def _difference(
    key: str, values: Iterable[Any], role: Role, metrics: tuple[str, ...] = ()
) -> SetupDifference:
    first, second = map(_text, values)
    if first == second:  # they differ beyond what is shown
        first = second = ""
    return SetupDifference(key, first, second, role, _MEANING.get(key, ""), metrics)


def _text(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value).removeprefix("sha256:")
    if re.fullmatch("[0-9a-f]{64}", text):
        return text[:12]
    return text if len(text) <= 80 else f"{text[:79]}…"


def _unequal(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    keys = dict.fromkeys((*a, *b))
    return {k: (a.get(k), b.get(k)) for k in keys if a.get(k) != b.get(k)}


def _server(side: CaseSide) -> str:
    """The URL by which a server is reached, or the command by which it was started."""
    return "" if side.server is None else shlex.join(side.server.command) or side.server.url


def _engine(side: CaseSide) -> str:
    engine = side.summary.identity.engine or "ollama"
    return f"{engine} (simulated)" if side.summary.simulated and engine != "simulated" else engine


def level_of(load: Load) -> dict[str, Any]:
    """What makes a load level; how long it was kept up is no part of it.

    Whether an open loop settled first is: latencies from an empty server are of another kind.
    """
    return {
        "loop": load.loop,
        "users": load.users,
        "rate": load.rate_per_s,
        "arrivals": load.arrivals,
        "think_time": load.think_time_s,
        "settled": (load.loop == "open" and load.settle_s > 0) or None,
    }


def _prompts(plan: Plan, case: Case) -> tuple[Any, ...]:
    spec = case.prompts
    return (spec, plan.prompt_files.get(spec.file) if spec.file else None)
