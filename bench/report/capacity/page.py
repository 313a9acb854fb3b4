"""The page about a search for capacity."""

from __future__ import annotations

import msgspec

import bench
from bench.analysis.capacity.result import CapacityResult
from bench.analysis.capacity.users import UserModel
from bench.report.capacity.charts import capacity_charts
from bench.report.capacity.tables import memory_table, model_table, present, probe_table
from bench.report.capacity.wording import (
    capacity_answer,
    loop_sentence,
    notices,
    people_sentence,
    promises_text,
)
from bench.report.page import Answer, Badge, Page, Prose, Section
from bench.report.units import duration, plural

METHOD = (
    "Loads are doubled until a promise breaks and then bisected. Each probe is a test: the "
    "promised percentile gets one-sided 95 % bounds from ten consecutive batches (Woodruff), a "
    "failed or unsent request counts as infinitely late, and a probe that proves neither is run "
    "again, twice as long. The stated range is the wider of two: the highest load that was kept "
    "to the lowest that broke, and the 95 % interval of a fit through all probes near the limit. "
    "In an open loop, times count from when a request was due, so waiting is never hidden."
)


def capacity_page(
    result: CapacityResult,
    *,
    people: UserModel | None = None,
    think_s: float | None = None,
    charts: bool = True,
) -> Page:
    """The page.

    Args:
        result: of the search.
        people: translate the found rate into people who ask so often.
        think_s: translate it into users of a closed loop with this pause.
        charts: draw charts; the short forms need none.
    """
    answer = capacity_answer(result)
    extra = [people_sentence(result, people)] if people else []
    if think_s is not None:
        extra.append(loop_sentence(result, think_s))
    answer = Answer(
        answer.subject,
        (*answer.sentences, *((text,) for text in extra if text)),
        model=answer.model,
        tone=answer.tone,
    )
    badge = Badge("simulated", "caution", "The simulated engine made these numbers up by a model.")
    evidence = [probe_table(result)]
    return Page(
        title=f"Capacity of {result.model}",
        subtitle=f"The highest load within {promises_text(result)}.",
        badges=(badge,) if result.simulated else (),
        facts=(
            ("Promise", promises_text(result)),
            ("Searched by", "users at once" if result.by == "users" else "arrivals per second"),
            ("Probes", plural(len(result.probes), "probe")),
            ("Requests", f"{sum(p.requests for p in result.probes):,}"),
            ("Time", f"{duration(result.spent_s)} of {duration(result.budget_s)} allowed"),
            ("Run", result.run_id),
        ),
        findings=(answer,),
        answers=(),
        warnings=notices(result),
        sections=(
            Section("evidence", "Evidence", tuple(capacity_charts(result)) if charts else ()),
            Section("probes-section", "Probes", tuple(evidence)),
            Section(
                "models-section",
                "Models and memory",
                tuple(present([model_table(result), memory_table(result)])),
                lead="Models help to think about what was not measured. They are no measurement.",
            ),
            Section("method", "How it was measured", (Prose(METHOD),)),
        ),
        brief=tuple(evidence),
        simulated=result.simulated,
        data=msgspec.json.encode(result),
        data_name="capacity.json",
        tool_version=bench.__version__,
    )
