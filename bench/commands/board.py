"""`board`: many run directories, wherever they came from, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.analysis.run.summary import Summary
from bench.commands.stored_runs import read_summary
from bench.errors import BenchError, ResultsError
from bench.report.board import board_page
from bench.report.page import Page
from bench.results.directory import RUN_FILE, read_info
from bench.results.run import RunInfo


def board(paths: Sequence[str | Path]) -> Page:
    """The page about all runs in some folders, at any depth.

    A run that cannot be read is left out, and the page says so.
    """
    found: dict[str, tuple[RunInfo, Summary]] = {}
    left_out: list[str] = []
    for path in dict.fromkeys(p for name in paths for p in _directories(Path(name))):
        try:
            info = read_info(path)
            found.setdefault(info.id, (info, read_summary(path, info)))
        except BenchError as error:
            left_out.append(error.message)
    if not found:
        raise ResultsError(
            "no run to show: " + ("; ".join(left_out) or ", ".join(map(str, paths))),
            "Name run directories, or a folder that holds some.",
        )
    return board_page(list(found.values()), left_out)


def _directories(path: Path) -> list[Path]:
    """The run directories in a folder; the path itself if there is none, so that it is named."""
    if (path / RUN_FILE).is_file():
        return [path]
    return sorted(file.parent for file in path.rglob(RUN_FILE)) or [path]
