"""What `ollama-bench record` writes: one line a request, with what is new in its history.

With `--no-text` a line holds, in place of messages, a chained hash and the number of characters of
each; token counts of the requests show how many tokens these are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from bench.scenario.session_files.block_tree import Stretches
from bench.scenario.session_files.forms import message, tools_of
from bench.scenario.session_files.requests import with_gaps
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Message, Session, Step
from bench.scenario.trace_rows import cell_text

MARK = "ollama_bench_record"
"""The key that every line has; its value is the version of the form."""
VERSION = 1
_KINDS = ("user", "tool", "title", "summary", "subagent")
_CHARACTERS_PER_TOKEN = 4.0


@dataclass(slots=True)
class _Recorded:
    """One session while it is read."""

    steps: list[Step] = field(default_factory=list)
    tools: tuple[dict[str, Any], ...] = ()
    last: dict[str, int] = field(default_factory=dict)


def read(rows: Iterator[FileRow], notes: Notes, numbers: Numbers) -> Reading:
    """Reads the sessions."""
    times = TimeField()
    lengths = _Lengths(numbers)
    sessions: dict[str, _Recorded] = {}
    for row in rows:
        if row.value.get(MARK) != VERSION:
            raise row.wrong(f"{MARK} is {cell_text(row.value.get(MARK))}; known: {VERSION}")
        session = sessions.setdefault(row.name("session"), _Recorded())
        _take(session, row, times, lengths, notes)
    made = [Session(n, with_gaps(s.steps, notes), s.tools) for n, s in sessions.items()]
    return Reading(made, "shared")


def _take(
    session: _Recorded, row: FileRow, times: TimeField, lengths: _Lengths, notes: Notes
) -> None:
    value = row.value
    thread = str(value.get("thread") or "")
    own_tools = None
    if not session.steps:
        session.tools = tools_of(row, value.get("tools"))
    elif value.get("tools") is not None:
        own_tools = tools_of(row, value["tools"])
    plain = str(value.get("path", "")).startswith("/api/")
    stretches: Stretches = ((), ())
    added: tuple[Message, ...] = ()
    if "hashes" in value:
        stretches = lengths.stretches(row, notes)
    else:
        sent = row.objects("messages")
        added = tuple(m if plain else message(row, m, notes) for m in sent)
    answer = value.get("answer")
    if not plain and isinstance(answer, dict):
        answer = message(row, answer, notes)
    fresh = bool(value.get("fresh")) or thread not in session.last
    if not fresh and added:
        place = session.last[thread]
        back = added[0] if added[0].get("role") == "assistant" else None
        session.steps[place] = replace(session.steps[place], answer=back)
        added = added[1:] if back is not None else added
    if value.get("complete") is False:
        notes.count("answers that were not heard to their end")
    end = value.get("answered_at")
    session.last[thread] = len(session.steps)
    session.steps.append(
        Step(
            kind=value["kind"] if value.get("kind") in _KINDS else "user",
            added=added,
            answer=answer if isinstance(answer, dict) else None,
            at_s=times.read(row, "at", value.get("at")),
            answered_at_s=None if end is None else times.read(row, "answered_at", end),
            prompt_tokens=sum(stretches[1]) or row.count("prompt_tokens"),
            cached_tokens=row.count("cached_tokens"),
            output_tokens=row.count("output_tokens"),
            blocks=stretches[0],
            lengths=stretches[1],
            thread=thread,
            fresh=fresh,
            tools=own_tools,
        )
    )


@dataclass(slots=True)
class _Lengths:
    """Tokens of the messages of which only hash and characters are known.

    A hash stands for a message and all before it. The tokens that a request has beyond its known
    beginning are those of its new messages, shared out by their characters.
    """

    numbers: Numbers
    _known: dict[str, tuple[int, int]] = field(default_factory=dict)

    def stretches(self, row: FileRow, notes: Notes) -> Stretches:
        """The prompt of a row."""
        hashes = row.value["hashes"]
        if not isinstance(hashes, list) or not hashes or not all(map(_is_hash, hashes)):
            what = "empty" if hashes == [] else cell_text(hashes)
            raise row.wrong(f"hashes is {what}, not a list of [hash, characters]")
        new = [(h, chars) for h, chars in hashes if h not in self._known]
        known = sum(self._known[h][1] for h, _ in hashes if h in self._known)
        characters = sum(chars for _, chars in new)
        tokens = row.count("prompt_tokens")
        if tokens is None:
            notes.count("prompts without a token count, taken as a token each 4 characters")
            tokens = known + round(characters / _CHARACTERS_PER_TOKEN)
        left = max(tokens - known, len(new))
        for h, chars in new:
            share = max(1, round(left * chars / characters)) if characters else 1
            share = left if h == new[-1][0] else min(share, left)
            self._known[h] = (self.numbers.new(), max(1, share))
            left = max(0, left - share)
            characters -= chars
        blocks, lengths = zip(*(self._known[h] for h, _ in hashes), strict=True)
        return blocks, lengths


def _is_hash(value: Any) -> bool:
    pair = value if isinstance(value, list) and len(value) == 2 else ("", -1)
    return isinstance(pair[0], str) and isinstance(pair[1], int) and pair[1] >= 0
