"""The report as one HTML file: no network, no tracking, opens anywhere."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from traceback import extract_tb
from typing import Final

import msgspec
from jinja2 import (
    BytecodeCache,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateSyntaxError,
)
from jinja2.bccache import Bucket
from markupsafe import Markup, escape

from bench._version import __version__
from bench.errors import UsageError
from bench.files import read_file, write_whole
from bench.metrics import term
from bench.report.markdown import markdown
from bench.report.page import Answer, Chart, Definitions, Listing, Page, Prose
from bench.report.tables import Cell, Column, Table
from bench.report.units import Shown
from bench.resources import resource_dir
from bench.shown import all_shown, json_text

TEMPLATE = "report.html.j2"
STYLE = "report.css"
SCRIPT = "report.js"
EXTRA_STYLE = "extra.css"
"""Comes after the shipped style, of which it need repeat nothing."""
_UNREAD = re.compile(r"\n\s*(?:/\*.*?\*/\s*)?", re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
OWN_FILES = (TEMPLATE, "macros.html.j2", STYLE, EXTRA_STYLE, SCRIPT)
"""What users may bring in a folder of their own, any of them."""
_HELP = "See reports/README.md for what a page holds."
_KINDS: Final = {k.__name__.lower(): k for k in (Table, Chart, Prose, Definitions, Listing, Shown)}
"""What templates ask of things: `x is table`."""


def html(page: Page, template_dir: Path | None = None) -> str:
    """A page as one self-contained file; files of `template_dir` come before the shipped ones."""
    page = all_shown(page)
    folders = [template_dir] if template_dir else []
    shipped = resource_dir("reports")
    environment = _environment([*folders, shipped / "templates"])
    style = _asset(STYLE, [*folders, shipped / "assets"])
    extra = template_dir / EXTRA_STYLE if template_dir else None
    if extra and extra.is_file():
        style = f"{style}\n{extra.read_text(encoding='utf-8').strip()}"
    script = _asset(SCRIPT, [*folders, shipped / "assets"])
    charts = [i for section in page.sections for i in section.items if isinstance(i, Chart)]
    drawings = {c.id: _drawn(c) for c in charts}
    return environment.get_template(TEMPLATE).render(
        page=page,
        style=Markup(style),
        script=Markup(script),
        style_hash=csp_hash(style),
        script_hash=csp_hash(script),
        data=packed(page.data),
        requests=embedded_json(page.requests) if page.requests else "",
        short_form=embedded_json(msgspec.json.encode(markdown(page))),
        drawings=drawings,
        answers_by_model=_by_model(page),
    )


def csp_hash(text: str) -> str:
    """The source expression that allows exactly this inline text: "sha256-..."."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def words(text: str) -> Markup:
    """Text of ours in which `commands` stand between backticks, as HTML; everything is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def exact(value: float) -> str:
    """A number in full: ten digits, more than any clock here can tell."""
    return f"{value:.10g}"


def embedded_json(data: bytes) -> Markup:
    """JSON for a script element: nothing in it can end the element or begin a comment."""
    text = json_text(data)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def packed(data: bytes) -> str:
    """Data that the page only hands out, as base64 of gzip: a sixth of its size."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def baselines(column: Column) -> Markup:
    """Ratios to other baselines, for the script: [[name, [[value, text, interval], ...]], ...]."""
    content = [[name, [_cell_parts(c) for c in cells]] for name, cells in column.baselines]
    return Markup(embedded_json(msgspec.json.encode(content)).replace("'", "\\u0027"))


def _cell_parts(cell: Cell) -> list[float | str | None]:
    shown = cell.shown
    if shown is None or cell.raw is None:
        return [None, cell.text, ""]
    return [float(exact(cell.raw)), shown.text, shown.beside]


def _by_model(page: Page) -> list[tuple[str, list[Answer]]]:
    known = dict.fromkeys(("", *page.models, *(a.model for a in page.answers)))
    groups = [(m, [a for a in page.answers if a.model == m]) for m in known]
    return [group for group in groups if group[1]]


def _drawn(chart: Chart) -> tuple[Markup, Markup]:
    from bench.report.charts.drawing import inline_svg

    wide, narrow = inline_svg(chart)
    return Markup(wide), Markup(narrow)


def _environment(folders: Sequence[Path]) -> Environment:
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(f) for f in folders]),
        # What is a reader's own is compiled each time: its folder gets no files of ours.
        bytecode_cache=KeptTemplates(folders[-1]) if len(folders) == 1 else None,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests |= {n: lambda x, kind=kind: isinstance(x, kind) for n, kind in _KINDS.items()}
    environment.filters["words"] = words
    environment.globals |= {"term": term, "exact": exact, "baselines": baselines}
    return environment


def _asset(name: str, folders: Sequence[Path]) -> str:
    path = next(f / name for f in folders if (f / name).is_file())
    text = path.read_text(encoding="utf-8").strip()
    # Ours mean nothing by their indentation and their comments; a reader's own stay as they are.
    return _UNREAD.sub("\n", text) if path.parent == folders[-1] else text


class KeptTemplates(BytecodeCache):
    """Templates compiled once and kept beside them, as Python keeps its modules.

    Compiling the page's template takes as long as filling it. The folder need not be writable;
    Jinja looks whether one is stale.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "__pycache__"

    def _file(self, bucket: Bucket) -> Path:
        return self._folder / f"{bucket.key}-{__version__}.jinja"

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept, if there is any."""
        with suppress(OSError), self._file(bucket).open("rb") as file:
            bucket.load_bytecode(file)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, where Python would keep a module."""
        if sys.dont_write_bytecode:
            return
        compiled = io.BytesIO()
        bucket.write_bytecode(compiled)
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            write_whole(self._file(bucket), compiled.getvalue())


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
