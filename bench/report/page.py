"""A report as all renderers see it: answers, warnings, then sections of tables and charts.

Reports on runs, comparisons and capacity searches are all pages, so each renderer exists once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bench.report.tables import Table
from bench.report.units import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    """Warnings of one kind, with what to do about them.

    Attributes:
        message: what is the matter.
        where: labels of the cases or runs it concerns; empty = the whole report.
        more: further messages of the same kind, with the places of each.
    """

    code: str
    message: str
    advice: str = ""
    where: tuple[str, ...] = ()
    invalidates: bool = False
    more: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def messages(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """All messages with their places."""
        return ((self.message, self.where), *self.more)

    @property
    def texts(self) -> tuple[str, ...]:
        """The messages with their places, as text without a full stop."""
        said = [(m.removesuffix("."), where) for m, where in self.messages]
        return tuple(f"{m} ({', '.join(where)})" if where else m for m, where in said)


@dataclass(frozen=True, slots=True)
class Badge:
    """A short label beside the title: "simulated", "incomplete"."""

    text: str
    tone: Tone = "neutral"
    help: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """Points of a drawn chart that can be asked for their values.

    Attributes:
        tips: id of a group in the drawing (matplotlib's gid) -> text of each of its points.
        models: id of a group -> the model it belongs to, for hiding and showing.
    """

    tips: dict[str, list[str]] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a drawing in CSS pixels. Narrow ones are for phones."""

    width: int
    height: int
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, not yet drawn.

    Attributes:
        message: what it shows, in words: its text alternative.
        caption: n, method, what was left out of the drawing.
        table: the numbers that are drawn.
        draw: draws onto an empty figure of the given size.
        height: of the wide and of the narrow drawing, CSS pixels.
        simulated: watermark it.
    """

    id: str
    title: str
    message: str
    caption: str
    table: Table | None
    draw: Callable[[Figure, Size], Marks]
    height: tuple[int, int] = (340, 320)
    simulated: bool = False
    full_width: bool = False


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
    """

    id: str
    title: str
    items: tuple[Item, ...]
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Attributes:
        findings: what several cases say together.
        answers: what each case says.
        facts: (name, value) pairs under the title: when, where, how many requests.
        brief: the tables of the short forms (console, markdown).
        provenance: what the markdown form shows besides, as evidence of where numbers come from.
        models: in the order of their colours, for hiding and showing.
        data: the machine-readable summary, JSON; offered for download in HTML.
        data_name: file name of that download.
    """

    title: str
    subtitle: str
    badges: tuple[Badge, ...]
    facts: tuple[tuple[str, str], ...]
    findings: tuple[Answer, ...]
    answers: tuple[Answer, ...]
    warnings: tuple[Notice, ...]
    sections: tuple[Section, ...]
    brief: tuple[Table, ...] = ()
    provenance: tuple[Table, ...] = ()
    models: tuple[str, ...] = ()
    simulated: bool = False
    data: bytes = b"{}"
    data_name: str = "summary.json"
    tool_version: str = ""
