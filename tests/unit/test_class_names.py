"""Class names say what they mean: no name stands twice in the package."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import bench

STATEMENT = re.compile(r"^[ ]*class (\w+)", re.MULTILINE)
TWICE = {
    "Side": "of a comparison and of a fidelity report: both stand in published JSON Schemas",
}
"""Names that may stand twice, each with its reason."""


def test_no_class_name_stands_twice() -> None:
    root = Path(bench.__file__).parent
    texts = {path: path.read_text("utf-8") for path in sorted(root.rglob("*.py"))}
    mentioned: dict[str, list[Path]] = defaultdict(list)
    for path, text in texts.items():
        for name in STATEMENT.findall(text):
            mentioned[name].append(path)
    assert len(mentioned) > 500

    # Parsing all files takes seconds; a text that says "class so-and-so" is no statement.
    doubtful = {path for paths in mentioned.values() if len(paths) > 1 for path in paths}
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(doubtful):
        for node in ast.walk(ast.parse(texts[path])):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path.relative_to(root)}:{node.lineno}")
    twice = {name: where for name, where in places.items() if len(where) > 1}
    assert set(twice) == set(TWICE), twice
