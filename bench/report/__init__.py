"""How it is told: one report model, many renderers."""

from __future__ import annotations

from pathlib import Path


def write_report(run_dir: Path) -> Path:
    """Render the run in a run directory to its `report.html`, from raw.

    Args:
        run_dir: of a run, complete or not.

    Returns:
        Path of the report.

    Raises:
        ResultsError: it is no run directory, or cannot be written.
    """
    from bench.analysis.summarise import summarise
    from bench.report.formats import render
    from bench.report.write import no_garbage_collection
    from bench.results.directory import REPORT_FILE, RunDirectory, read_run

    with no_garbage_collection():
        run = read_run(run_dir)
        page = render([run], [summarise(run.info, run.records)], "html")
    return RunDirectory(run_dir, run.info.id).write_file(REPORT_FILE, page.encode())
