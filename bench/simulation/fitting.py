"""A value that fits a JSON schema, as a simulated model puts it out under a grammar."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

NOUNS = (
    "river lamp engine garden letter window mountain market bridge harbour teacher forest "
    "number story machine signal village paper season morning answer question"
)
_DEPTH = 12
"""Levels after which optional properties are left out and lists are as short as they may be."""


def fitting(schema: Any, draw: random.Random) -> Any:
    """A value for a schema: `$ref`, `const`, `enum`, alternatives, types, bounds and lengths.

    What it does not know (`pattern`, `format`, `not`) it does not see.
    """
    return _Fit(schema if isinstance(schema, Mapping) else {}, draw).value(schema, 0)


class _Fit:
    """One schema with its definitions."""

    def __init__(self, root: Mapping[str, Any], draw: random.Random) -> None:
        self._root = root
        self._draw = draw

    def value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return {}
        if depth > 4 * _DEPTH:  # a schema that asks for itself
            return None
        if "$ref" in schema:
            return self.value(self._resolved(str(schema["$ref"])), depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._draw.choice(schema["enum"])
        for kind in ("anyOf", "oneOf"):
            if schema.get(kind):
                choices = schema[kind]
                return self.value(choices[-1] if depth > _DEPTH else choices[0], depth + 1)
        if schema.get("allOf"):
            merged: dict[str, Any] = {}
            for part in schema["allOf"]:
                value = self.value(part, depth + 1)
                merged |= value if isinstance(value, dict) else {}
            return merged
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = kind[0] if kind else None
        match kind or ("array" if "items" in schema else "object"):
            case "string":
                text = self._draw.choice(NOUNS.split())
                while len(text) < schema.get("minLength", 0):
                    text += f" {self._draw.choice(NOUNS.split())}"
                return text[: schema.get("maxLength", len(text))]
            case "integer":
                low, high = _bounds(schema, whole=True)
                least = math.ceil(low)
                return self._draw.randint(least, max(math.floor(high), least))
            case "number":
                low, high = _bounds(schema, whole=False)
                return low + 0.5 if low + 0.5 < high else (low + high) / 2
            case "boolean":
                return True
            case "null":
                return None
            case "array":
                least = schema.get("minItems", 0)
                most = schema.get("maxItems", max(least, 2))
                count = least if depth > _DEPTH else min(max(least, 2), most)
                item = schema.get("items", {"type": "string"})
                return [self.value(item, depth + 1) for _ in range(count)]
        return self._object(schema, depth)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        needed = schema.get("required", ())
        return {
            name: self.value(value, depth + 1)
            for name, value in schema.get("properties", {}).items()
            if depth <= _DEPTH or name in needed
        }

    def _resolved(self, reference: str) -> Any:
        found: Any = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            if name:
                found = found.get(name, {}) if isinstance(found, Mapping) else {}
        return found


def _bounds(schema: Mapping[str, Any], whole: bool) -> tuple[float, float]:
    """The range of a number; of whole ones the least and the largest that are allowed."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None:
        low = math.floor(above) + 1 if whole else above
    if below is not None:
        high = math.ceil(below) - 1 if whole else below
    if low is None:
        low = 1 if high is None or high > 1 else high - 1
    return low, max(low, 1) + 98 if high is None else high
