"""The evidence of a run, as one block of markdown to paste into a bug report.

It holds what reports on a slower server lacked most often: the lines of the server's log on layers,
cache, flash attention and slots; machine, versions and digests; requested and served context;
options; every block in its order; raw fields of single requests; what failed; the verdict; and the
command that repeats it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any

import msgspec

from bench.analysis.comparison.result import Comparison
from bench.analysis.run.summary import Summary
from bench.hidden import scrub
from bench.report.comparison.comparison_page import comparison_page
from bench.report.identity_tables import block_record_table, model_table, server_table
from bench.report.markdown import markdown, table_markdown
from bench.report.model import build_report
from bench.report.run_page import run_page
from bench.report.tables import Table, from_columns, present, text_column
from bench.results.directory import Run
from bench.results.record import Phase, RequestRecord
from bench.scenario.plan import Plan
from bench.shown import all_shown
from bench.wire.exchange import ServerTimings

SCENARIO = "scenario.yaml"
_REQUESTS = 20
_LINES = 60
_TOLD = re.compile(
    r"layers|offload|flash|kv[ _-]?(cache|self|size)|n_ctx|num_ctx|context|parallel|slot|n_batch"
    r"|vram|memory|gpu|cuda|rocm|metal|vulkan|cpu|library|llama_|version|runner|evict|error|fail",
    re.IGNORECASE,
)
"""Lines of a server's log that say where the model went and how it was started."""


def evidence(
    runs: Sequence[Run],
    summaries: Sequence[Summary],
    logs: Mapping[str, str],
    comparisons: Sequence[Comparison] = (),
) -> str:
    """The block of markdown; `logs` are of servers, by name."""
    report = all_shown(build_report(runs, summaries))
    parts = [markdown(comparison_page([c], charts=False)) for c in comparisons]
    parts.append(markdown(run_page(runs, summaries)))
    tables = [t(v, i) for i, v in enumerate(report.runs) for t in (server_table, model_table)]
    found = present(*tables, block_record_table(report), _requests(runs))
    inside = [table_markdown(t) for t in found]
    parts.append(_folded("Blocks, server memory, single requests", "\n\n".join(inside)))
    for name, log in logs.items():
        lines = telling_lines(log)
        parts.append(_folded(f"Server log: {name}", _fenced(lines)) if lines else "")
    if not logs:
        said = "No server log: the server was not started by ollama-bench. Add its log, with the "
        parts.append(f"{said}lines on layers, KV cache, flash attention and parallel slots.")
    parts.append(_repeat(runs))
    return scrub("\n\n".join(p.strip() for p in parts if p)) + "\n"


def telling_lines(log: str) -> list[str]:
    """The last lines of a log that say how the model was loaded."""
    return [line[:400] for line in log.splitlines() if _TOLD.search(line)][-_LINES:]


def _fenced(lines: Sequence[str]) -> str:
    longest = max((len(m) for line in lines for m in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((fence, *(all_shown(line) for line in lines), fence))


def _folded(title: str, inside: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{inside}\n\n</details>" if inside else ""


def _requests(runs: Sequence[Run]) -> Table:
    """The first measured requests of each run as the server sent them; all are in the zip."""
    rows = [
        (run.info.id, r)
        for run in runs
        for r in islice((r for r in run.records if r.phase is Phase.MEASURE), _REQUESTS)
    ]
    records = [all_shown(r) for _, r in rows]
    raw = [f.name for f in fields(ServerTimings)]
    columns = [text_column("Run", [run for run, _ in rows])] if len(runs) > 1 else []
    columns += [
        text_column("Case", [r.case for r in records]),
        text_column("Block", [r.block + 1 for r in records]),
        text_column("Request", [r.index + 1 for r in records]),
        text_column("Outcome", [r.outcome.value for r in records]),
        text_column("TTFT, ns", [_ttft(r) for r in records]),
        *(text_column(name, [getattr(r.server, name) for r in records]) for name in raw),
        text_column("Output hash", [r.output_sha256 for r in records]),
    ]
    note = f"The first {_REQUESTS} measured requests of each run; requests.jsonl has all."
    return from_columns("raw-requests", "Raw fields of requests", columns, note=note)


def _ttft(record: RequestRecord) -> int | None:
    stamps = [s for s in (record.first_thinking_ns, record.first_answer_ns) if s is not None]
    if record.sent_ns is None or not stamps:
        return None
    return min(stamps) - record.sent_ns


def _repeat(runs: Sequence[Run]) -> str:
    """The commands that measure the same again, with the scenarios that the zip holds."""
    names = (scenario_name(number, len(runs)) for number in range(len(runs)))
    commands = (again(run.info.plan, name) for run, name in zip(runs, names, strict=True))
    lines = [shlex.join(["ollama-bench", *words]) for words in commands]
    return "**The same again**, with the scenarios in the zip:\n\n" + _fenced(lines)


def again(plan: Plan, name: str) -> list[str]:
    """The arguments that measure a plan again: of `run`, or of `ab` if it has two sides.

    Args:
        plan: of the run.
        name: file of its scenario; of `ab`, of what both sides share (`shared_scenario`).
    """
    if plan.scenario_b is None:
        words = ["run", name, "--seed", str(plan.seed)]
        for option, values in _chosen(plan, plan.scenario, "").items():
            words += [w for value in values for w in (f"--{option}", value)]
        return words
    pairs = sum(b.case == plan.cases[0].id for b in plan.blocks)
    words = ["ab", name, "--seed", str(plan.seed), "--pairs", str(pairs)]
    for letter, scenario in (("a", plan.scenario), ("b", plan.scenario_b)):
        chosen = _chosen(plan, scenario, f"{letter}: ")
        own = [f"{key}={v}" for key, values in chosen.items() for v in values]
        own += _own_keys(scenario, shared_scenario(plan))
        words += [w for text in own or [f"seed={plan.seed}"] for w in (f"--{letter}", text)]
    return words


def _chosen(plan: Plan, scenario: dict[str, Any], side: str) -> dict[str, list[str]]:
    """Models and servers that were chosen on the command line, not in the scenario."""
    cases = [c for c in plan.cases if c.id.startswith(side)]
    used = {c.target for c in cases}
    urls = [t.url for t in plan.targets if t.name in used and t.url]
    models = [] if scenario.get("models") else list(dict.fromkeys(c.model for c in cases))
    return {"model": models, "host": [] if scenario.get("targets") else urls}


def shared_scenario(plan: Plan) -> dict[str, Any]:
    """The keys of a scenario that both sides of `ab` have, with the values that they share."""
    return _shared(plan.scenario, plan.scenario_b or plan.scenario)


def _shared(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in a.keys() & b.keys():
        if a[name] == b[name]:
            found[name] = a[name]
        elif isinstance(a[name], dict) and isinstance(b[name], dict):
            found[name] = _shared(a[name], b[name])
    return {name: found[name] for name in a if name in found}


def _own_keys(scenario: dict[str, Any], shared: dict[str, Any], path: str = "") -> list[str]:
    """What a side sets besides what both share, as `--a` and `--b` take it."""
    own: list[str] = []
    for name, value in scenario.items():
        if name not in shared:
            own.append(f"{path}{name}={msgspec.json.encode(value).decode()}")
        elif isinstance(value, dict) and value != shared[name]:
            own += _own_keys(value, shared[name], f"{path}{name}.")
    return own


def scenario_name(number: int, runs: int) -> str:
    """What the scenario of a run is called in the zip."""
    return SCENARIO if runs == 1 else f"{number + 1}/{SCENARIO}"
