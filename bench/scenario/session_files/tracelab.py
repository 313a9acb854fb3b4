"""TraceLab (uw-syfi): one JSON object a model call of a coding agent, tokens and times only.

`prefix_tokens` is what the provider read from its cache, within `input_tokens_total`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.scenario.session_files.block_tree import Stretches, continued
from bench.scenario.session_files.conversations import with_gaps
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Session, Step


def read(rows: Iterator[FileRow], notes: Notes, numbers: Numbers) -> Reading:
    """Reads the sessions."""
    times = TimeField()
    rounds: dict[str, list[tuple[int, Step]]] = {}
    for row in rows:
        index = row.needed_count("round_index")
        rounds.setdefault(row.name("session_id"), []).append((index, _step(row, times)))
    heads: dict[str, int] = {}
    sessions = []
    for name, steps in rounds.items():
        steps.sort(key=lambda item: item[0])
        head = heads.setdefault(name.partition(":")[0], numbers.new())
        shared = _with_prefixes([step for _, step in steps], head, numbers, notes)
        sessions.append(Session(name, with_gaps(shared, notes)))
    return Reading(sessions, "shared")


def _step(row: FileRow, times: TimeField) -> Step:
    total = row.needed_count("input_tokens_total")
    cached = row.needed_count("prefix_tokens")
    new = row.count("newly_append_tokens")
    if cached > total or (new is not None and cached + new != total):
        raise row.wrong(
            f"prefix_tokens {cached:,} and newly_append_tokens {new or 0:,} are not together "
            f"input_tokens_total {total:,}"
        )
    events = [
        (times.read(row, "timing_events.timestamp", event.get("timestamp")), event)
        for event in row.objects("timing_events")
    ]
    begun = [at for at, event in events if event.get("event_type") in _INPUTS]
    ended = [at for at, event in events if event.get("event_type") not in _INPUTS]
    first = row.value.get("first_input_event_type")
    return Step(
        kind="tool" if first == "tool_result" else "user",
        at_s=max(begun, default=None),
        answered_at_s=max(ended, default=None),
        prompt_tokens=total,
        cached_tokens=cached,
        output_tokens=row.needed_count("output_tokens"),
    )


_INPUTS = ("user_message", "tool_result", "developer_message", "system_message")


def _with_prefixes(steps: list[Step], head: int, numbers: Numbers, notes: Notes) -> list[Step]:
    """The steps with the text that each shares with the one before it."""
    made: list[Step] = []
    before: Stretches = ((), ())
    for step in steps:
        cached, total = step.cached_tokens or 0, step.prompt_tokens or 0
        if not made and cached:
            notes.say(
                "what first rounds had cached is taken as one head that all sessions of a provider "
                "share"
            )
            before = ((head,), (cached,))
        elif cached < sum(before[1]) <= total:
            notes.count(
                "rounds that had less cached than the round before had sent, though the prompt "
                "grew (replayed as other text from there on)"
            )
        before = continued(before, cached, total, numbers)
        made.append(replace(step, blocks=before[0], lengths=before[1], fresh=not made))
    return made
