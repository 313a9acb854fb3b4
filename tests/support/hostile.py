"""Text that a hostile or broken server, file or history may hold, and what obeys it.

The checks know nothing of the code under test: they ask Unicode's own tables, and read lines as
the runners of CI jobs do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

STRINGS = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear screen": "a\x1b[2J\x1b[Hb",
    "title": "\x1b]0;owned\x07x",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07x",
    "device status": "a\x1b[6n",
    "device control": "\x1bP+q544e\x1b\\x",
    "keyboard": "\x1b[>c x",
    "c1 csi": "\x9b31mred",
    "c1 osc": "\x9d0;owned\x9cx",
    "bell": "a\x07b",
    "backspace": "abc\x08\x08\x08xyz",
    "carriage return": "honest\rhidden",
    "newline": "first\nsecond",
    "vertical": "a\x0bb\x0cc",
    "null": "a\x00b",
    "delete": "a\x7fb",
    "bidi override": "abc\u202egnp.exe",
    "bidi isolate": "a\u2067b\u2069c",
    "bidi marks": "a\u200fb\u200ec\u061cd",
    "separators": "a\u2028b\u2029c",
    "lone surrogate": "a\udc80b",
    "no character": "a\ufffeb\uffffc",
    "github": "::error title=x::owned",
    "github after blanks": "  ::warning::owned",
    "github newline": "x\n::set-output name=a::b",
    "github mask": "::add-mask::e",
    "github old": "x ##[add-path]/evil",
    "azure": "##vso[task.setvariable variable=x]y",
    "teamcity": "##teamcity[buildProblem description='x']",
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "closing": '"></title></svg><script>alert(1)</script><svg a="',
    "comment": "<!-- x --> ]]> &lt;b&gt; &#x41;",
    "markdown": "**b** `c` [l](http://e) ![i](http://e) # h | @team ~~s~~",
    "markdown list": "1. one",
    "rule": "--- x",
    "rich markup": "[bold red]x[/] [link=http://e]y[/link] :smile:",
    "formula": "=cmd|' /C calc'!A0",
    "formula plus": "+1+1",
    "formula blank": " =1+1",
    "template": "{{ 7*7 }} {% raw %} ${7*7}",
    "mathtext": "$\\frac{$ \\u{ %s %(x)s {0}",
    "long": "x" * 3000,
}
"""Name -> text."""

_BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_MARKS = {"\u200e", "\u200f", "\u061c"}
# https://docs.github.com/actions/reference/workflow-commands-for-github-actions
_COMMANDS = {
    *("debug", "notice", "warning", "error", "group", "endgroup", "add-mask", "stop-commands"),
    *("set-output", "save-state", "set-env", "add-path", "add-matcher", "remove-matcher", "echo"),
}


def controls(text: str) -> list[str]:
    """The characters that a terminal or an editor obeys, by Unicode's tables."""
    return [
        f"U+{ord(c):04X}"
        for c in text
        if (unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in "\n\t")
        or unicodedata.bidirectional(c) in _BIDI
        or c in _MARKS
    ]


def commands(text: str) -> Iterator[str]:
    """The lines that a CI runner obeys."""
    for line in text.split("\n"):
        start = line.lstrip()
        if start.startswith("::") and (end := start.find("::", 2)) > 0:
            name = start[2:end].partition(" ")[0].lower()
            if name in _COMMANDS:
                yield line
        if re.search(r"##\[|##vso\[", line, re.IGNORECASE) or start.startswith("##teamcity["):
            yield line


def obeyed(text: str) -> list[str]:
    """All that would be obeyed of an output."""
    return [*controls(text), *commands(text)]
