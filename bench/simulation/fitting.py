"""A value that fits a JSON schema, as a simulated model puts it out under a grammar."""

from __future__ import annotations

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
                low, high = self._bounds(schema)
                return self._draw.randint(int(low), max(int(high), int(low)))
            case "number":
                low, high = self._bounds(schema)
                return low + 0.5 if low + 0.5 <= high else float(low)
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

    def _bounds(self, schema: Mapping[str, Any]) -> tuple[float, float]:
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", max(low, 1) + 99) - 1)
        return low, high

    def _resolved(self, reference: str) -> Any:
        found: Any = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            if name:
                found = found.get(name, {}) if isinstance(found, Mapping) else {}
        return found
