"""The page about a what-if: predictions of a fitted service model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from matplotlib.ticker import MaxNLocator

from bench.analysis.run.summary import Estimate
from bench.report.capacity.wording import promises_text
from bench.report.charts.axes import plain
from bench.report.charts.palette import BAD, MARKERS, SERIES
from bench.report.charts.parts import Canvas, ends, interval_bars, picked
from bench.report.page import Answer, Badge, Chart, Notice, Page, Prose, Section, Sentence
from bench.report.tables import Table, estimate_column, from_columns, number_column, text_column
from bench.report.units import percent, plural
from bench.simulation.what_if import Option, PredictedValue
from bench.thresholds import Threshold, to_file

_LOG_FROM = 12
"""A percentile that goes beyond its promise by this factor is drawn on a logarithmic axis."""

METHOD = (
    "The service model (slots, FIFO queue, prefill, continuous batching) replays the load in "
    "virtual time, once for each refit of the model to resampled requests; intervals hold 95 % of "
    "them. They cover what the fit does not know, not what the model leaves out: networks, memory "
    "limits, other work on the machine. Predictions for more slots than were seen busy together "
    "are extrapolated. Measure before you buy."
)


@dataclass(frozen=True, slots=True)
class Study:
    """A what-if and its answer.

    Attributes:
        load: in words, "500 users with 6 questions an hour, peak factor 3: 2.5 requests/s".
        slots: of each server.
        needed: fewest servers that suffice; None = none of those tried.
        fitted_to: id of the run the profile was fitted to; "" if it was not fitted.
        invented: the profile's numbers are made up.
        simulated: it was fitted to a run of the simulated engine.
        extrapolated: what the profile's run did not show; "" if nothing.
        pace: how much the server's pace wandered in that run, as a coefficient of variation; 0 if
            too little to matter.
        misfit: where the model is off from what it was fitted to; "" if nowhere.
    """

    profile: str
    model: str
    load: str
    promises: tuple[Threshold, ...]
    slots: int
    routing: str
    needed: int | None
    options: tuple[Option, ...]
    requests: int
    fitted_to: str
    invented: bool
    simulated: bool = False
    extrapolated: str = ""
    pace: float = 0.0
    misfit: str = ""


def what_if_page(study: Study, *, charts: bool = True) -> Page:
    """The page of a study."""
    table = option_table(study)
    badges = {
        Badge("prediction", "caution", "A model's answer; nothing of this was measured."): True,
        Badge("invented profile", "caution", "The machine's numbers are made up."): study.invented,
        Badge("simulated", "caution", "Fitted to a run of the simulated engine."): study.simulated,
    }
    evidence = (_promise_chart(study),) if charts and study.promises else ()
    facts = {
        "Profile": study.profile,
        "Fitted to": study.fitted_to,
        "Slots of a server": str(study.slots),
        "Routing": study.routing,
        "Simulated requests": f"{study.requests:,} for each draw",
    }
    return Page(
        title=f"What if: {study.model}",
        subtitle=study.load,
        badges=tuple(badge for badge, there in badges.items() if there),
        facts=tuple((name, value) for name, value in facts.items() if value),
        findings=(_answer(study),),
        warnings=tuple(_notices(study)),
        sections=(
            Section("evidence", "Prediction", (*evidence, table)),
            Section("method", "How it was predicted", (Prose(METHOD),)),
        ),
        brief=(table,),
        simulated=True,
        data=msgspec.json.encode(study, enc_hook=to_file),
        data_name="what-if.json",
    )


def option_table(study: Study) -> Table:
    """One row for each number of servers."""
    rows = study.options
    columns = [text_column("Servers", [o.servers for o in rows])]
    for i, promise in enumerate(study.promises):
        values = [_estimate(o.promised[i]) for o in rows]
        columns.append(estimate_column(promise.text, "s", values))
    columns += [
        number_column("Holds in", "share", [o.holds for o in rows]),
        estimate_column("First text, p50", "s", [_estimate(o.ttft_p50_s) for o in rows]),
        estimate_column("First text, p95", "s", [_estimate(o.ttft_p95_s) for o in rows]),
        estimate_column("Time per token, p50", "s", [_estimate(o.tpot_p50_s) for o in rows]),
        estimate_column("Queue, p95", "s", [_estimate(o.queue_p95_s) for o in rows]),
        estimate_column("Throughput", "tok/s", [_estimate(o.tok_per_s) for o in rows]),
        number_column("Slots busy", "share", [min(o.busy.value, 1.0) for o in rows]),
    ]
    note = "'Holds in' is the share of the refits in which every promise holds."
    return from_columns("options", "Prediction, by number of servers", columns, note=note)


def _estimate(v: PredictedValue, factor: float = 1.0) -> Estimate:
    return Estimate(factor * v.value, factor * v.low, factor * v.high)


def _answer(study: Study) -> Answer:
    promise = promises_text(study.promises)
    if study.needed is None:
        most = max(o.servers for o in study.options)
        tried = f"{plural(most, 'server')} would not serve {study.load} within {promise}."
        return Answer("", ((tried,),), tone="bad")
    servers = plural(study.needed, "server")
    sentences: list[Sentence] = [(f"{servers} would serve {study.load} within {promise}.",)]
    fewer = [o for o in study.options if o.servers < study.needed]
    if fewer:
        last = fewer[-1]
        held = f"hold in {percent(last.holds)} of the fits" if 0 < last.holds < 1 else "not hold"
        sentences.append((f"With {plural(last.servers, 'server')} it would {held}.",))
    return Answer("", tuple(sentences), tone="good")


def _notices(study: Study) -> Iterator[Notice]:
    message = "this is a model's prediction; nothing of it was measured"
    advice = "Measure the answer with `ollama-bench capacity` before you rely on it."
    yield Notice("prediction", message, advice)
    if study.invented:
        advice = "Fit one to your own machine with `ollama-bench capacity fit`."
        yield Notice("invented", "the profile's machine is invented", advice)
    if study.simulated:
        message = "the profile was fitted to a run of the simulated engine, not of a real server"
        yield Notice("simulated", message, "Fit one to a run of your own server.")
    if study.extrapolated:
        advice = "Measure a run with more users, and fit."
        yield Notice("extrapolated", study.extrapolated, advice)
    if study.misfit:
        message = f"the model does not describe its run well: {study.misfit}"
        advice = "Take its answers for hints, and measure them with `ollama-bench capacity`."
        yield Notice("misfit", message, advice)
    if study.pace:
        message = (
            f"the server's own pace wandered by {study.pace:.0%} (standard deviation) while it was "
            "measured; the model keeps one pace, so real tails are longer than these"
        )
        yield Notice("pace", message, "Leave room, or fit to a machine that is left alone.")


def _promise_chart(study: Study) -> Chart:
    limits = [p.value or 1.0 for p in study.promises]
    servers = [o.servers for o in study.options]
    ratios = [
        [_estimate(o.promised[i], 1 / limit) for o in study.options]
        for i, limit in enumerate(limits)
    ]

    def draw(on: Canvas) -> None:
        looks: list[dict[str, Any]] = []
        for i in range(len(limits)):
            colour, marker = SERIES[i % len(SERIES)], MARKERS[i % len(MARKERS)]
            look = {"color": colour, "marker": marker, "linestyle": "-"}
            looks.append(picked(look, f"promise.{i}"))
        height = on.legend(zip(map(str, study.promises), looks, strict=True), 4)
        ax = on.axes(62, 14, 12 + height, 52)
        for shown, drawn in zip(ratios, looks, strict=True):
            values = [e.value or 0.0 for e in shown]
            ax.plot(servers, values, **drawn)
            interval_bars(
                ax, servers, values, drawn["gid"], drawn["color"], yerr=ends(shown), capsize=3
            )
        ax.axhline(1.0, color=BAD, linewidth=1.4, linestyle=(0, (5, 2)))
        if max(e.value or 0.0 for shown in ratios for e in shown) > _LOG_FROM:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0)
        ax.set(xlabel="servers", ylabel="promised percentile / promise")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        ax.xaxis.set_major_formatter(plain)
        ax.yaxis.set_major_formatter(plain)

    return Chart(
        id="what-if-promise",
        title="The promise against servers",
        message=f"Predictions for {plural(len(servers), 'number')} of servers.",
        caption="Below the dashed line the promise holds. Intervals hold 95 % of the refits.",
        table=None,  # it stands below the chart
        draw=draw,
        simulated=True,
    )
