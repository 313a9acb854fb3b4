"""The report model: runs and their summaries, with everything labelled for display."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.analysis.run.summary import CaseSummary, Estimate, Metric, Summary
from bench.errors import UsageError
from bench.report.units import supported
from bench.results.directory import Run
from bench.results.run import TargetInfo

SEPARATOR: Final = " · "
_SHORT: Final = 24
_CASES_SAY: Final = frozenset({"name", "description", "model", "seed"})
NO_AXIS: Final = "\u2014"
QUEUE_FLOOR_S: Final = 0.05
"""Queueing below this is bookkeeping of the server, not waiting for a slot."""
_WORDS: Final = frozenset({"users", "target", "cold", "endpoint", "cache"})


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case of one run, ready to be rendered.

    Attributes:
        run: position of its run in the report.
        key: unique in the report.
        label: what tells it from its siblings, model first.
        subject: the same as the subject of a sentence: "llama3.2:3b with 4 users".
        who: its model, and its run if there are several: "llama3.2:3b (Ollama 0.32.15)".
        axes: the axes that vary in the report besides the model, as displayed.
        columns: the same, with the model if there are several, as (name, value) for tables.
        series: position of its model in `Report.models`: its colour and marker.
        slots_asked: OLLAMA_NUM_PARALLEL of its server, as far as known.
        cold: the model was unloaded before every request.
        invalid: a warning says that its numbers must not be trusted.
    """

    run: int
    key: str
    label: str
    subject: str
    who: str
    axes: tuple[str, ...]
    series: int
    summary: CaseSummary
    columns: tuple[tuple[str, str], ...] = ()
    slots_asked: int | None = None
    cold: bool = False
    invalid: bool = False

    @property
    def model(self) -> str:
        """The model measured."""
        return self.summary.model

    @property
    def users(self) -> int | None:
        """Closed loop: the number of users."""
        users = self.summary.load.get("users")
        return users if isinstance(users, int) else None

    @property
    def rate_per_s(self) -> float | None:
        """Open loop: arrivals per second."""
        rate = self.summary.load.get("rate_per_s")
        return float(rate) if isinstance(rate, int | float) else None

    def metric(self, metric_id: str) -> Metric | None:
        """A metric of the case, None if it has none."""
        return self.summary.metrics.get(metric_id)

    def estimate(self, metric_id: str, stat: str = "value") -> Estimate | None:
        """One statistic of one metric, None if there is none."""
        metric = self.metric(metric_id)
        return metric.stats.get(stat) if metric else None

    def known(self, metric_id: str, stat: str = "value") -> Estimate | None:
        """The same, None also where the data do not carry the number."""
        estimate = self.estimate(metric_id, stat)
        return estimate if estimate is not None and supported(estimate, stat) else None

    def n(self, metric_id: str) -> int:
        """How many requests a metric rests on."""
        metric = self.metric(metric_id)
        return metric.n if metric else 0

    def value(self, metric_id: str, stat: str = "value") -> float:
        """The number alone, for drawing and sorting; 0 where there is none."""
        estimate = self.estimate(metric_id, stat)
        return (estimate.value if estimate else None) or 0.0


def shared_name(group: Sequence[CaseView]) -> str:
    """What all cases of a group are called: the model, and the axes that they share."""
    shared = [a for a in group[0].axes if all(a in c.axes for c in group)]
    return SEPARATOR.join((group[0].model, *shared))


@dataclass(frozen=True, slots=True)
class RunView:
    """One run of the report.

    Attributes:
        label: "" if the report has only one.
    """

    run: Run
    summary: Summary
    label: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page is made from."""

    runs: tuple[RunView, ...]
    cases: tuple[CaseView, ...]
    models: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """True if any number was made by the simulated engine."""
        return any(r.summary.simulated for r in self.runs)

    def case(self, run: int, case_id: str) -> CaseView | None:
        """The case of a run with this id."""
        return next((c for c in self.cases if c.run == run and c.summary.id == case_id), None)

    def case_label(self, run: int, case_id: str) -> str:
        """How the case of this id is called in the report; the id itself if there is none."""
        case = self.case(run, case_id)
        return case.label if case else case_id


def build_report(runs: Sequence[Run], summaries: Sequence[Summary]) -> Report:
    """Join runs in one report; each has its summary at the same place."""
    if not runs:
        raise UsageError("there is no run to report on")
    labels = _run_labels(runs)
    views = tuple(RunView(r, s, n) for r, s, n in zip(runs, summaries, labels, strict=True))
    cases = [(i, c) for i, s in enumerate(summaries) for c in s.cases]
    models = tuple(dict.fromkeys(c.model for _, c in cases))
    every = [_axes(c) for _, c in cases]
    names = dict.fromkeys(name for axes in every for name in axes if name != "model")
    varying = [n for n in names if len({axes.get(n) for axes in every}) > 1]
    views_of_cases = []
    for n, (i, c) in enumerate(cases):
        who = f"{c.model} ({labels[i]})" if labels[i] else c.model
        all_axes = _axes(c)
        shown = tuple(axis_text(a, all_axes[a]) for a in varying if a in all_axes)
        axes = (*shown, labels[i]) if labels[i] else shown
        columns = [("Model", c.model)] if len(models) > 1 else []
        columns += [(axis_name(name), all_axes.get(name, NO_AXIS)) for name in varying]
        columns += [("Run", labels[i])] if labels[i] else []
        made = CaseView(
            run=i,
            key=f"r{i}c{n}",
            # A model that all cases share tells none from the others.
            label=SEPARATOR.join(axes if axes and len(models) == 1 else (c.model, *axes)),
            subject=f"{who} with {', '.join(shown)}" if shown else who,
            who=who,
            axes=axes,
            series=models.index(c.model),
            summary=c,
            columns=tuple(columns),
            slots_asked=slots_asked(runs[i].info.targets, c.target),
            cold=_cold(summaries[i], c),
            invalid=any(w.invalidates and w.case in ("", c.id) for w in summaries[i].warnings),
        )
        views_of_cases.append(made)
    return Report(views, tuple(views_of_cases), models)


def axis_text(name: str, value: str) -> str:
    """An axis and its value in words: "4 users", "thinking on", "num_ctx 8192"."""
    if name == "users":
        return "1 user" if value == "1" else f"{value} users"
    if name in ("rate", "rate_per_s"):
        return f"{value} requests/s"
    if name == "think":
        return {"true": "thinking on", "false": "thinking off"}.get(
            value.lower(), f"thinking {value}"
        )
    if name in ("model", "target"):
        return value
    short = name.rpartition(".")[2]
    return f"{value} {short.replace('_', ' ')}" if short.endswith("_tokens") else f"{short} {value}"


def _axes(case: CaseSummary) -> dict[str, str]:
    axes = {"model": case.model, "target": case.target, **case.axes}
    if (users := case.load.get("users")) is not None:
        axes.setdefault("users", str(users))
    if (rate := case.load.get("rate_per_s")) is not None and "rate" not in axes:
        axes.setdefault("rate_per_s", f"{rate:g}")
    return axes


def axis_name(name: str) -> str:
    """The name of an axis as the head of a column: "Users", "Input tokens", "num_ctx"."""
    short = name.rpartition(".")[2]
    known = {"rate_per_s": "Requests/s", "rate": "Requests/s", "think": "Thinking"}
    words = short.replace("_", " ").capitalize()
    return known.get(short, words if short in _WORDS or short.endswith("_tokens") else short)


def _run_labels(runs: Sequence[Run]) -> list[str]:
    """What tells the runs apart: versions, else a setting, names, machines, else their times."""
    if len(runs) == 1:
        return [""]
    choices = [
        [_versions(r) for r in runs],
        *_settings(runs),
        [r.info.plan.name for r in runs],
        [_machine(r) for r in runs],
        *([r.info.created_at[:n].replace("T", " ") for r in runs] for n in (16, 19)),
    ]
    for labels in choices:
        if all(labels) and len(set(labels)) == len(labels):
            return labels
    return [f"run {i + 1}" for i in range(len(runs))]


def _versions(run: Run) -> str:
    versions = dict.fromkeys(t.version for t in run.info.targets if t.version)
    return f"Ollama {', '.join(versions)}" if versions else ""


def _settings(runs: Sequence[Run]) -> Iterator[list[str]]:
    """Labels by every setting of scenario or server, short ones only."""
    flat = [_flat(r) for r in runs]
    for name in dict.fromkeys(n for settings in flat for n in settings):
        values = [settings.get(name, "") for settings in flat]
        if name not in _CASES_SAY and max(map(len, values)) <= _SHORT:
            yield [axis_text(name, v) if v else f"no {name}" for v in values]


def _flat(run: Run) -> dict[str, str]:
    settings: dict[str, str] = {}
    for target in run.info.targets:
        settings |= target.settings
    rest: list[tuple[str, Any]] = list(run.info.plan.scenario.items())
    while rest:
        name, value = rest.pop(0)
        if isinstance(value, dict):
            rest += [(f"{name}.{k}", v) for k, v in value.items()]
        elif not isinstance(value, list | tuple):
            settings[name] = str(value)
    return settings


def _machine(run: Run) -> str:
    gpus = run.info.environment.get("gpus") or ()
    return ", ".join(str(g.get("name", "")) for g in gpus if isinstance(g, dict))


def _cold(summary: Summary, case: CaseSummary) -> bool:
    """Whether the scenario, or the case's place in its matrix, asks for cold starts."""
    if "cold" in case.axes:
        return case.axes["cold"].lower() == "true"
    return summary.scenario.get("cold") is True


def slots_asked(targets: Sequence[TargetInfo], name: str) -> int | None:
    """OLLAMA_NUM_PARALLEL of a target, where it is known."""
    asked = (t.settings.get("OLLAMA_NUM_PARALLEL", "") for t in targets if t.name == name)
    return next((int(n) for n in asked if n.isdecimal()), None)
