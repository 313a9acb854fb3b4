"""Pages in a user's own templates and style: what goes wrong there is said with file and line."""

from __future__ import annotations

from pathlib import Path
from traceback import extract_tb

from jinja2 import Environment, TemplateSyntaxError

from bench.errors import UsageError
from bench.files import read_file
from bench.report.html import OWN_FILES, html
from bench.report.page import Page

_HELP = "See reports/README.md for what a page holds."


def check_template(folder: Path) -> None:
    """Whether a folder holds something for pages: checked before a long measurement."""
    if not any((folder / name).is_file() for name in OWN_FILES):
        raise UsageError(
            f"--template {folder}: there is no template in this folder",
            f"It should hold your own {', '.join(OWN_FILES[:-1])} or {OWN_FILES[-1]}.",
        )
    for path in sorted(folder.glob("*.j2")):
        try:
            Environment(autoescape=True).parse(read_file(path).decode(), path.name, str(path))
        except TemplateSyntaxError as error:
            raise UsageError(f"{path}, line {error.lineno}: {error}", _HELP) from error
        except (OSError, ValueError) as error:
            raise UsageError(f"{path}: {error}", _HELP) from error


def in_own_template(page: Page, folder: Path) -> str:
    """A page as HTML, by the templates of a folder."""
    try:
        return html(page, folder)
    except Exception as error:
        # Whatever a user's template raises is the template's fault, if it was raised in there.
        place = _place_in(folder, error)
        if place is None:
            raise
        raise UsageError(f"{place}: {error}", _HELP) from error


def _place_in(folder: Path, error: Exception) -> str | None:
    """File and line of an error in a folder's templates; None if it came from elsewhere."""
    frames = [f for f in extract_tb(error.__traceback__) if Path(f.filename).parent == folder]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None
