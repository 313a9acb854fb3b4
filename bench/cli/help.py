"""`ollama-bench help`: the documents that ship with the program."""

from __future__ import annotations

import difflib
import os
import re

import click

from bench.errors import UsageError
from bench.resources import DOCS

_COMMENT = re.compile(r"<!--.*?-->\n*", re.DOTALL)


@click.command("help", short_help="Show a document: metrics, exit codes, scenario keys ...")
@click.argument("topic", required=False)
def command(topic: str | None) -> None:
    """Show a document about TOPIC, or the list of topics.

    Formatted on a terminal; plain text if NO_COLOR is set or the output goes elsewhere.
    """
    from bench.cli.output import console, echo

    text = document(topic) if topic else _contents()
    output = console()
    if output.is_terminal and not os.environ.get("NO_COLOR"):
        from rich.markdown import Markdown

        output.print(Markdown(text))
    else:
        echo(text)


def topics() -> dict[str, str]:
    """Name of each topic -> the sentence that says what it is about."""
    return {path.stem: _first_sentence(path.read_text("utf-8")) for path in DOCS.glob("*.md")}


def document(topic: str) -> str:
    """The text of a topic, in markdown."""
    names = sorted(topics())
    name = topic.strip().lower().replace(" ", "-").replace("_", "-").removesuffix(".md")
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no topic {topic!r}", f"{hint}Topics: {', '.join(names)}.")
    return _COMMENT.sub("", (DOCS / f"{name}.md").read_text(encoding="utf-8"))


def _contents() -> str:
    lines = [f"- **{name}**: {sentence}" for name, sentence in sorted(topics().items())]
    return "\n".join(["# Topics", "", *lines, "", "Read one with `ollama-bench help TOPIC`.", ""])


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.split("\n\n")[1].split())
    return re.split(r"(?<=[.:])\s", paragraph)[0].rstrip(":.")
