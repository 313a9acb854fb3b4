"""Tables of how it was measured: identity, servers, models, environment, plan, client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from bench.report.model import SEPARATOR, CaseView, Report, RunView, shared_name
from bench.report.tables import Table, from_columns, from_pairs, number_column, text_column
from bench.report.units import RANGE, number, percent, plural, show_value
from bench.results.run import Residency

_DIGEST_DIGITS = 12


def identity_table(report: Report) -> Table:
    """What each result is a result of: what must agree for two results to be comparable."""
    groups = _same_identity(report.cases)
    cases = [group[0] for group in groups]
    ids = [c.summary.identity for c in cases]
    columns = [
        text_column("Case", [_covered(g, report.cases) for g in groups]),
        text_column("Digest", [short_digest(i.digest) for i in ids]),
        text_column("Quantisation", [i.quantization for i in ids]),
        text_column("Server", [f"{i.engine} {i.server_version}".strip() for i in ids]),
        text_column("Era", [i.era for i in ids]),
        text_column("num_ctx asked", [c.summary.options.get("num_ctx") for c in cases]),
        text_column("Context served", [i.served_context for i in ids]),
        text_column("On the GPU", [_share(i.gpu_share) for i in ids]),
        text_column("Slots", [_slots(c) for c in cases]),
        text_column("Output tokens, mean", [_mean_lengths(g) for g in groups]),
        text_column("Prompts", [i.prompts_sha256[:8] for i in ids]),
    ]
    caption, models = (
        "Identity: results are comparable only where these agree",
        [c.model for c in cases],
    )
    note = "Prompts: hash of all that was sent."
    return from_columns("identity", caption, columns, models=models, note=note)


def _same_identity(cases: Sequence[CaseView]) -> list[list[CaseView]]:
    groups: dict[str, list[CaseView]] = {}
    for case in cases:
        identity = replace(case.summary.identity, mean_output_tokens=None)
        key = repr((case.run, case.model, case.slots_asked, identity))
        groups.setdefault(key, []).append(case)
    return list(groups.values())


def _mean_lengths(group: Sequence[CaseView]) -> str:
    """The mean length of answers; from the shortest to the longest where cases differ."""
    means = [m for c in group if (m := c.summary.identity.mean_output_tokens) is not None]
    if not means:
        return ""
    return RANGE.join(dict.fromkeys(number(m, 1) for m in (min(means), max(means))))


def _covered(group: Sequence[CaseView], cases: Sequence[CaseView]) -> str:
    """The name of cases with one identity: the model where that says all."""
    if len(group) == 1:
        return group[0].label
    name, shared = shared_name(group), [a for a in group[0].axes if all(a in c.axes for c in group)]
    rest = [SEPARATOR.join(a for a in c.axes if a not in shared) for c in group]
    own = [c for c in cases if c.model == group[0].model and set(shared) <= set(c.axes)]
    return name if len(own) == len(group) else f"{name}{SEPARATOR}{', '.join(rest)}"


def short_digest(digest: str) -> str:
    """The first twelve hex digits, as `ollama list` shows them."""
    return digest.removeprefix("sha256:")[:_DIGEST_DIGITS]


def _share(share: float | None) -> str:
    return "" if share is None else percent(share)


def _slots(case: CaseView) -> str:
    counts = {"observed": case.summary.identity.slots_observed, "asked": case.slots_asked}
    return ", ".join(f"{n} {what}" for what, n in counts.items() if n)


def options_table(report: Report) -> Table:
    """The request options of every case, verbatim."""
    cases = report.cases
    names = dict.fromkeys(k for c in cases for k in c.summary.options)
    columns = [
        text_column("Case", [c.label for c in cases]),
        text_column("Endpoint", [c.summary.endpoint for c in cases]),
        text_column("Load", [load_text(c.summary.load) for c in cases]),
    ]
    for name in names:
        values = (c.summary.options.get(name) for c in cases)
        texts = (
            v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode()
            for v in values
        )
        columns.append(text_column(name, texts))
    caption, models = "Load and options of every case", [c.model for c in cases]
    return from_columns("options", caption, columns, models=models, folded=True)


_LOAD_WORDS: Final[dict[str, Callable[[Any], str]]] = {
    "loop": lambda v: f"{v} loop",
    "users": lambda v: plural(int(v), "user"),
    "rate_per_s": lambda v: f"{v:g} requests/s",
    "arrivals": lambda v: f"{v['kind']} arrivals" if isinstance(v, dict) and v.get("kind") else "",
    "requests": lambda v: f"{plural(int(v), 'request')} a block",
    "duration_s": lambda v: f"{v:g} s a block",
    "settle_s": lambda v: f"after {v:g} s to settle",
}


def load_text(load: dict[str, Any]) -> str:
    """A load level in words: "closed loop, 4 users, 40 requests a block"."""
    said = (words(load[key]) for key, words in _LOAD_WORDS.items() if load.get(key))
    return ", ".join(filter(None, said))


def server_table(view: RunView, number: int) -> Table:
    """The servers of a run as they were found."""
    targets = view.run.info.targets
    same_host = {True: "yes", False: "no", None: "unknown"}
    columns = [
        text_column("Target", [t.name for t in targets]),
        text_column("Address", [t.url for t in targets]),
        text_column("Engine", [t.engine for t in targets]),
        text_column("Version", [t.version for t in targets]),
        text_column("Same host as client", [same_host[t.same_host] for t in targets]),
        text_column("Known settings", [_settings(t.settings) for t in targets]),
    ]
    return from_columns(f"servers-{number}", _of("Servers", view), columns)


def model_table(view: RunView, number: int) -> Table:
    """The models of a run as the servers describe them."""
    models = view.run.info.models
    columns = [
        text_column("Model", [m.name for m in models]),
        text_column("Target", [m.target for m in models]),
        text_column("Digest", [short_digest(m.digest) for m in models]),
        text_column("Family", [m.family for m in models]),
        text_column("Parameters", [m.parameter_size for m in models]),
        text_column("Quantisation", [m.quantization for m in models]),
        number_column("Size", "B", [m.size_bytes for m in models]),
        text_column("Context limit", [m.context_limit for m in models]),
        text_column("Capabilities", [", ".join(m.capabilities) for m in models]),
    ]
    names = [m.name for m in models]
    return from_columns(f"models-{number}", _of("Models", view), columns, models=names)


def environment_table(view: RunView, number: int) -> Table:
    """The machine of the client, and the program."""
    info = view.run.info
    env = info.environment
    cpu = env.get("cpu") if isinstance(env.get("cpu"), dict) else {}
    assert isinstance(cpu, dict)
    known = cpu.get("cores") and cpu.get("threads")
    cores = f"{cpu['cores']} cores, {cpu['threads']} threads" if known else ""
    memory, gpus = env.get("memory_bytes"), env.get("gpus")
    gpus = [g for g in gpus if isinstance(g, dict)] if isinstance(gpus, list | tuple) else []
    pairs: list[tuple[str, object]] = [
        ("ollama-bench", info.tool_version),
        ("Operating system", _words(env.get("os"), env.get("machine"))),
        ("Processor", _words(cpu.get("model"), cores)),
        ("CPU governor", cpu.get("governor")),
        ("Load average before (1 min)", cpu.get("load_1m")),
        ("Memory", show_value(memory, "B").number if isinstance(memory, int | float) else None),
        *((f"GPU {i}", _gpu(gpu)) for i, gpu in enumerate(gpus)),
        ("Python", env.get("python")),
        ("Ollama settings seen by the client", _settings(env.get("settings"))),
        ("Transport", _transport(view)),
        *(("File", note) for note in info.plan.notes),
        ("Started", info.created_at),
        ("Finished", info.finished_at),
    ]
    return from_pairs(f"environment-{number}", _of("Environment of the client", view), pairs)


def block_record_table(report: Report) -> Table | None:
    """Order and time of the blocks, what `/api/ps` said around each, and how the client did."""
    rows = [(v, b) for v in report.runs for b in v.run.info.blocks]
    if not rows:
        return None
    blocks = [b for _, b in rows]
    health = [b.health for b in blocks]
    loading = [None if b.load_ns is None else b.load_ns / 1e9 for b in blocks]
    seeds = [{p.index: p.seed for p in v.run.info.plan.blocks}.get(b.index) for v, b in rows]
    names = [report.case_label(report.runs.index(v), b.case) for v, b in rows]
    columns = [
        text_column("Block", [f"{b.number}: {n}" for b, n in zip(blocks, names, strict=True)]),
        number_column("Start", "s", [b.start_ns / 1e9 for b in blocks]),
        number_column("Length", "s", [(b.end_ns - b.start_ns) / 1e9 for b in blocks]),
        number_column("Loading", "s", loading),
        text_column("Seed", [None if s is None else str(s) for s in seeds]),
        text_column("On the GPU before", [_placed(b.before) for b in blocks]),
        text_column("after", [_placed(b.after) for b in blocks]),
        number_column("VRAM after", "B", [b.after.vram_bytes if b.after else None for b in blocks]),
        text_column("Other models", [", ".join(b.after.others) if b.after else "" for b in blocks]),
        text_column("Dropped arrivals", [b.dropped or None for b in blocks]),
        number_column("Event-loop lag p99", "ms", [h.loop_lag_p99_ms for h in health]),
        number_column("Sent late p99", "ms", [h.send_late_p99_ms for h in health]),
        number_column("Client CPU", "share", [h.cpu_share for h in health]),
        text_column("Remarks", ["; ".join(b.notes) for b in blocks]),
    ]
    caption = "Order and time of the blocks, server memory, client health"
    note = f"Server memory is read from /api/ps outside the timed path.{_page_cost(report)}"
    more: dict[str, Any] = {"filterable": len(rows) > 12, "folded": True}
    return from_columns("block-records", caption, columns, note=note, **more)


def _page_cost(report: Report) -> str:
    """What `--web` cost, in words."""
    watched = [v.run.info.environment.get("telemetry") for v in report.runs]
    costs = [t["page_of_a_core"] for t in watched if isinstance(t, dict) and "page_of_a_core" in t]
    said = f" The page of --web took {percent(max(costs, default=0), 1)} of a core"
    return f"{said}, in a process of its own." if costs else ""


def _placed(residency: Residency | None) -> str:
    return _share(residency.gpu_share) if residency else ""


def _of(title: str, view: RunView) -> str:
    return f"{title}, {view.label}" if view.label else title


def _settings(settings: object) -> str:
    if not isinstance(settings, dict):
        return ""
    return ", ".join(f"{k}={v}" for k, v in settings.items())


def _words(*parts: object) -> str:
    return ", ".join(str(p) for p in parts if p)


def _gpu(gpu: dict[str, Any]) -> str:
    said = {"driver": "driver {}", "memory_mib": "{} MiB", "power_limit_w": "power limit {} W"}
    known = (text.format(gpu[key]) for key, text in said.items() if gpu.get(key))
    return _words(gpu.get("name", "unknown"), *known)


def _transport(view: RunView) -> str:
    transport = view.run.info.transport
    if transport is None:
        return ""
    if transport.load_from:
        where = f"{plural(transport.workers, 'sender')} from {transport.load_from}"
        return _words(transport.name, where)
    workers = plural(transport.workers, "worker")
    return _words(transport.name, workers if transport.workers > 1 else "", transport.reason)
