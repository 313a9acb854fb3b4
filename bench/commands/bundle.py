"""`bundle`: the evidence of runs, packed for a bug report."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.analysis.comparison.result import Comparison
from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary_json import to_json
from bench.commands.comparing import compare
from bench.commands.stored_runs import resolve
from bench.errors import MeasurementInvalid, NotComparable, ResultsError
from bench.files import read_file, write_whole
from bench.hidden import remember_environment, scrub, scrub_all, scrub_bytes
from bench.report.comparison.comparison_page import comparison_json
from bench.report.evidence import evidence, scenario_name, shared_scenario
from bench.results.directory import RUN_FILE, SUMMARY_FILE, Run, read_run
from bench.results.history import History
from bench.results.journal import REQUESTS_FILE
from bench.results.record import encode_record

MARKDOWN = "evidence.md"
_LOG_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was packed.

    Attributes:
        path: of the zip.
        markdown: the block to paste; the zip holds it, too.
    """

    path: Path
    markdown: str


def bundle(
    names: Sequence[str | Path], output: Path | None = None, *, history: History | None = None
) -> Bundle:
    """Pack what a bug report needs; secrets are scrubbed again, texts of answers are left out.

    Args:
        names: one run; or a baseline and its candidates, which are compared.
        output: the zip; None = named after the first run, in the current folder.
        history: for names of runs.

    Raises:
        ResultsError: a run cannot be read, or the zip cannot be written.
    """
    # A log may hold what this shell has in its environment.
    remember_environment({}, os.environ)
    paths = [resolve(name, history) for name in names]
    runs = [read_run(path) for path in paths]
    summaries = [summarise(run.info, run.records) for run in runs]
    comparisons: Sequence[Comparison] = ()
    if len(runs) > 1 or runs[0].info.plan.scenario_b is not None:
        # What cannot be compared is evidence all the same.
        with suppress(NotComparable, MeasurementInvalid):
            comparisons = compare(paths[0], paths[1:], history=history)
    logs = {name: text for path in paths for name, text in _logs(path, several=len(paths) > 1)}
    text = _without_home(evidence(runs, summaries, logs, comparisons))
    output = output or Path(f"{runs[0].info.id}-bundle.zip")
    content = io.BytesIO()
    try:
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(MARKDOWN, text)
            if comparisons:
                packed.writestr("comparison.json", _scrubbed(comparison_json(comparisons)))
            for name, log in logs.items():
                packed.writestr(name, _without_home(log))
            for number, run in enumerate(runs):
                folder = f"{number + 1}/" if len(runs) > 1 else ""
                packed.writestr(folder + RUN_FILE, _scrubbed(read_file(run.path / RUN_FILE)))
                kept = msgspec.json.encode(to_json(summaries[number]))
                packed.writestr(folder + SUMMARY_FILE, _scrubbed(kept))
                # Of `ab`, what both sides share; JSON is YAML, too.
                scenario = msgspec.json.encode(shared_scenario(run.info.plan))
                packed.writestr(scenario_name(number, len(runs)), _scrubbed(scenario))
                with packed.open(folder + REQUESTS_FILE, "w") as file:
                    for line in _request_lines(run):
                        file.write(line)
        write_whole(output, content.getbuffer())
    except OSError as error:
        raise ResultsError(
            f"cannot write {output}: {error.strerror or error}", "Name another file with -o."
        ) from error
    return Bundle(output, text)


def _logs(path: Path, several: bool) -> Iterator[tuple[str, str]]:
    for file in sorted(path.glob("*.log")):
        try:
            log = scrub_bytes(read_file(file, _LOG_BYTES)).decode(errors="replace")
        except OSError as error:
            log = f"(it cannot be read: {error.strerror or error})\n"
        yield f"{path.name}-{file.name}" if several else file.name, log


def _request_lines(run: Run) -> Iterator[bytes]:
    """The records without the texts of answers, and without secrets in what servers said."""
    for record in run.records:
        content = msgspec.json.decode(encode_record(record))
        content |= {"text": None, "thinking": None}
        yield msgspec.json.encode(scrub_all(content, _OURS)) + b"\n"


_OURS = ("case", "model", "prompt_sha256", "output_sha256", "nonce")
"""They tie files together, and come from the plan."""


def _scrubbed(content: bytes) -> bytes:
    kept = scrub_all(msgspec.json.decode(content), ("id", "case", "digest", "name"))
    return _without_home(msgspec.json.format(msgspec.json.encode(kept), indent=2).decode()).encode()


def _without_home(text: str) -> str:
    """Paths of the home folder name a person; in JSON a backslash of them is two."""
    home, text = str(Path.home()), scrub(text)
    if len(home) > 1 and home != "/root":
        for written in (home, home.replace("\\", "\\\\")):
            text = text.replace(written, "~")
    return text
