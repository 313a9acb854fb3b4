"""The texts that stand below the fields of a class in its source."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise


def texts_below(model: type[object]) -> dict[str, str]:
    """The fields of a class that have a text below them, and that text.

    Python keeps no such text, so the source is read: by tools and documents, never by a run.
    """
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, below in pairwise(body.body):
        targets = getattr(field, "targets", [getattr(field, "target", None)])
        value = below.value if isinstance(below, ast.Expr) else None
        text = value.value if isinstance(value, ast.Constant) else None
        if isinstance(targets[0], ast.Name) and isinstance(text, str):
            found[targets[0].id] = inspect.cleandoc(text)
    return found
