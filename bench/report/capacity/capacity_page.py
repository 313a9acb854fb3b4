"""The page about a search for capacity."""

from __future__ import annotations

from dataclasses import replace

import msgspec

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
    searched_text,
)
from bench.report.page import SIMULATED, Page, Prose, Section
from bench.report.tables import present
from bench.report.units import duration, plural
from bench.thresholds import to_file

METHOD = (
    "First a few users at once show the slots, and about how much the server can do. Then loads "
    "are doubled with short probes until a promise breaks, and bisected. Each probe begins with "
    "requests that fill the server and are not judged, more of them the nearer the load is to "
    "what the server can do: 4 / (1 - load)^2. The promised percentile gets one-sided 97.5 % "
    "bounds from consecutive batches (Woodruff); a failed or unsent request counts as infinitely "
    "late. At the end a longer probe just under the limit must hold and one 10 % above it must "
    "break; both are doubled until they prove it, and no probe takes more of the time allowed "
    "than is left. The limit is fitted through all probes by logistic regression; the stated "
    "range is its 95 % interval, and no load above its lower end is called served. In an open "
    "loop, times count from when a request was due, so waiting is never hidden."
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
    extra = (
        people_sentence(result, people) if people else "",
        "" if think_s is None else loop_sentence(result, think_s),
        knee_sentence(result),
        memory_sentence(result),
    )
    answer = replace(answer, sentences=(*answer.sentences, *((text,) for text in extra if text)))
    brief = present(probe_table(result), sweep_table(result))
    models = present(law_table(result), memory_table(result))
    return Page(
        title=f"Capacity of {result.model}",
        subtitle=f"The highest load within {promises_text(result.promises)}.",
        badges=(SIMULATED,) if result.simulated else (),
        facts=(
            ("Promise", promises_text(result.promises)),
            ("Searched by", searched_text(result)),
            ("Probes", plural(len(result.probes), "probe")),
            ("Requests", f"{sum(p.requests for p in result.probes):,}"),
            ("Time", f"{duration(result.spent_s)} of {duration(result.budget_s)} allowed"),
            ("Run", result.run_id),
        ),
        findings=(answer,),
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
        provenance=present(wait_table(result), *models),
        simulated=result.simulated,
        data=msgspec.json.encode(result, enc_hook=to_file),
        data_name="capacity.json",
    )
