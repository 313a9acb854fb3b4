"""The report as markdown: the block one pastes into an issue."""

from __future__ import annotations

import re
from collections.abc import Iterable

from bench.report.page import Notice, Page
from bench.report.tables import Table
from bench.shown import one_line

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$]|&(?=[#\w]))")
_BLOCK = re.compile(r"^([-+=]|\d+(?=[.)]))")
"""What begins a list, a rule or a heading at the start of a line."""
_CODE = re.compile(r"`([^`]+)`")
_MENTION = re.compile(r"@(?=\w)")


def markdown(page: Page) -> str:
    """The short form of a page, with the evidence of where its numbers come from."""
    parts = [_head(page), _answers(page), _notices(page.warnings)]
    parts += [table_markdown(t) for t in page.brief]
    if page.provenance:
        inside = "\n\n".join(table_markdown(t) for t in page.provenance)
        parts.append(
            "<details><summary>Identity and environment</summary>\n\n" + inside + "\n\n</details>"
        )
    if page.tool_version:
        parts.append(f"<sub>ollama-bench {escape(page.tool_version)}</sub>")
    return "\n\n".join(p for p in parts if p) + "\n"


def escape(text: str) -> str:
    """Text so that markdown shows it as it is: no markup, no mention, no line break."""
    return _escaped(one_line(text))


def words(text: str) -> str:
    """Text of ours in which `commands` stand between backticks; everything else is escaped."""
    parts = _CODE.split(one_line(text))
    return "".join(f"`{part}`" if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    return _MENTION.sub("@\u200b", _SPECIAL.sub(r"\\\1", text))


def _paragraph(text: str) -> str:
    """Escaped text that begins a line."""
    return _BLOCK.sub(_guarded, text)


def _guarded(start: re.Match[str]) -> str:
    return f"\\{start[0]}" if start[0] in "-+=" else f"{start[0]}\\"


def table_markdown(table: Table) -> str:
    """A table with its caption above and its note below."""
    lines = [f"**{escape(table.caption)}**", ""]
    lines.append(_line(c.head for c in table.columns))
    lines.append("|" + "|".join(" ---: " if c.numeric else " --- " for c in table.columns) + "|")
    lines += [_line(c.text for c in row.cells) for row in table.rows]
    if table.note:
        lines += ["", _paragraph(words(table.note))]
    return "\n".join(lines)


def _line(texts: Iterable[str]) -> str:
    return "| " + " | ".join(escape(t) for t in texts) + " |"


def _head(page: Page) -> str:
    badges = " ".join(f"**[{escape(b.text)}]**" for b in page.badges)
    lines = [f"### {escape(page.title)} {badges}".rstrip()]
    if page.subtitle:
        lines += ["", _paragraph(escape(page.subtitle))]
    lines += ["", *(f"- {escape(k)}: {escape(v)}" for k, v in page.facts)]
    return "\n".join(lines).rstrip()


def _answers(page: Page) -> str:
    said = ([words(s) for s in answer.texts] for answer in (*page.findings, *page.answers))
    return "\n".join(" ".join((f"- **{first}**", *more)) for first, *more in said)


def _notices(notices: tuple[Notice, ...]) -> str:
    lines = []
    for n in notices:
        word = "invalid" if n.invalidates else "warning"
        said = ". ".join((n.text, n.advice)).rstrip(". ") + "."
        lines.append(f"> **{word}** ({escape(n.code)}): {words(said)}")
    return "\n>\n".join(lines)
