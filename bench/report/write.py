"""Writing reports: from run directories to a file or a text."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.run.summarise import summarise
from bench.errors import MeasurementInvalid, NotComparable, ResultsError, UsageError
from bench.files import write_whole
from bench.report.formats import render
from bench.report.page import Chart, Page
from bench.report.run_page import run_page
from bench.results import fidelity_files
from bench.results.directory import REPORT_FILE, read_run
from bench.results.fidelity_files import PAGE_FILE, fidelity_alone, go_on

if TYPE_CHECKING:
    from bench.analysis.fidelity.result import FidelityResult

STDOUT = Path("-")
PARQUET = "parquet"


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


@no_garbage_collection()
def write_reports(
    run_dirs: Sequence[Path],
    format_name: str = "html",
    output: Path | None = None,
    template: Path | None = None,
    charts: Path | None = None,
) -> tuple[str, Path | None]:
    """Render run directories as one report.

    Args:
        run_dirs: several are joined in one report; or one directory of a fidelity run.
        format_name: see `bench.report.formats` and `bench.report.run_page`; or parquet.
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
    if format_name == PARQUET:
        return "", _parquet(run_dirs, output)
    if template is not None and format_name != "html":
        raise UsageError("--template is for --format html only")
    text = render(page := page_of(run_dirs), format_name, template)
    if charts is not None:
        write_charts(page, charts)
    path = output or _default_output(run_dirs, format_name)
    if path is None or path == STDOUT:
        return text, None
    try:
        write_whole(path, text)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return text, path


def _parquet(run_dirs: Sequence[Path], path: Path | None) -> Path:
    from bench.report.request_rows import write_parquet

    if path is None or path == STDOUT:
        raise UsageError("a Parquet file is no text", "Say where it goes: -o FILE.")
    try:
        write_parquet([read_run(run_dir) for run_dir in run_dirs], path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def page_of(run_dirs: Sequence[Path]) -> Page:
    """The page about some run directories: of scenarios, or one of `fidelity` alone."""
    if len(run_dirs) == 1 and fidelity_alone(run_dirs[0]):
        from bench.analysis.fidelity.result import FidelityResult
        from bench.report.fidelity.page import fidelity_page

        found = stored_fidelity(run_dirs[0])
        if not isinstance(found, FidelityResult):
            raise ResultsError(f"{run_dirs[0]}: {found}", go_on(run_dirs[0]))
        return fidelity_page(found)
    runs = [read_run(path) for path in run_dirs]
    summaries = [summarise(r.info, r.records) for r in runs]
    return run_page(runs, summaries, [stored_fidelity(path) for path in run_dirs])


def stored_fidelity(path: Path) -> FidelityResult | str | None:
    """The result; why there is none; or None if fidelity was not asked for."""
    if not (path / fidelity_files.SETUP_FILE).is_file():
        return None
    from bench.analysis.fidelity.analyse import analyse  # late: most runs need none of it

    try:
        files = fidelity_files
        return analyse(files.read_setup(path), files.read_places(path), files.read_gates(path))
    except (NotComparable, MeasurementInvalid) as error:
        return error.message


def _default_output(run_dirs: Sequence[Path], format_name: str) -> Path | None:
    if format_name != "html":
        return None
    if len(run_dirs) > 1:
        return Path(REPORT_FILE)
    return run_dirs[0] / (PAGE_FILE if fidelity_alone(run_dirs[0]) else REPORT_FILE)


def _cannot_write(path: Path, error: OSError) -> ResultsError:
    why = f"cannot write {path}: {error.strerror or error}"
    return ResultsError(why, "Name another file with -o.")


def write_charts(page: Page, folder: Path) -> list[Path]:
    """Write every chart of a page as SVG and PNG into a folder, which is made if it is missing."""
    from bench.report.charts.drawing import save

    charts = [i for section in page.sections for i in section.items if isinstance(i, Chart)]
    paths = {folder / f"{c.id}{end}": c for c in charts for end in (".svg", ".png")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, chart in paths.items():
            save(chart, path)
    except OSError as error:
        why = f"cannot write charts to {folder}: {error.strerror or error}"
        raise ResultsError(why, "Name another folder with --charts.") from error
    return list(paths)
