"""Rows of one's own, read by `columns`: a time, token counts or a prompt, perhaps a session."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField, listed
from bench.scenario.sessions import Message, Session, Step
from bench.scenario.trace_rows import cell_text

_COUNTS = ("prompt_tokens", "cached_tokens", "output_tokens")
COLUMNS = ("time", "session", "prompt", "system", *_COUNTS)
"""What `prompts.sessions.columns` can name."""

_UNIT = re.compile(r".*_(s|ms|us|ns)")


def read_columns(
    rows: Iterator[FileRow], notes: Notes, numbers: Numbers, columns: Mapping[str, str]
) -> Reading:
    """Reads requests from rows, one a row; rows with the same session belong together.

    `columns` says for names of `COLUMNS` what the file calls them.
    """
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise ValueError(f"columns has {unknown[0]!r}; known: {', '.join(COLUMNS)}")
    if "prompt" not in columns and "prompt_tokens" not in columns:
        raise ValueError("columns must name the column of prompt or of prompt_tokens")
    unit = _UNIT.fullmatch(columns.get("time", ""))
    times = TimeField(unit[1] if unit else "")
    sessions: dict[str, list[Step]] = {}
    for row in rows:
        for column in columns.values():
            if column not in row.value:
                raise row.wrong(f"there is no column {column!r}; there are {listed(row.value)}")
        step = _step(row, columns, times, numbers)
        name = str(row.value[columns["session"]]) if "session" in columns else row.label
        steps = sessions.setdefault(name, [])
        steps.append(replace(step, fresh=not steps or not step.added))
    if "prompt" not in columns:
        notes.say("nothing is known of prefixes: each prompt is new text")
    made = [Session(name, tuple(steps)) for name, steps in sessions.items()]
    return Reading(made, "shared" if "time" in columns else "none")


def _step(row: FileRow, columns: Mapping[str, str], times: TimeField, numbers: Numbers) -> Step:
    added: list[Message] = []
    for what, role in (("system", "system"), ("prompt", "user")):
        if what not in columns:
            continue
        value = row.value[columns[what]]
        if isinstance(value, str) and value.strip():
            added.append({"role": role, "content": value})
        elif what == "prompt" or value not in (None, ""):
            raise row.wrong(f"{columns[what]} is {cell_text(value)}, not text")
    counts = {what: row.count(columns[what]) for what in _COUNTS if what in columns}
    prompt = counts.get("prompt_tokens")
    if not added and not prompt:
        raise row.wrong(f"{columns['prompt_tokens']} is missing or 0")
    time = columns.get("time")
    return Step(
        kind="user",
        added=tuple(added),
        at_s=None if time is None else times.read(row, time, row.value[time]),
        prompt_tokens=prompt,
        cached_tokens=counts.get("cached_tokens"),
        output_tokens=counts.get("output_tokens"),
        blocks=() if added else (numbers.new(),),
        lengths=() if added else (prompt or 0,),
    )
