"""Many people's runs on one page: machines, models and versions in one table.

Nothing is judged here: runs of different machines are different experiments, so the table says what
each number is a number of, and its interval. Only the same case on the same machine under several
versions of the server makes a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import msgspec

from bench.analysis.comparison.causes import hardware_of
from bench.analysis.run.summary import CaseSummary, Estimate, Summary
from bench.analysis.run.summary_json import to_json
from bench.ollama.eras import parse_version
from bench.report.page import SIMULATED, Answer, Badge, Item, Notice, Page, Prose, Section
from bench.report.tables import Table, TableColumn, estimate_column, from_columns, text_column
from bench.report.units import count, plural, show
from bench.results.run import RunInfo

_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = (
    ("Decode", "decode_tok_per_s", "value", "tok/s"),
    ("TTFT p50", "ttft_s", "p50", "s"),
    ("Throughput", "output_tok_per_s", "value", "tok/s"),
    ("Prefill", "prefill_tok_per_s", "value", "tok/s"),
)
_TOLD = 8
"""Models that the verdict names; the others are one click away."""
_OFTEN_ALIKE = ("Quantisation", "Scenario", "Load", "Context", "On GPU", "Failed", "State")
_READ = (
    "One row a case of a run. Numbers of different machines, models, contexts or loads are of "
    "different things; the columns say of what. Intervals are 95 %. Click a head to sort, type in "
    "the field to filter: every word must be in the row. The page holds all of it; nothing was "
    "sent anywhere."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One case of one run."""

    info: RunInfo
    summary: Summary
    case: CaseSummary

    @property
    def machine(self) -> str:
        """What its server computed on, as far as known."""
        place = {t.name: t.same_host for t in self.info.targets}.get(self.case.target)
        hardware = hardware_of(self.info.environment) or "unknown machine"
        return hardware if place is not False else f"another host than {hardware}"

    @property
    def load(self) -> str:
        """Users or rate."""
        users, rate = self.level
        return plural(int(users), "user") if users else f"{rate:g}/s" if rate else ""

    @property
    def level(self) -> tuple[float, float]:
        """Users and rate as numbers, by which loads are sorted."""
        known = (self.case.load.get(name) for name in ("users", "rate_per_s"))
        users, rate = (n if isinstance(n, int | float) else 0 for n in known)
        return users, rate

    @property
    def line(self) -> tuple[object, ...]:
        """Equal for entries that differ in the version of the server and in time only."""
        identity = self.case.identity
        server = (identity.digest, identity.engine, identity.quantization, identity.served_context)
        asked = (self.case.id, self.load, identity.prompts_sha256)
        share = identity.gpu_share and round(identity.gpu_share, 2)
        return (self.machine, self.case.model, *server, *asked, share)


def board_page(runs: Sequence[tuple[RunInfo, Summary]], left_out: Sequence[str] = ()) -> Page:
    """The page; `left_out` says which run directories could not be read."""
    entries = [Entry(info, summary, case) for info, summary in runs for case in summary.cases]
    entries.sort(key=lambda e: (e.machine, e.case.model, e.level, _version(e), e.info.created_at))
    table, lines = _table(entries), _lines(entries)
    machines = dict.fromkeys(e.machine for e in entries)
    models = tuple(dict.fromkeys(e.case.model for e in entries))
    invalid = sum(not summary.valid for _, summary in runs)
    made_up = sum(summary.simulated for _, summary in runs)
    badges = []
    if made_up:
        said, meaning = f"{made_up} of {plural(len(runs), 'run')} simulated", SIMULATED.help
        badges.append(Badge(said, "caution", meaning.replace("these numbers", "their numbers")))
    if invalid:
        badges.append(Badge(f"{invalid} invalid", "bad", "Do not trust their numbers."))
    answers = tuple(_fastest(entries, model) for model in models)
    narrow, same = _without_constants(table)
    advice = "Take the run directory from where it was made."
    items: list[Item] = [Prose(_READ), *([Prose(same)] if same else []), narrow, *lines]
    return Page(
        title="Board",
        subtitle="Machines, models and versions side by side",
        badges=tuple(badges),
        facts=(
            ("Runs", count(len(runs))),
            ("Machines", count(len(machines))),
            ("Models", count(len(models))),
            ("Versions", count(len({e.case.identity.server_version for e in entries}))),
        ),
        findings=answers[:_TOLD],
        answers=answers[_TOLD:],
        warnings=tuple(Notice("left_out", message, advice) for message in left_out),
        sections=(Section("board", "All cases", tuple(items)),),
        brief=(table, *lines),
        simulated=bool(made_up) and made_up == len(runs),
        data=msgspec.json.encode([to_json(summary) for _, summary in runs]),
        data_name="summaries.json",
    )


def _fastest(entries: Sequence[Entry], model: str) -> Answer:
    """Where a model decoded fastest; runs that are invalid or made up do not count."""
    found = [
        (e, entry)
        for entry in entries
        if entry.case.model == model and entry.summary.valid and not entry.case.simulated
        if (e := _estimate(entry, "decode_tok_per_s", "value")) and e.value is not None
    ]
    if not found:
        return Answer(model, (("has no decode speed in a valid, real run.",),), model)
    speed, best = max(found, key=lambda pair: pair[0].value or 0.0)
    runs = len({entry.info.id for _, entry in found})
    where = f"{best.machine}, {best.case.identity.engine} {best.case.identity.server_version}"
    said = f"decoded fastest at {show(speed, 'tok/s').full} ({where}), of {plural(runs, 'run')}."
    return Answer(model, ((said,),), model)


def _estimate(entry: Entry, metric: str, stat: str) -> Estimate | None:
    found = entry.case.metrics.get(metric)
    return found.stats.get(stat) if found else None


def _state(entry: Entry) -> str:
    if entry.case.simulated:
        return "simulated"
    if not entry.summary.valid:
        return "invalid"
    return "" if entry.summary.status == "complete" else entry.summary.status


def _table(entries: Sequence[Entry]) -> Table:
    identities = [e.case.identity for e in entries]
    shares = [i.gpu_share for i in identities]
    columns = [
        text_column("Machine", [e.machine for e in entries]),
        text_column("Model", [e.case.model for e in entries]),
        text_column("Quantisation", [i.quantization for i in identities]),
        text_column("Server", [f"{i.engine} {i.server_version}" for i in identities]),
        text_column("Scenario", [e.summary.name for e in entries]),
        text_column("Load", [e.load for e in entries]),
        text_column("Context", [i.served_context for i in identities]),
        text_column("On GPU", ["" if s is None else f"{s:.0%}" for s in shares]),
        *(_column(entries, *wanted) for wanted in _COLUMNS),
        text_column("Requests", [e.case.requests.ok for e in entries]),
        text_column("Failed", [e.case.requests.failed or "" for e in entries]),
        text_column("State", [_state(e) for e in entries]),
        text_column("Date", [e.info.created_at[:10] for e in entries]),
        text_column("Run", [e.info.id for e in entries]),
    ]
    models = [e.case.model for e in entries]
    return from_columns("board-table", "All cases", columns, models=models, filterable=True)


def _column(entries: Sequence[Entry], title: str, id: str, stat: str, unit: str) -> TableColumn:
    estimates = [_estimate(e, id, stat) for e in entries]
    return estimate_column(title, unit, estimates, stat, key=f"{id}.{stat}")


def _without_constants(table: Table) -> tuple[Table, str]:
    """The table without columns of one value, which is shown in a sentence."""
    alike = {}
    for i, column in enumerate(table.columns):
        values = {row.cells[i].text for row in table.rows}
        if column.title in _OFTEN_ALIKE and len(values) == 1 < len(table.rows):
            alike[column.title] = values.pop()
    kept = [i for i, column in enumerate(table.columns) if column.title not in alike]
    listed = ", ".join(f"{title} {value}" for title, value in alike.items() if value)
    return table.of_columns(kept), f"In all rows: {listed}." if listed else ""


def _lines(entries: Sequence[Entry]) -> tuple[Table, ...]:
    """The same case on the same machine under several versions, as a small line each."""
    lines: dict[tuple[object, ...], dict[str, list[Entry]]] = {}
    for entry in entries:
        if entry.summary.valid and _decode(entry):
            versions = lines.setdefault(entry.line, {})
            versions.setdefault(entry.case.identity.server_version, []).append(entry)
    measured_twice = [versions for versions in lines.values() if len(versions) > 1]
    if not measured_twice:
        return ()
    first = [next(iter(versions.values()))[0] for versions in measured_twice]
    values = [[fmean(map(_decode, same)) for same in of.values()] for of in measured_twice]
    columns = [
        text_column("Machine", [e.machine for e in first]),
        text_column("Model", [e.case.model for e in first]),
        text_column("Case", [f"{e.summary.name}, {e.load}" for e in first]),
        text_column("Versions", [" → ".join(versions) for versions in measured_twice]),
        text_column("Decode", [sparkline(v) for v in values], "Lowest to highest of the line."),
        text_column("tok/s", [" → ".join(f"{x:.4g}" for x in v) for v in values]),
        text_column("Change", [f"{v[-1] / v[0] - 1:+.1%}" for v in values]),
        text_column("Runs", [sum(map(len, versions.values())) for versions in measured_twice]),
    ]
    note = "A change without a verdict: `ollama-bench compare` says whether it is certain."
    return (from_columns("versions", "By version", columns, note=note, filterable=True),)


def _decode(entry: Entry) -> float:
    """0 if there is none."""
    found = _estimate(entry, "decode_tok_per_s", "value")
    return (found.value if found else None) or 0.0


def sparkline(values: Sequence[float]) -> str:
    """Values as blocks of eight heights, the lowest to the highest; alike = all in the middle."""
    low, high = min(values), max(values)
    if high - low < 1e-9 * max(abs(high), 1e-9):
        return _BLOCKS[3] * len(values)
    return "".join(_BLOCKS[round((v - low) / (high - low) * 7)] for v in values)


def _version(entry: Entry) -> tuple[tuple[int, ...], str]:
    text = entry.case.identity.server_version
    return tuple(parse_version(text) or ()), text
