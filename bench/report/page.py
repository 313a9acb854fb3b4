"""A report as all renderers see it: answers, warnings, then sections of tables and charts.

Reports on runs, comparisons and capacity searches are all pages, so each renderer exists once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from bench._version import __version__
from bench.report.tables import Table
from bench.report.units import Shown

if TYPE_CHECKING:
    from bench.report.charts.parts import Canvas

Sentence = tuple[str | Shown, ...]
"""Words and numbers in the order of reading."""

Tone = Literal["neutral", "good", "bad", "caution"]


def plain(sentence: Sentence) -> str:
    """A sentence as text."""
    return "".join(part if isinstance(part, str) else part.full for part in sentence)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the report has to say of one case, or of several together.

    Attributes:
        subject: how the first sentence begins, "llama3.2:3b with 4 users"; "" if it has its own.
        sentences: the first is the answer, the others qualify it.
        model: of the case; "" if it concerns several.
        label: what tells the case from the others of its model, "4 users".
    """

    subject: str
    sentences: tuple[Sentence, ...]
    model: str = ""
    label: str = ""
    tone: Tone = "neutral"

    @property
    def texts(self) -> tuple[str, ...]:
        """All sentences as text, the first with its subject."""
        first, *more = (plain(s) for s in self.sentences)
        return (f"{self.subject} {first}".strip(), *more)


@dataclass(frozen=True, slots=True)
class Notice:
    """Warnings of one code, with what to do about them.

    Attributes:
        message: what is the matter, at its worst.
        where: labels of the cases or runs it concerns, or how often it was seen; empty = the whole
            report.
        every: all messages with the places of each, if there are several.
        folded: little harm is in it: behind a disclosure in HTML.
    """

    code: str
    message: str
    advice: str = ""
    where: tuple[str, ...] = ()
    invalidates: bool = False
    every: tuple[tuple[str, tuple[str, ...]], ...] = ()
    folded: bool = False

    @property
    def text(self) -> str:
        """The message with its places, without a full stop."""
        said = self.message.removesuffix(".")
        return f"{said} ({', '.join(self.where)})" if self.where else said


@dataclass(frozen=True, slots=True)
class Badge:
    """A short label beside the title: "simulated", "incomplete"."""

    text: str
    tone: Tone = "neutral"
    help: str = ""


SIMULATED: Final = Badge(
    "simulated", "caution", "The simulated engine made these numbers up by a model."
)


@dataclass(frozen=True, slots=True)
class Marks:
    """Points of a drawn chart that can be asked for their values.

    Attributes:
        tips: id of a group in the drawing (matplotlib's gid) -> text of each of its points.
        models: id of a group -> the model it belongs to, for hiding and showing.
        tags: id of a group -> for each thing drawn in it, which entries of legends it belongs to
            (`bench.report.charts.parts.tagged`). A group that belongs as a whole has "@" and its
            tags at the end of its id.
        drawing: what the page's script has to know of the drawing: name of a `data-` attribute ->
            its value.
    """

    tips: dict[str, list[str]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    drawing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, not yet drawn.

    Attributes:
        message: what it shows, in words: its text alternative.
        caption: n, method, what was left out of the drawing.
        table: the numbers that are drawn.
        draw: draws onto an empty canvas.
        height: of the wide and of the narrow drawing, CSS pixels.
        sample: what it rests on, for a corner of the drawing: "n = 40 requests".
        simulated: watermark it.
        views: names of the views that lie over each other in the drawing, of which the page shows
            one at a time; what belongs to one has the id "view-0", "view-1".
        folded: needed by few readers: behind a disclosure in HTML.
    """

    id: str
    title: str
    message: str
    caption: str
    table: Table | None
    draw: Callable[[Canvas], None]
    height: tuple[int, int] = (340, 320)
    sample: str = ""
    simulated: bool = False
    full_width: bool = False
    views: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Definitions:
    """Terms with meaning, formula and caution, by metric id."""

    metric_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Verbatim text, behind a disclosure: a resolved scenario, a log's tail."""

    title: str
    text: str


Item = Table | Chart | Prose | Definitions | Listing


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page.

    Attributes:
        id: anchor.
        lead: a line under the title.
        fold: what its tables are, if they are behind one disclosure in HTML; "" if they are not.
    """

    id: str
    title: str
    items: tuple[Item, ...]
    lead: str = ""
    fold: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Attributes:
        findings: what several cases say together.
        verdict: the tables right under them in HTML: every case, thresholds, failures.
        answers: what each case says.
        facts: (name, value) pairs under the title: when, where, how many requests.
        brief: the tables of the short forms (console, markdown).
        provenance: what the markdown form shows besides, as evidence of where numbers come from.
        models: in the order of their colours, for hiding and showing.
        requests: single requests as JSON (`bench.report.drill_down`); empty if there are none.
        data: the machine-readable summary, JSON; offered for download in HTML.
        data_name: file name of that download.
        forms: formats that only this page has, or has otherwise than all; name -> what makes it.
    """

    title: str
    sections: tuple[Section, ...]
    subtitle: str = ""
    badges: tuple[Badge, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Answer, ...] = ()
    answers: tuple[Answer, ...] = ()
    warnings: tuple[Notice, ...] = ()
    verdict: tuple[Table, ...] = ()
    brief: tuple[Table, ...] = ()
    provenance: tuple[Table, ...] = ()
    models: tuple[str, ...] = ()
    simulated: bool = False
    requests: bytes = b""
    data: bytes = b"{}"
    data_name: str = "summary.json"
    tool_version: str = __version__
    forms: Mapping[str, Callable[[], str]] = field(default_factory=dict)
