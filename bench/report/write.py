"""Writing reports: from run directories to a file or a text."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb

from jinja2 import TemplateSyntaxError

from bench.analysis.summarise import summarise
from bench.errors import ResultsError, UsageError
from bench.report.formats import render
from bench.report.html import OWN_FILES, html
from bench.report.page import Chart, Page
from bench.report.run_page import run_page
from bench.results.directory import REPORT_FILE, Run, read_run

STDOUT = Path("-")


def write_reports(
    run_dirs: Sequence[Path],
    format_name: str = "html",
    output: Path | None = None,
    template: Path | None = None,
    charts: Path | None = None,
) -> tuple[str, Path | None]:
    """Render run directories as one report.

    Args:
        run_dirs: several are joined in one report.
        format_name: see `bench.report.formats`.
        output: a file, `-` for none; None = report.html in the run directory if there is one
            directory and the format is html, else none.
        template: folder of the user's own templates; only for html.
        charts: folder that gets every chart as PNG and SVG.

    Returns:
        The text, and where it was written, if it was.

    Raises:
        ResultsError: not a run directory; a file cannot be written.
        UsageError: unknown format; no template in the folder.
    """
    with no_garbage_collection():
        return _write_reports(run_dirs, format_name, output, template, charts)


def _write_reports(
    run_dirs: Sequence[Path],
    format_name: str,
    output: Path | None,
    template: Path | None,
    charts: Path | None,
) -> tuple[str, Path | None]:
    runs = [read_run(path) for path in run_dirs]
    summaries = [summarise(r.info, r.records) for r in runs]
    if template is not None:
        _check_template(template, format_name)
        text = _in_own_template(run_page(runs, summaries), template)
    else:
        text = render(runs, summaries, format_name)
    if charts is not None:
        write_charts(run_page(runs, summaries), charts)
    path = output or _default_output(runs, format_name)
    if path is None or path == STDOUT:
        return text, None
    _write(path, text)
    return text, path


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Large runs are millions of objects that all live to the end.

    Looking for garbage among them, over and over, would take a third of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _default_output(runs: Sequence[Run], format_name: str) -> Path | None:
    if format_name != "html":
        return None
    return runs[0].path / REPORT_FILE if len(runs) == 1 else Path(REPORT_FILE)


def _check_template(folder: Path, format_name: str) -> None:
    if format_name != "html":
        raise UsageError("--template is for --format html only")
    if not any((folder / name).is_file() for name in OWN_FILES):
        raise UsageError(
            f"--template {folder}: there is no template in this folder",
            f"It should hold your own {', '.join(OWN_FILES[:-1])} or {OWN_FILES[-1]}.",
        )


def _in_own_template(page: Page, folder: Path) -> str:
    try:
        return html(page, folder)
    except Exception as error:
        # Whatever a user's template raises is the template's fault, if it was raised in there.
        place = _place_in(folder, error)
        if place is None:
            raise
        raise UsageError(f"{place}: {error}", "See reports/README.md for what a page holds.") from (
            error
        )


def _place_in(folder: Path, error: Exception) -> str | None:
    """File and line of an error in a folder's templates; None if it came from elsewhere."""
    if isinstance(error, TemplateSyntaxError):
        return f"{error.filename or error.name}, line {error.lineno}"
    frames = [f for f in extract_tb(error.__traceback__) if Path(f.filename).parent == folder]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}", "Name another file with -o."
        ) from error


def write_charts(page: Page, folder: Path) -> list[Path]:
    """Write every chart of a page as SVG and PNG into a folder, which is made if it is missing.

    Raises:
        ResultsError: the folder or a file cannot be written.
    """
    from bench.report.charts.drawing import save

    charts = [i for section in page.sections for i in section.items if isinstance(i, Chart)]
    paths = [folder / f"{c.id}{ending}" for c in charts for ending in (".svg", ".png")]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for chart in charts:
            for path in (p for p in paths if p.stem == chart.id):
                save(chart, path)
    except OSError as error:
        raise ResultsError(
            f"cannot write charts to {folder}: {error.strerror or error}",
            "Name another folder with --charts.",
        ) from error
    return paths
