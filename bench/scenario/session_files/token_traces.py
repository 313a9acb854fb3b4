"""Traces that count tokens: of Mooncake (kvcache-ai, FAST25), Bailian (alibaba-edu) and TraceLab.

Mooncake and Bailian have `timestamp`, `input_length`, `output_length` and `hash_ids` of blocks.
Mooncake counts milliseconds and blocks of 512 tokens, Bailian seconds and blocks of 16; it alone
has `chat_id` and `parent_chat_id`. Without them the size of a block must follow from lengths and
numbers of ids.

TraceLab (uw-syfi) has one JSON object a model call of a coding agent. `prefix_tokens` is what the
provider read from its cache, within `input_tokens_total`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from bench.scenario.session_files.block_tree import BlockTree, Stretches, continued
from bench.scenario.session_files.forms import json_value
from bench.scenario.session_files.requests import with_gaps
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, TimeField
from bench.scenario.sessions import Session, Step
from bench.scenario.trace_rows import cell_text

FIELDS = ("input_length", "output_length", "hash_ids")
"""By which a row is recognised."""
BLOCK_TOKENS = {"mooncake": 512, "bailian": 16}
_UNIT = {"mooncake": "ms", "bailian": "s"}
_INPUTS = ("user_message", "tool_result", "developer_message", "system_message")


Asked = list[tuple[FileRow, Step]]


@dataclass(frozen=True, slots=True)
class _Request:
    row: FileRow
    hashes: tuple[int, ...]
    prompt: int
    output: int


def read_hashes(
    rows: Iterator[FileRow], notes: Notes, numbers: Numbers, known: str = ""
) -> Reading:
    """Reads a trace of one of the two; `known` says which, "" = to be found out."""
    requests = [_request(row) for row in rows]
    name = known or _which(requests)
    times = TimeField(_UNIT[name])
    tree = BlockTree(numbers)
    steps = []
    for request in requests:
        row, prompt, output = request.row, request.prompt, request.output
        try:
            blocks, lengths = tree.stretches(request.hashes, BLOCK_TOKENS[name], prompt)
        except ValueError as error:
            raise row.wrong(str(error)) from None
        at, delay = row.value.get("timestamp"), row.value.get("delay")
        if name == "mooncake" and isinstance(at, float) and not at.is_integer():
            raise row.wrong(f"timestamp is {at:g}: Mooncake counts whole milliseconds, its unit")
        step = Step("user", prompt_tokens=prompt, output_tokens=output)
        at_s = times.read(row, "timestamp", at) if "timestamp" in row.value else None
        # Some tools write the pause, in ms, in rows of a session.
        gap_s = delay / 1000 if isinstance(delay, int | float) and delay >= 0 else None
        steps.append(replace(step, at_s=at_s, gap_s=gap_s, blocks=blocks, lengths=lengths))
    notes.say(f"blocks of {BLOCK_TOKENS[name]} tokens, times in {_UNIT[name]} ({name})")
    asked = [(request.row, step) for request, step in zip(requests, steps, strict=True)]
    if any("chat_id" in row.value for row, _ in asked):
        return Reading(_chats(asked, notes), "shared", name)
    return Reading(_by_session(asked, notes, numbers), "shared", name)


def _request(row: FileRow) -> _Request:
    hashes = json_value(row.value["hash_ids"])
    if not isinstance(hashes, list) or not all(type(h) is int for h in hashes):
        raise row.wrong(f"hash_ids is {cell_text(hashes)}, not a list of whole numbers")
    prompt, output = row.needed_count("input_length"), row.needed_count("output_length")
    return _Request(row, tuple(h % 2**63 for h in hashes), prompt, output)


def _which(requests: list[_Request]) -> str:
    if any("chat_id" in r.row.value for r in requests):
        return "bailian"
    # The last block may be partly filled, or have no id of its own.
    fitting = [
        name
        for name, size in BLOCK_TOKENS.items()
        if all(len(r.hashes) - r.prompt // size in (0, 1) for r in requests)
    ]
    first = requests[0]
    if len(fitting) > 1:
        raise first.row.wrong(
            "could be a trace of Mooncake (times in ms, blocks of 512 tokens) or of Bailian (times "
            "in s, blocks of 16): say which with prompts.sessions.format"
        )
    if not fitting:
        raise first.row.wrong(
            f"{len(first.hashes)} hash_ids for {first.prompt:,} tokens are neither blocks of 512 "
            "(Mooncake) nor of 16 (Bailian) in all rows"
        )
    return fitting[0]


def _chats(asked: Asked, notes: Notes) -> list[Session]:
    """Chats by their parents: -1 begins one."""
    root: dict[Any, str] = {}
    chats: dict[str, list[Step]] = {}
    for row, step in asked:
        chat, parent = row.value.get("chat_id"), row.value.get("parent_chat_id")
        for name, value in (("chat_id", chat), ("parent_chat_id", parent)):
            if not isinstance(value, int | str) and (name == "chat_id" or value is not None):
                raise row.wrong(f"{name} is {cell_text(value)}, not the number of a chat")
        if parent not in (-1, None) and parent not in root:
            notes.count("chats whose beginning is not in the file")
        root[chat] = root.get(parent, str(chat))
        chats.setdefault(root[chat], []).append(step)
    return [_session(name, chat) for name, chat in chats.items()]


def _by_session(asked: Asked, notes: Notes, numbers: Numbers) -> list[Session]:
    """Each row a session; rows with `session_id` hold only what is new in a turn."""
    sessions: dict[str, list[Step]] = {}
    for row, step in asked:
        if "session_id" not in row.value:
            sessions[row.label] = [step]
            continue
        turns = sessions.setdefault(str(row.value["session_id"]), [])
        turns.append(_grown(turns[-1], step, numbers) if turns else step)
    if any("session_id" in row.value for row, _ in asked):
        notes.say(
            "rows with session_id hold the new text of a turn: prompts are grown by the turns and "
            "answers before them"
        )
    return [_session(name, turns) for name, turns in sessions.items()]


def _grown(before: Step, step: Step, numbers: Numbers) -> Step:
    """A turn with the history that its row leaves out: the turn before, and its answer."""
    blocks, lengths = before.blocks, before.lengths
    if before.output_tokens:
        blocks, lengths = (*blocks, numbers.new()), (*lengths, before.output_tokens)
    blocks, lengths = (*blocks, *step.blocks), (*lengths, *step.lengths)
    return replace(step, blocks=blocks, lengths=lengths, prompt_tokens=sum(lengths))


def _session(name: str, steps: list[Step]) -> Session:
    if all(step.at_s is not None for step in steps):
        steps = sorted(steps, key=lambda step: step.at_s or 0.0)
    return Session(name, (replace(steps[0], fresh=True), *steps[1:]))


def read_tracelab(rows: Iterator[FileRow], notes: Notes, numbers: Numbers) -> Reading:
    """Reads the sessions."""
    times = TimeField()
    rounds: dict[str, list[tuple[int, Step]]] = {}
    for row in rows:
        index = row.needed_count("round_index")
        rounds.setdefault(row.name("session_id"), []).append((index, _round(row, times)))
    heads: dict[str, int] = {}
    sessions = []
    for name, steps in rounds.items():
        steps.sort(key=lambda item: item[0])
        head = heads.setdefault(name.partition(":")[0], numbers.new())
        shared = _with_prefixes([step for _, step in steps], head, numbers, notes)
        sessions.append(Session(name, with_gaps(shared, notes)))
    return Reading(sessions, "shared")


def _round(row: FileRow, times: TimeField) -> Step:
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
