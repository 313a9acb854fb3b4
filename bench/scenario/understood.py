"""What was understood of the files that a scenario names, to be looked at and stored."""

from __future__ import annotations

from typing import Any

from bench.scenario.plan import Case, Plan
from bench.scenario.promptfile import prompt_notes, reading_notes
from bench.scenario.room import cut_to_fit
from bench.scenario.schema import Scenario
from bench.scenario.session_notes import session_note, session_previews
from bench.scenario.traces import load_trace

_PREVIEWED = 3
_PREVIEW_CHARACTERS = 70


def file_notes(
    scenario: Scenario, records: tuple[dict[str, Any], ...], cases: tuple[Case, ...]
) -> tuple[str, ...]:
    """One note a file: what it holds, and what of it is used."""
    notes = []
    prompts = scenario.prompts
    notes_of: list[str]
    if prompts.file is not None:
        path = scenario.directory / prompts.file
        how = reading_notes(path, prompts.columns, prompts.encoding)
        notes_of = [prompt_notes(prompts.file, records, prompts.split), *how]
        notes.append(f"prompts {prompts.file}: {'; '.join(notes_of)}")
    trace = scenario.load.open.arrivals.trace if scenario.load.open else None
    if trace is not None:
        read = load_trace(scenario.directory / trace.file, trace.window)
        notes_of = list(read.notes)
        if trace.time_scale != 1:
            notes_of.append(f"times x {trace.time_scale:g}")
        if read.prompt_tokens or read.output_tokens:
            notes_of += _token_use(scenario, bool(read.prompt_tokens), cases)
        notes.append(f"trace {trace.file}: {'; '.join(notes_of)}")
    replays = dict.fromkeys(case.prompts.replay for case in cases)
    notes += [session_note(replay, cases) for replay in replays if replay is not None]
    return tuple(notes)


def _token_use(scenario: Scenario, has_prompts: bool, cases: tuple[Case, ...]) -> list[str]:
    if scenario.prompts.synthetic is None:
        return ["its token counts are not used: the prompts are not synthetic"]
    notes_of = []
    if has_prompts:
        notes_of.append("prompts are made to these counts, not to prompts.synthetic.input_tokens")
    cut = max(map(cut_to_fit, cases), default=0)
    if cut:
        notes_of.append(f"{cut:,} prompts shortened to fit options.num_ctx")
    return notes_of


def previews(plan: Plan) -> list[str]:
    """The first prompts of each file, a line each, so that one sees how it was cut."""
    lines = []
    for records in plan.prompt_files.values():
        for number, record in enumerate(records[:_PREVIEWED], start=1):
            text = str(record["prompt"])
            head = " ".join(text[: 4 * _PREVIEW_CHARACTERS].split())[:_PREVIEW_CHARACTERS]
            more = " ..." if len(text) > len(head) else ""
            breaks = text.count("\n")
            of = f" ({breaks + 1} lines)" if breaks else ""
            lines.append(f"  {number}. {head}{more}{of}")
    for replay in dict.fromkeys(case.prompts.replay for case in plan.cases):
        lines += session_previews(replay) if replay is not None else []
    return lines


def notes_text(plan: Plan) -> str:
    """Notes and first prompts, in lines; "" if the plan has no files."""
    return "\n".join([*plan.notes, *previews(plan)])
