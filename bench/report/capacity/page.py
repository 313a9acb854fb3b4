"""The page about a search for capacity."""

from __future__ import annotations

import msgspec

import bench
from bench.analysis.capacity.result import CapacityResult
from bench.analysis.capacity.users import UserModel
from bench.report.capacity.charts import capacity_charts
from bench.report.capacity.tables import (
    law_table,
    memory_table,
    probe_table,
    sweep_table,
    wait_table,
)
from bench.report.capacity.wording import (
    capacity_answer,
    knee_sentence,
    loop_sentence,
    memory_sentence,
    notices,
    people_sentence,
    promises_text,
)
from bench.report.page import Answer, Badge, Page, Prose, Section
from bench.report.units import duration, plural

METHOD = (
    "First a few users at once show the slots. Then loads are doubled until a promise breaks, and "
    "bisected. Each probe is a test: the promised percentile gets one-sided 95 % bounds from "
    "consecutive batches (Woodruff); a failed or unsent request counts as infinitely late. At the "
    "end a longer probe just under the limit must hold and one 10 % above it must break; one that "
    "proves neither is extended. The limit is fitted through all probes by logistic regression; "
    "the stated range is the wider of its 95 % interval and the tests' own. In an open loop, times "
    "count from when a request was due, so waiting is never hidden."
)

MODELS = "Models help to think about what was not measured. They are no measurement."


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
    extra += [knee_sentence(result), memory_sentence(result)]
    answer = Answer(
        answer.subject,
        (*answer.sentences, *((text,) for text in extra if text)),
        model=answer.model,
        tone=answer.tone,
    )
    badge = Badge("simulated", "caution", "The simulated engine made these numbers up by a model.")
    swept, waits = sweep_table(result), wait_table(result)
    brief = tuple(t for t in (probe_table(result), swept) if t and t.rows)
    models = tuple(t for t in (law_table(result), memory_table(result)) if t)
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
        sections=tuple(
            section
            for section in (
                Section("evidence", "Evidence", tuple(capacity_charts(result)) if charts else ()),
                Section("numbers", "All numbers", brief),
                Section("models", "Models and memory", models, lead=MODELS),
                Section("method", "How it was measured", (Prose(METHOD),)),
            )
            if section.items
        ),
        brief=brief,
        provenance=tuple(t for t in (waits if waits.rows else None, *models) if t),
        simulated=result.simulated,
        data=msgspec.json.encode(result),
        data_name="capacity.json",
        tool_version=bench.__version__,
    )
