"""Finding and reading runs that are stored: by path, or by their name in the history."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench._version import __version__
from bench.analysis.run.summarise import summarise
from bench.analysis.run.summary import Summary
from bench.errors import ResultsError, UsageError
from bench.files import read_file
from bench.results.directory import RUN_FILE, SUMMARY_FILE, read_info, read_run
from bench.results.fidelity_files import fidelity_alone
from bench.results.history import History
from bench.results.journal import REQUESTS_FILE
from bench.results.run import RunInfo

if TYPE_CHECKING:
    from bench.analysis.comparison.compare_runs import Subject


def index_run(path: Path, history: History) -> None:
    """Index a run directory in the history."""
    from bench.analysis.comparison.history_entry import history_entry

    info = read_info(path)
    history.add(history_entry(path, info, read_summary(path, info)))


def resolve(name: str | Path, history: History | None) -> Path:
    """The run directory that a user means: a path, or a name in the history.

    A folder that is no run hides no name.
    """
    path = Path(name)
    if (path / RUN_FILE).exists() or path.is_file() or fidelity_alone(path) or history is None:
        return path
    looks_like_path = isinstance(name, Path) or any(s in name for s in ("/", "\\"))
    if looks_like_path:
        return path
    try:
        found = history.find(str(name))
    except ResultsError:
        if path.exists():
            return path  # what is wrong with it is said when it is read
        raise
    if not found.path.is_dir():
        raise ResultsError(
            f"the run directory of {found.id} is gone: {found.path}",
            "If it was moved, index it again: ollama-bench history rebuild FOLDER",
        )
    return found.path


def is_run(name: str, history: History | None) -> bool:
    """Whether a name means a run (a directory, or a name in the history) and not a scenario."""
    from bench.scenario.loading import scenario_path

    path = Path(name)
    if (path / RUN_FILE).exists():
        return True
    with suppress(UsageError):
        scenario_path(name)
        return False
    if path.is_dir():
        return True
    if history is None or path.exists():
        return False
    with suppress(ResultsError):
        history.find(name)
        return True
    return False


def read_subject(name: str | Path, history: History | None) -> Subject:
    """A run to be compared, by path or by name in the history."""
    from bench.analysis.comparison.compare_runs import Subject

    path = resolve(name, history)
    info = read_info(path)
    return Subject(path.name or str(name), info, read_summary(path, info))


def read_summary(path: Path, info: RunInfo) -> Summary:
    """The summary of a run: as it was written if it still holds, else computed from the records.

    It holds if this version of the program wrote it, when the run had ended, after its last record.
    """
    written = _written_summary(path, info)
    if written is not None:
        return written
    run = read_run(path)
    return summarise(run.info, run.records)


def _written_summary(path: Path, info: RunInfo) -> Summary | None:
    from bench.analysis.run.summary_json import from_json

    file, journal = path / SUMMARY_FILE, path / REQUESTS_FILE
    try:
        if file.stat().st_mtime_ns < journal.stat().st_mtime_ns:
            return None
        content = json.loads(read_file(file))
        summary = from_json(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    wrote = (summary.run_id, summary.status, summary.tool_version)
    return summary if wrote == (info.id, info.status.value, __version__) else None
