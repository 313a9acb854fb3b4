"""What was understood of the files that a scenario names, and what of them is used."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from bench.scenario.plan import Case, Plan
from bench.scenario.promptfile import Records, prompt_notes, reading_notes
from bench.scenario.room import cut_to_fit, fitting, longest_prompt
from bench.scenario.schema import Scenario
from bench.scenario.session_files import played_file
from bench.scenario.sessions import Session, Step
from bench.scenario.traces import load_trace
from bench.scenario.work import Replay

_PREVIEWED = 3
_PREVIEW_CHARACTERS = 70
_PREVIEWED_REQUESTS = 5
_TEXT = 40


def file_notes(scenario: Scenario, records: Records, cases: Sequence[Case]) -> tuple[str, ...]:
    """One note a file: what it holds, and what of it is used."""
    notes = []
    prompts = scenario.prompts
    if prompts.file is not None:
        path = scenario.directory / prompts.file
        how = reading_notes(path, prompts.columns, prompts.encoding)
        parts = [prompt_notes(prompts.file, records, prompts.split), *how]
        notes.append(f"prompts {prompts.file}: {'; '.join(parts)}")
    trace = scenario.load.open.arrivals.trace if scenario.load.open else None
    if trace is not None:
        read = load_trace(scenario.directory / trace.file, trace.window)
        parts = [*read.notes, *([f"times x {trace.time_scale:g}"] if trace.time_scale != 1 else [])]
        if read.prompt_tokens or read.output_tokens:
            parts += _token_use(scenario, bool(read.prompt_tokens), cases)
        notes.append(f"trace {trace.file}: {'; '.join(parts)}")
    replays = filter(None, dict.fromkeys(case.prompts.replay for case in cases))
    notes += [session_note(replay, cases) for replay in replays]
    return tuple(notes)


def _token_use(scenario: Scenario, has_prompts: bool, cases: Sequence[Case]) -> list[str]:
    if scenario.prompts.synthetic is None:
        return ["its token counts are not used: the prompts are not synthetic"]
    made = "prompts are made to these counts, not to prompts.synthetic.input_tokens"
    cut = max(map(cut_to_fit, cases), default=0)
    shortened = [f"{cut:,} prompts shortened to fit options.num_ctx"] if cut else []
    return [*([made] if has_prompts else []), *shortened]


def previews(plan: Plan) -> list[str]:
    """The first prompts or requests of each file, a line each: one sees how it was cut."""
    lines = []
    for records in plan.prompt_files.values():
        for number, record in enumerate(records[:_PREVIEWED], start=1):
            text = str(record["prompt"])
            head = " ".join(text[: 4 * _PREVIEW_CHARACTERS].split())[:_PREVIEW_CHARACTERS]
            more = " ..." if len(text) > len(head) else ""
            breaks = text.count("\n")
            of = f" ({breaks + 1} lines)" if breaks else ""
            lines.append(f"  {number}. {head}{more}{of}")
    for replay in filter(None, dict.fromkeys(case.prompts.replay for case in plan.cases)):
        for session in played_file(replay).sessions[:_PREVIEWED]:
            lines.append(f"  {session.id}: {_many(len(session.steps), 'request')}")
            lines += [f"    {_preview(step)}" for step in session.steps[:_PREVIEWED_REQUESTS]]
            lines += ["    ..."] if len(session.steps) > _PREVIEWED_REQUESTS else []
    return lines


def notes_text(plan: Plan) -> str:
    """Notes and first prompts, in lines; "" if the plan has no files."""
    return "\n".join([*plan.notes, *previews(plan)])


def session_note(replay: Replay, cases: Sequence[Case]) -> str:
    """Format, numbers, lengths and pauses of a file of sessions, and what must be said of it."""
    file = played_file(replay)
    how = "as given" if replay.format != "auto" else "by its fields"
    if replay.columns:
        how = ", ".join(f"{what} from {name}" for what, name in replay.columns)
    steps = [step for session in file.sessions for step in session.steps]
    parts = [
        f"format {file.format} ({how})",
        f"{_many(len(file.sessions), 'session')}, {_many(len(steps), 'request')}",
        *_lengths(steps),
        *_times(steps, replay.pause_cap_s),
        *file.notes,
        *_cut(file.sessions, replay, cases),
    ]
    if replay.history == "own":
        parts.append("answers in the history are the server's own")
    return f"sessions {replay.file}: {'; '.join(parts)}"


def _preview(step: Step) -> str:
    parts = [step.kind if not step.thread else f"{step.kind} ({step.thread})"]
    if step.at_s is not None:
        parts.append(f"at {step.at_s:,.6g} s")
    if step.gap_s is not None:
        parts.append(f"after {step.gap_s:,.6g} s")
    if step.prompt_tokens is not None:
        parts.append(f"{step.prompt_tokens:,} tokens")
    if step.output_tokens is not None:
        parts.append(f"answer {step.output_tokens:,}")
    text = next((str(m["content"]) for m in reversed(step.added) if m.get("content")), "")
    head = " ".join(text[: 4 * _TEXT].split())
    more = " ..." if len(head) > _TEXT else ""
    return ", ".join(parts) + (f": {head[:_TEXT]}{more}" if head else "")


def _lengths(steps: Sequence[Step]) -> Iterator[str]:
    for what, counts in (
        ("prompts", [s.prompt_tokens for s in steps if s.prompt_tokens is not None]),
        ("answers", [s.output_tokens for s in steps if s.output_tokens is not None]),
    ):
        if counts:
            middle = statistics.median(counts)
            yield f"{what} of {min(counts):,} to {max(counts):,} tokens (median {middle:,.0f})"
            if len(counts) < len(steps):
                yield f"{len(steps) - len(counts):,} {what} without a token count"


def _times(steps: Sequence[Step], cap_s: float) -> Iterator[str]:
    arrivals = [step.at_s for step in steps if step.at_s is not None]
    if arrivals:
        yield f"arrivals over {max(arrivals) - min(arrivals):,.6g} s"
    pauses = [step.gap_s for step in steps if step.gap_s is not None]
    over = sum(pause > cap_s for pause in pauses)
    if over:
        yield f"{_many(over, 'pause')} of more than {cap_s:g} s cut to it (delays.cap)"
    if not pauses:
        yield "no pauses known: each request follows the answer before it at once"


def _cut(sessions: Sequence[Session], replay: Replay, cases: Sequence[Case]) -> Iterator[str]:
    """Which requests are not played, because their prompts do not fit."""
    for limit, case in {longest_prompt(replay, case): case for case in cases}.items():
        played = [len(fitting(session, replay, case)) for session in sessions]
        cut = [i for i, n in enumerate(played) if n < len(sessions[i].steps)]
        if cut:
            lost = sum(len(sessions[i].steps) - played[i] for i in cut)
            first = sessions[cut[0]]
            yield (
                f"{_many(lost, 'request')} of {_many(len(cut), 'session')} not played: sessions "
                f"end before a prompt that does not fit {limit:,} tokens (the first: {first.id}, "
                f"request {played[cut[0]] + 1})"
            )


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
