"""Options that commands share, and putting their pages on standard output or into files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.output import console, echo, say
from bench.errors import ResultsError, UsageError
from bench.files import write_whole

if TYPE_CHECKING:
    from bench.report.page import Page
    from bench.results.history import History

PAGE_FORMATS = ("console", "markdown", "html", "json", "csv")
"""Those that every page has: `bench.report.formats.RENDERERS`, which would take long to import."""

RUN_FORMATS = (*PAGE_FORMATS, "requests-csv", "junit", "benchstat", "github", "parquet")
"""Those of pages about runs."""

PATH = click.Path(path_type=Path)

Command = Callable[..., Any]
Option = Callable[[Command], Command]

flag = partial(click.option, is_flag=True)
many = partial(click.option, multiple=True)


def gathered(kind: Callable[..., Any], name: str, *options: Option) -> Option:
    """Options whose values a command gets as one argument: what this makes of them."""
    names = list(signature(kind).parameters)

    def decorate(command: Command) -> Command:
        @wraps(command)
        def whole(*args: Any, **given: Any) -> Any:
            ours = {n: given.pop(n) for n in names if n in given}
            return command(*args, **{name: kind(**ours)}, **given)

        wrapped: Command = whole
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def file_option(help_text: str) -> Option:
    """`-o FILE`; the command gets `file`."""
    return click.option("-o", "--output", "file", type=PATH, metavar="FILE", help=help_text)


folder_option = click.option(
    "-o", "--output", type=PATH, default=Path("runs"), help="Folder that gets the run directory."
)
quiet_option = flag("-q", "--quiet", help="Say nothing but results and errors.")
open_option = flag("--open", "open_report", help="Open the report in the browser.")


def certificate_options(command: Command) -> Command:
    """The options that say whom to trust; the command gets `insecure` and `ca_file`."""
    command = click.option(
        "--ca-file",
        default="",
        show_default=False,
        metavar="FILE",
        help="Certificate authority to trust.",
    )(command)
    return flag("--insecure", help="Accept any certificate.")(command)


@dataclass(frozen=True, slots=True)
class HistoryOptions:
    """Where the history is. Attributes: as the options of the same names."""

    history_path: Path | None
    no_history: bool

    def path(self) -> Path | None:
        """Its file; None = off.

        Raises:
            ResultsError: the file that was named is no history: better said now than after a long
                run.
        """
        from bench.results.history_file import check_file, default_history

        if self.no_history:
            return None
        if self.history_path is not None:
            check_file(self.history_path)
        return self.history_path or default_history()

    def open(self) -> History | None:
        """The history; None = off."""
        from bench.results.history import History

        path = self.path()
        return None if path is None else History(path)


HISTORY = (
    click.option(
        "--history",
        "history_path",
        type=PATH,
        metavar="PATH",
        help="The history's database. Default: OLLAMA_BENCH_HISTORY, else the platform's folder.",
    ),
    flag("--no-history", help="Use no history."),
)
history_options = gathered(HistoryOptions, "history", *HISTORY)


def also_write(formats: Sequence[str]) -> Option:
    """`--write FORMAT=FILE`; the command gets `also`, pairs of a format and a file."""

    def read(_: click.Context, __: click.Parameter, texts: Sequence[str]) -> list[tuple[str, Path]]:
        return [_format_and_file(text, formats) for text in texts]

    return many(
        "--write",
        "also",
        metavar="FORMAT=FILE",
        callback=read,
        help="Write another format to a file as well, e.g. junit=result.xml; repeatable.",
    )


def _format_and_file(text: str, formats: Sequence[str]) -> tuple[str, Path]:
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


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Where a page goes, and in which form. Attributes: as the options of the same names."""

    format_name: str
    template: Path | None = None
    open_report: bool = False
    file: Path | None = None

    def file_of(self, html_file: str) -> Path | None:
        """What a page is written to, if HTML goes to this file by default; None = stdout."""
        by_default = html_file and self.format_name == "html"
        return self.file or (Path(html_file) if by_default else None)

    def tell(self, make: Callable[[bool], Page], html_file: str = "", quiet: bool = False) -> None:
        """Put a page on stdout or into its file, of which the path is said.

        Args:
            make: the page, with its charts or without.
            html_file: takes HTML if no file is named; "" = stdout does.
            quiet: on a terminal, say nothing.
        """
        file = self.file_of(html_file)
        page = make(self.format_name == "html")
        if self.format_name == "console" and file is None:
            from bench.report.console import print_page

            print_page(page, console(quiet=quiet))
            return
        from bench.report.formats import render

        text = render(page, self.format_name, self.template).rstrip("\n") + "\n"
        if file is None:
            echo(text)
        else:
            write_text(file, text)
            self.tell_file(file)

    def tell_file(self, file: Path) -> None:
        """Say where a page was written, and open it in the browser if that is wanted."""
        echo(f"{file}\n")
        if self.open_report and self.format_name == "html":
            open_page(file)

    def tell_report(self, path: Path, quiet: bool = False) -> None:
        """Say where a report was written, on stderr if stdout has another format; open it."""
        if not quiet:
            say(f"Report: {path}", err=self.format_name != "console")
        if self.open_report:
            open_page(path)


def _checked(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    if folder is not None:
        from bench.report.html import check_template

        check_template(folder)
    return folder


def format_option(formats: Sequence[str] = PAGE_FORMATS, default: str = "console") -> Option:
    """`--format`, of `PageOptions`."""
    choice = click.Choice(formats)
    return click.option("--format", "format_name", type=choice, default=default)


def page_options(
    *more: Option, formats: Sequence[str] = PAGE_FORMATS, default: str = "console"
) -> Option:
    """`--format`, `--template` and `--open`, and more of the kind; the command gets `shown`."""
    return gathered(
        PageOptions,
        "shown",
        format_option(formats, default),
        click.option(
            "--template",
            type=PATH,
            metavar="DIR",
            callback=_checked,
            help="Your own templates, style and script for the HTML page: see reports/README.md.",
        ),
        open_option,
        *more,
    )


def open_page(path: Path) -> None:
    """Open a page in the browser."""
    import webbrowser

    webbrowser.open(path.resolve().as_uri())


def write_also(run_dirs: Sequence[Path], wanted: Sequence[tuple[str, Path]]) -> None:
    """Write runs in further formats."""
    from bench.report.write import write_reports

    for name, file in wanted:
        write_reports(run_dirs, name, file)


def write_page(page: Page, path: Path, template: Path | None = None) -> None:
    """Write a page as HTML."""
    from bench.report.formats import render

    write_text(path, render(page, "html", template))


def write_text(path: Path, text: str) -> None:
    """Write what was rendered."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise ResultsError(
            f"cannot write {path}: {error.strerror or error}", "Name another file."
        ) from None
