"""Options that commands share, and putting their pages on standard output or into files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.output import console, echo, say
from bench.errors import ResultsError, UsageError
from bench.files import write_whole

if TYPE_CHECKING:
    from bench.report.page import Page


PAGE_FORMATS = ("console", "markdown", "html", "json", "csv")
"""Those that every page has: `bench.report.formats.RENDERERS`, which would take long to import."""

RUN_FORMATS = (*PAGE_FORMATS, "requests-csv", "junit", "benchstat", "github", "parquet")
"""Those of pages about runs."""

also_write = click.option(
    "--write",
    "also",
    multiple=True,
    metavar="FORMAT=FILE",
    help="Write another format to a file as well, e.g. junit=result.xml; repeatable.",
)

Command = Callable[..., Any]


def format_option(formats: Sequence[str], default: str = "console") -> Callable[[Command], Command]:
    """`--format`; the command gets `format_name`."""
    choice = click.Choice(formats)
    return click.option("--format", "format_name", type=choice, default=default, show_default=True)


page_format = format_option(PAGE_FORMATS)


def file_option(help_text: str) -> Callable[[Command], Command]:
    """`-o FILE`; the command gets `output`."""
    path = click.Path(path_type=Path)
    return click.option("-o", "--output", type=path, metavar="FILE", help=help_text)


folder_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that gets the run directory.",
)

quiet_option = click.option(
    "-q", "--quiet", is_flag=True, help="Say nothing but results and errors."
)


def _checked(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    if folder is not None:
        from bench.report.html import check_template

        check_template(folder)
    return folder


own_template = click.option(
    "--template",
    type=click.Path(path_type=Path),
    metavar="DIR",
    callback=_checked,
    help="Your own templates, style and script for the HTML page: see reports/README.md.",
)

open_option = click.option(
    "--open", "open_report", is_flag=True, help="Open the report in the browser."
)


def certificate_options(command: Command) -> Command:
    """The options that say whom to trust; the command gets `insecure` and `ca_file`."""
    command = click.option(
        "--ca-file", default="", metavar="FILE", help="Certificate authority to trust."
    )(command)
    return click.option("--insecure", is_flag=True, help="Accept any certificate.")(command)


def tell_report(path: Path, open_report: bool, *, err: bool = False, quiet: bool = False) -> None:
    """Say where a report was written, on stderr if stdout has another format; open it if wanted."""
    if not quiet:
        say(f"Report: {path}", err=err)
    if open_report:
        open_page(path)


def open_page(path: Path) -> None:
    """Open a page in the browser."""
    import webbrowser

    webbrowser.open(path.resolve().as_uri())


def write_also(run_dirs: Sequence[Path], wanted: Sequence[tuple[str, Path]]) -> None:
    """Write runs in further formats."""
    from bench.report.write import write_reports

    for name, file in wanted:
        write_reports(run_dirs, name, file)


def format_and_file(text: str, formats: Sequence[str]) -> tuple[str, Path]:
    """What `--write FORMAT=FILE` says.

    Raises:
        UsageError: it is not of this form, there is no such format, or no place for the file;
            better said now than after a long run.
    """
    name, equals, file = text.partition("=")
    if not equals or not file or name not in formats:
        raise UsageError(f"--write {text}: write FORMAT=FILE, with one of {', '.join(formats)}")
    folder = Path(file).parent
    if not folder.is_dir() or Path(file).is_dir():
        why = "it is a folder" if Path(file).is_dir() else f"there is no folder {folder}"
        raise UsageError(f"--write {text}: cannot write {file}: {why}", "Name another file.")
    if name == "parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            f"--write {text}: Parquet needs pyarrow, which is not installed",
            "Install it with: pip install 'ollama-bench[parquet]'; or take requests-csv.",
        )
    return name, Path(file)


def write_page(page: Page, path: Path, template: Path | None = None) -> None:
    """Write a page as HTML."""
    from bench.report.formats import render

    write_text(path, render(page, "html", template))


def tell_file(path: Path, format_name: str, open_report: bool) -> None:
    """Say where a page was written, and open it in the browser if that is wanted."""
    echo(f"{path}\n")
    if open_report and format_name == "html":
        open_page(path)


def tell_page(
    page: Page,
    format_name: str,
    output: Path | None = None,
    *,
    template: Path | None = None,
    quiet: bool = False,
) -> None:
    """Put a page on stdout, or into a file."""
    if format_name == "console" and output is None:
        from bench.report.console import print_page

        print_page(page, console(quiet=quiet))
        return
    from bench.report.formats import render

    text = render(page, format_name, template).rstrip("\n")
    if output is None:
        echo(f"{text}\n")
    else:
        write_text(output, text)


def write_text(path: Path, text: str) -> None:
    """Write what was rendered."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}", "Name another file."
        ) from None
