"""What is said when a server's numbers, its stream and the client's clock do not fit together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.client_checks import stamped_here
from bench.analysis.run.columns import Bools, Columns, Floats, seconds
from bench.analysis.run.evidence import CARRIES_STEPS, MIN_TO_JUDGE, SHAPES, Shape
from bench.analysis.run.other_load import UNTIMED_GRAMMAR, UNTIMED_SAMPLING, unnamed_s
from bench.analysis.run.plausibility import FIELD_NAMES, FIELDS, Reason
from bench.analysis.run.summary import CaseSummary
from bench.results.run import ClientHealth, RunInfo, RunWarning
from bench.results.warning_codes import WarningCode

HEADLINE_FIELDS = ("eval_ns", "output_tokens", "prompt_eval_ns", "prompt_tokens")
"""What decode, prefill and output speed rest on."""
PLACEHOLDERS = (Reason.ZERO, Reason.NO_NUMBER)
"""Nothing was claimed: the number is absent, not false."""
INVALID_SHARE = 0.5
"""Of the requests: if more than this lose a field to the court, a headline would rest on it."""
MIN_STREAM_SHARE = 0.01
CLOCKS_AGREE = 0.05
"""Decode speed by the server's clock and by the client's: this much apart is agreement. In the
recordings of 0.32.15 they are 0 to 0.5 % apart."""
GRAVE_FACTOR = 1.5  # clocks that are further apart leave no speed to be trusted
MIN_TOKENS = 8
ALL_SEEN = 0.97  # only where nearly every token was seen does the client have a clock of its own
MIN_UNACCOUNTED_S = 0.02
"""Rendering and tokenising take 1 to 15 ms (medians) in the recordings of real servers."""
MIN_OUTSIDE_S = 0.05  # more, since a network lies between
UNACCOUNTED_SHARE = 0.5
MIN_ALONE = 3
CHUNKS_PER_TOKEN = (0.85, 1.15)
MOSTLY_OURS, HARDLY_OURS = 0.5, 0.1
"""The part of the streams that came too fast which this program's own lag accounts for: from the
one on it is the reason, below the other it is not, between them it may be."""


def evidence_warnings(info: RunInfo, data: CaseData, summary: CaseSummary) -> Iterator[RunWarning]:
    """What is wrong with what the server said in a case."""
    if not len(data.ok):
        return
    yield from _refused(data)
    yield from _streams(data)
    yield from _chunks(data, summary)
    yield from _clocks(info, data)
    yield from _unaccounted(data)
    yield from _outside(info, data)
    yield from _other_model(data)


def _refused(data: CaseData) -> Iterator[RunWarning]:
    """One warning a reason; fields that lack it in the same requests share one."""
    ok = data.ok
    found: list[tuple[Reason, bytes, str, Bools]] = []
    for i, field in enumerate(FIELDS):
        for code in np.unique(ok.refused[:, i][ok.refused[:, i] > 0]).tolist():
            rows = np.equal(ok.refused[:, i], code)
            found.append((Reason(code), rows.tobytes(), field, rows))
    found.sort(key=lambda f: (f[0], f[1], FIELDS.index(f[2])))
    for (reason, _), group in groupby(found, key=lambda f: (f[0], f[1])):
        same = list(group)
        fields, rows = [f[2] for f in same], same[0][3]
        headline = reason not in PLACEHOLDERS and any(f in HEADLINE_FIELDS for f in fields)
        names = " and ".join(FIELD_NAMES[f] for f in fields)
        first = int(np.flatnonzero(rows)[0])
        yield RunWarning(
            WarningCode.IMPLAUSIBLE,
            f"{names} cannot be true in {rows.sum()} of {len(ok)} replies: "
            f"{'each ' if len(fields) > 1 else ''}{reason.text} "
            f"(first: request {ok.index[first] + 1} of block {ok.block[first] + 1})",
            "They are left out of every number; requests.jsonl has them as they came. Look at what "
            "answers there: a server that is not Ollama, or a proxy that makes up numbers.",
            invalidates=bool(headline and rows.mean() > INVALID_SHARE),
        )


def _streams(data: CaseData) -> Iterator[RunWarning]:
    ok = data.ok
    streams = max(int((ok.shape != Shape.NONE).sum()), 1)
    late = np.isin(ok.shape, (Shape.ONE_PIECE, Shape.HELD_BACK))
    held = late | np.equal(ok.shape, Shape.HELD_AT_START)
    if held.sum() > MIN_STREAM_SHARE * streams:
        at_once = int(np.equal(ok.shape, Shape.ONE_PIECE).sum())
        how = f", {at_once} of them all at once" if at_once else ""
        why, cure = _who_held(data, held, streams)
        yield RunWarning(
            WarningCode.STREAM_HELD_BACK,
            f"{held.sum()} of {streams} streams, or the beginning of them, came faster than the "
            f"tokens can have been made{how}: {why}",
            f"{cure} ttft_s is when their first text came here; itl_s leaves these streams out"
            + (f", and tpot_s {late.sum()} of them." if late.any() else "."),
        )
    bursts = np.isin(ok.shape, (Shape.BURSTS, Shape.FEW_BURSTS))
    if bursts.sum() > MIN_STREAM_SHARE * streams:
        few = int(np.equal(ok.shape, Shape.FEW_BURSTS).sum())
        yield RunWarning(
            WarningCode.STREAM_IN_BURSTS,
            f"{bursts.sum()} of {streams} streams came several tokens at a time",
            f"{_who_gathered(data, bursts)} itl_s leaves these streams out"
            + (f", and tpot_s of those with too few bursts ({few})." if few else "."),
        )


def _who_held(data: CaseData, held: Bools, streams: int) -> tuple[str, str]:
    """A clause, and what to do about it."""
    ok, healths = data.ok.select(held), _healths(data, held)
    longest_s = max((max(h.loop_lag_max_ms or 0, 1e3 * h.stalled_s) for h in healths), default=0)
    longest_s /= 1e3
    if any(h.loop_lag_mean_ms is not None for h in healths):
        ours = _part_read_late(ok, _lag_s(healths), longest_s) / (len(ok) / streams)
    else:
        ours = float(bool(healths) and all(h.stalled_s > 0 for h in healths))
    between = "something between here and the server holds the stream back"
    late = f"this program read them late, for it stood still for up to {longest_s:.2g} s"
    stop = "Stop other work on this machine, or measure from another one."
    proxy = "A proxy that buffers: switch that off, or measure without it."
    if ours >= MOSTLY_OURS:
        return late, stop
    if ours < HARDLY_OURS:
        return between, proxy
    return f"{late}, or {between}", f"{stop} {proxy}"


def _who_gathered(data: CaseData, bursts: Bools) -> str:
    """Why tokens came several at a time, in a sentence."""
    ok, healths = data.ok.select(bursts), _healths(data, bursts)
    lag_s, known = _lag_s(healths), any(h.loop_lag_mean_ms is not None for h in healths)
    steps = seconds(ok.eval_ns / np.maximum(ok.output_tokens - 1, 1))
    step_s = _median(steps[~np.isnan(steps)])
    # Who gathers two tokens at a time stops for two steps, again and again: a mean lag of one.
    ours = lag_s / step_s if step_s and known else HARDLY_OURS
    if ours >= MOSTLY_OURS:
        return (
            f"This program was {lag_s:.2g} s late on average in its own work, and a token takes "
            f"{step_s:.2g} s: stop other work on this machine, or measure from another one."
        )
    others = "The server drafts ahead or sends in bursts, {}something between here and it gathers "
    if ours < HARDLY_OURS:
        return others.format("or ") + "the stream."
    return others.format("") + "the stream, or this machine reads late."


def _healths(data: CaseData, rows: Bools) -> list[ClientHealth]:
    return [i.health for b, i in data.infos.items() if (data.ok.block[rows] == b).any()]


def _lag_s(healths: Iterable[ClientHealth]) -> float:
    """How late this program was in its own work, on average over the worst block."""
    return max((h.loop_lag_mean_ms or 0.0 for h in healths), default=0.0) / 1e3


def _stamped_late(info: RunInfo, data: CaseData, lost_s: float) -> str:
    """A sentence where this program's own lag explains half of what a request lost, or more.

    Stamps of the kernel do not hold that lag.
    """
    lag_s = _lag_s(i.health for i in data.infos.values())
    if not stamped_here(info, data) or 2 * lag_s < 0.5 * lost_s:  # always late by L: mean L/2
        return ""
    return (
        f"This program was {lag_s:.2g} s late on average in its own work, and stamped what came so "
        "much too late: stop other work on this machine. Else: "
    )


def _part_read_late(held: Columns, lag_s: float, longest_s: float) -> float:
    """The part of all streams that this program can have read late, by its own lag.

    Text that was made in s seconds comes at once only if nothing is read for about as long. With a
    mean lag m there are at most 2m/s² such stops a second, for each adds s²/2 to the sum of lags. A
    stop hits all streams that are open, so of streams of length T it hits a part 2mT/s².
    """
    span, took = held.last_text_ns - held.first_text_ns, held.end_ns - held.sent_ns
    # At least the tokens of the first piece came late, if the others came in their own rhythm.
    first = MIN_TO_JUDGE / np.maximum(held.output_tokens, MIN_TO_JUDGE)
    lost = seconds(np.maximum(held.eval_ns - span, first * held.eval_ns))
    lost_s = _median(lost[~np.isnan(lost)]) or _median(seconds(took))
    if longest_s < 0.5 * lost_s:
        return 0.0
    return 2 * lag_s * _median(seconds(took)) / lost_s**2


def _chunks(data: CaseData, summary: CaseSummary) -> Iterator[RunWarning]:
    counted = summary.metrics["chunk_per_token"].value
    ratio = _chunks_per_limit(data.ok) if counted is None else counted
    low, high = CHUNKS_PER_TOKEN
    if ratio is None or low <= ratio <= high:
        return
    hidden = int(np.equal(data.ok.shape, Shape.HIDDEN).sum())
    usable = [id for id in ("tpot_s", "decode_tok_per_s") if summary.metrics[id].n]
    if (hidden or counted is None) and "tpot_s" in usable:
        usable.remove("tpot_s")
    why = ", if the answers ended at num_predict as they say" if counted is None else ""
    if hidden:
        seen = int((np.equal(data.ok.shape, Shape.HIDDEN) & ~np.isnan(data.ok.steps)).sum())
        why += f"; in {hidden} replies {SHAPES[Shape.HIDDEN]}"
        why += f": their tpot_s is of the tokens that were seen ({seen})" if seen else ""
    yield RunWarning(
        WarningCode.CHUNK_NOT_TOKEN,
        f"{ratio:.2f} chunks came per token: gaps between chunks are not gaps between tokens{why}",
        f"Use {' or '.join(usable)} instead of itl_s. Thinking that is not shown, tool calls and "
        "characters of several tokens do this; so does a wrong eval_count."
        if usable
        else "This stream gives no time per token.",
    )


def _chunks_per_limit(ok: Columns) -> float | None:
    """Chunks of text per token where no count stands, of answers that ended at `num_predict`."""
    counted = FIELDS.index("output_tokens")
    rows = ok.stream & np.equal(ok.refused[:, counted], Reason.FEWER_THAN_LIMIT)
    tokens = float(ok.num_predict[rows].sum())
    return float(ok.text_chunks[rows].sum()) / tokens if tokens else None


def _clocks(info: RunInfo, data: CaseData) -> Iterator[RunWarning]:
    """Decode speed, by the server's clock and by the client's."""
    ok = data.ok
    free = 1 if data.era.first_token_free else 0
    span = ok.last_text_ns - ok.first_text_ns
    each = ok.eval_ns / np.maximum(ok.output_tokens - free, 1)
    rows = np.isin(ok.shape, CARRIES_STEPS) & (ok.output_tokens >= MIN_TOKENS)
    rows &= ok.text_chunks >= ALL_SEEN * (ok.output_tokens - 1)
    rows &= ~np.isnan(ok.steps) & ~np.isnan(each)
    steps = float(ok.steps[rows].sum())
    server_s, client_s = (float(seconds(x[rows]).sum()) for x in (each * ok.steps, span))
    if not steps or not server_s or not client_s:
        return
    ratio = client_s / server_s
    agree = CLOCKS_AGREE
    if not data.era.first_token_free:  # the end token is timed, and not counted
        agree += rows.sum() / ok.output_tokens[rows].sum()
    above = agree
    if data.era.sampling_untimed:
        above = UNTIMED_GRAMMAR if data.case.format else UNTIMED_SAMPLING
    if 1 / (1 + agree) <= ratio <= 1 + above:
        return
    apart = max(ratio / (1 + above), 1 / ratio / (1 + agree)) * (1 + CLOCKS_AGREE)
    yield RunWarning(
        WarningCode.CLOCKS_DISAGREE,
        f"the server's own times say {steps / server_s:.4g} tok/s (decode_tok_per_s), the arrivals "
        f"at this client {steps / client_s:.4g} tok/s (1 / tpot_s): {max(ratio, 1 / ratio):.3g} "
        "times apart",
        f"{_stamped_late(info, data, abs(client_s - server_s) / rows.sum())}"
        "One of them is wrong: a server that does not time decoding alone, or something between "
        "here and the server that slows the stream or sends it in its own rhythm.",
        invalidates=apart > GRAVE_FACTOR,
    )


def _median(values: Floats) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _unaccounted(data: CaseData) -> Iterator[RunWarning]:
    """Time of lone requests that is in no part; what the network takes is not counted."""
    lacking = np.where(data.ok.alone, unnamed_s(data), np.nan)
    known = ~np.isnan(lacking)
    prompt_s = _median(data.times["prompt_eval_s"][known])
    lost = _median(lacking[known])
    if known.sum() < MIN_ALONE or lost <= MIN_UNACCOUNTED_S + UNACCOUNTED_SHARE * prompt_s:
        return
    yield RunWarning(
        WarningCode.UNACCOUNTED_TIME,
        f"requests that were alone spent {lost:.3g} s (median) in no part that the server names: "
        f"their prompts are said to take {prompt_s:.3g} s",
        "Somebody else uses this server, or its durations are not what they should be (another "
        "unit, a part left out): then prefill and decode speed are too high.",
    )


def _outside(info: RunInfo, data: CaseData) -> Iterator[RunWarning]:
    """Time that the client waited beyond the server's total."""
    outside, total = data.times["overhead_s"], data.times["total_s"]
    known = ~np.isnan(outside)
    lost, accounted = _median(outside[known]), _median(total[known])
    if known.sum() < MIN_ALONE or lost <= MIN_OUTSIDE_S + UNACCOUNTED_SHARE * accounted:
        return
    yield RunWarning(
        WarningCode.TIME_OUTSIDE_SERVER,
        f"half of the requests took {lost:.3g} s or more beyond the {accounted:.3g} s that the "
        "server says they took",
        f"{_stamped_late(info, data, lost)}"
        "A slow network, a proxy with a queue of its own, or durations in another unit: then the "
        "server's speeds are wrong.",
    )


def _other_model(data: CaseData) -> Iterator[RunWarning]:
    """Replies that name another model than the one that was asked."""
    renamed = data.ok.renamed
    other = renamed != ""
    if not other.any():
        return
    names = np.unique(renamed[other]).tolist()
    mixed = len(names) > 1 or not other.all()
    yield RunWarning(
        WarningCode.OTHER_MODEL,
        f"{data.case.model} was asked, and {other.sum()} of {len(other)} replies say they come "
        f"from {', '.join(names[:3])}",
        "Something between here and the server chooses models: ask the server itself."
        if mixed
        else "If that is another name of the same model, ask for it by this one.",
        invalidates=bool(mixed),
    )


def server_changes(info: RunInfo) -> Iterator[RunWarning]:
    """Another version, or another model under the same name, in the course of a run."""
    found = []
    for target in info.targets:
        mine = {c.id for c in info.plan.cases if c.target == target.name}
        later = [b.server_version for b in info.blocks if b.case in mine]
        first, *others = dict.fromkeys(filter(None, [target.version, *later])) or [""]
        if others:
            said = f"{target.name} said it was version {first}, then {', '.join(others)}"
            found.append((said, "updated"))
    for model in info.models:
        cases = {c.id for c in info.plan.cases if (c.target, c.model) == (model.target, model.name)}
        readings = [r for b in info.blocks if b.case in cases for r in (b.before, b.after)]
        seen = [r.digest for r in readings if r is not None and r.loaded]
        digests = dict.fromkeys(d.removeprefix("sha256:") for d in [model.digest, *seen] if d)
        if len(digests) > 1:
            said = f"{model.name} on {model.target} was {len(digests)} different models (digests "
            listed = ", ".join(d[:12] for d in digests)
            found.append((f"{said}{listed})", "pulled or made anew"))
    for said, how in found:
        yield RunWarning(
            WarningCode.SERVER_CHANGED,
            said,
            f"It was {how} meanwhile, or several servers share the address: measure again.",
            invalidates=True,
        )
