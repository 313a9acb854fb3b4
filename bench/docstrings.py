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
        target = (
            field.target
            if isinstance(field, ast.AnnAssign)
            else field.targets[0]
            if isinstance(field, ast.Assign)
            else None
        )
        if (
            isinstance(target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            found[target.id] = inspect.cleandoc(below.value.value)
    return found
