"""Render one report model as HTML, Markdown, CSV and other formats."""

from __future__ import annotations

from pathlib import Path


def write_report(run_dir: Path) -> Path:
    """Render a run directory, complete or not, to its `report.html`, from raw.

    Raises:
        ResultsError: it is no run directory, or cannot be written.
    """
    from bench.report.formats import render
    from bench.report.write import no_garbage_collection, page_of
    from bench.results.directory import REPORT_FILE, RunDirectory

    with no_garbage_collection():
        page = render(page_of([run_dir]), "html")
    return RunDirectory(run_dir, run_dir.name).write_file(REPORT_FILE, page.encode())
