"""Sessions in the form of kv-cache-tester: one JSON object a session, tokens and block ids only.

`t` counts from the session's start, `api_time` is the server's time and `think_time` the pause
before a request. Only full blocks have ids. Times of a nested sub-agent count from its own start in
one publisher's files and from the session's in another's: what fits decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bench.scenario.session_files.block_tree import BlockTree
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading
from bench.scenario.sessions import Session, Step
from bench.scenario.trace_rows import as_number, cell_text

Values = dict[str, Any]
_SLACK_S = 1.0
"""Recorded times are rounded to seconds here and there."""


def read(rows: Iterator[FileRow], notes: Notes, numbers: Numbers) -> Reading:
    """Reads the sessions; refused is also a sub-agent whose times can be read in two ways."""
    shared = BlockTree(numbers)
    sessions = []
    for row in rows:
        scope = row.value.get("hash_id_scope", "local")
        if scope not in ("local", "global"):
            raise row.wrong(f"hash_id_scope is {cell_text(scope)}; known: local, global")
        if "hash_id_scope" not in row.value:
            notes.say("hash_id_scope is missing: block ids are local to each session")
        tree = shared if scope == "global" else BlockTree(numbers)
        sessions.append(_Session(row, tree, notes).read())
    return Reading(sessions, "own")


class _Session:
    """Reads one session."""

    def __init__(self, row: FileRow, tree: BlockTree, notes: Notes) -> None:
        self._row, self._tree, self._notes = row, tree, notes
        self._size = row.needed_count("block_size")
        if not self._size:
            raise row.wrong("block_size is 0")

    def read(self) -> Session:
        """All of its requests, in order of time."""
        requests = self._row.objects("requests")
        steps: list[Step] = []
        for number, request in enumerate(requests):
            if request.get("type") == "subagent":
                steps += self._subagent(request, number, requests)
            else:
                steps.append(self._step(request, number, "", 0.0))
        if not steps:
            raise self._row.wrong("holds no request")
        steps.sort(key=lambda step: step.at_s or 0.0)
        started: set[str] = set()
        for index, step in enumerate(steps):
            steps[index] = replace(step, fresh=step.thread not in started)
            started.add(step.thread)
        return Session(self._row.name("id"), tuple(steps))

    def _step(self, request: Values, number: int, thread: str, start_s: float) -> Step:
        where = f"requests[{number}]"
        at_s = start_s + self._needed_seconds(request, where)
        took = self._seconds(request, "api_time", where)
        tokens = self._row.needed_count("in", inside=request)
        hashes = request.get("hash_ids")
        if not isinstance(hashes, list):
            raise self._row.wrong(f"{where}: hash_ids is {cell_text(hashes)}, not whole numbers")
        try:
            blocks, lengths = self._tree.stretches(hashes, self._size, tokens)
        except (TypeError, OverflowError):
            raise self._row.wrong(f"{where}: hash_ids holds what is no whole number") from None
        except ValueError as error:
            raise self._row.wrong(str(error)) from None
        pause = self._seconds(request, "think_time", where)
        types = request.get("input_types")
        of_tool = isinstance(types, list) and "tool_result" in types
        return Step(
            kind="subagent" if thread else "tool" if of_tool else "user",
            at_s=at_s,
            answered_at_s=None if took is None else at_s + took,
            gap_s=pause if number else None,
            prompt_tokens=tokens,
            output_tokens=self._row.needed_count("out", inside=request),
            blocks=blocks,
            lengths=lengths,
            thread=thread,
        )

    def _subagent(self, agent: Values, number: int, requests: list[Values]) -> list[Step]:
        where = f"requests[{number}]"
        thread = f"subagent {agent.get('agent_id') or number}"
        nested = self._row.objects("requests", agent)
        if not nested:
            self._notes.count("sub-agents without requests left out")
            return []
        start_s = self._needed_seconds(agent, where)
        times = [self._needed_seconds(r, f"{where}.requests[{i}]") for i, r in enumerate(nested)]
        offset = self._offset(where, start_s, times, self._end(agent, start_s, number, requests))
        return [self._step(r, i, thread, offset) for i, r in enumerate(nested)]

    def _end(
        self, agent: Values, start_s: float, number: int, requests: list[Values]
    ) -> float | None:
        """By when the sub-agent had ended: its duration, else the next request's start."""
        duration = agent.get("duration_ms")
        if isinstance(duration, int | float) and duration > 0:
            return start_s + duration / 1000
        later = [r.get("t") for r in requests[number + 1 :] if r.get("type") != "subagent"]
        times = (float(t) for t in later if isinstance(t, int | float) and t > start_s)
        return min(times, default=None)

    def _offset(self, where: str, start_s: float, times: list[float], end_s: float | None) -> float:
        """What to add to nested times."""
        if start_s <= _SLACK_S:
            return start_s if min(times) < start_s else 0.0
        first, last = min(times), max(times)
        absolute = first >= start_s - _SLACK_S and (end_s is None or last <= end_s + _SLACK_S)
        relative = end_s is None or start_s + last <= end_s + _SLACK_S
        if absolute and not relative:
            self._notes.say("times of sub-agents count from the session's start")
            return 0.0
        if relative and not absolute:
            self._notes.say("times of sub-agents count from the sub-agent's start")
            return start_s
        why = "both from the session's start and" if absolute else "neither from the session's nor"
        raise self._row.wrong(
            f"{where}: the times of this sub-agent (t {first:g} to {last:g} s, itself at "
            f"{start_s:g} s) fit {why} from its own: they cannot be distinguished"
        )

    def _needed_seconds(self, values: Values, where: str) -> float:
        if (found := self._seconds(values, "t", where)) is None:
            raise self._row.wrong(f"{where}: has no t")
        return found

    def _seconds(self, values: Values, name: str, where: str) -> float | None:
        value = values.get(name)
        if value is None:
            return None
        number = None if isinstance(value, str) else as_number(value)
        if number is None or not 0 <= number < math.inf:
            raise self._row.wrong(f"{where}: {name} is {cell_text(value)}, not seconds from 0 on")
        return number
