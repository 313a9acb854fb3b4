"""Whether a value follows a JSON schema: the words of draft 2020-12 that answers are asked by."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: (
        not isinstance(v, bool)
        and (isinstance(v, int) or (isinstance(v, float) and v.is_integer()))
    ),
}
_MEASURES: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda v, limit: not _TYPES["number"](v) or v >= limit,
    "maximum": lambda v, limit: not _TYPES["number"](v) or v <= limit,
    "exclusiveMinimum": lambda v, limit: not _TYPES["number"](v) or v > limit,
    "exclusiveMaximum": lambda v, limit: not _TYPES["number"](v) or v < limit,
    "minLength": lambda v, limit: not isinstance(v, str) or len(v) >= limit,
    "maxLength": lambda v, limit: not isinstance(v, str) or len(v) <= limit,
    "pattern": lambda v, limit: not isinstance(v, str) or re.search(limit, v) is not None,
    "minItems": lambda v, limit: not isinstance(v, list) or len(v) >= limit,
    "maxItems": lambda v, limit: not isinstance(v, list) or len(v) <= limit,
    "minProperties": lambda v, limit: not isinstance(v, dict) or len(v) >= limit,
    "maxProperties": lambda v, limit: not isinstance(v, dict) or len(v) <= limit,
    "required": lambda v, names: not isinstance(v, dict) or all(name in v for name in names),
    "enum": lambda v, values: any(_same(v, one) for one in values),
    "const": lambda v, value: _same(v, value),
}
_BELOW = ("properties", "$defs", "definitions")
_KNOWN = {*_MEASURES, *_BELOW, "type", "items", "additionalProperties", "anyOf", "oneOf", "allOf"}
_KNOWN |= {"$ref", "prefixItems"}
_WORDS = {"$schema", "$id", "title", "description", "default", "examples", "$comment", "format"}
"""Say something, but ask for nothing (`format` is a remark in draft 2020-12)."""
_MAX_DEPTH = 60


def fits(value: Any, schema: Any, root: Any = None, depth: int = 0) -> bool:
    """Whether a value follows a schema.

    `root` is the whole schema, to which `$ref` points.

    Raises:
        ValueError: a reference that leads nowhere, or a pattern that is none.
    """
    if isinstance(schema, bool):
        return schema
    root = schema if root is None else root
    if depth > _MAX_DEPTH:
        raise ValueError("the schema is nested too deeply")

    def below(inner: Any, part: Any) -> bool:
        return fits(inner, part, root, depth + 1)

    if "$ref" in schema and not below(value, _referred(root, schema["$ref"])):
        return False
    kinds = schema.get("type", [])
    kinds = kinds if isinstance(kinds, list) else [kinds]
    if kinds and not any(_TYPES[kind](value) for kind in kinds if kind in _TYPES):
        return False
    for word, measure in _MEASURES.items():
        if word in schema and not _measured(measure, value, schema[word]):
            return False
    if not all(below(value, part) for part in schema.get("allOf", ())):
        return False
    if "anyOf" in schema and not any(below(value, part) for part in schema["anyOf"]):
        return False
    if "oneOf" in schema and sum(below(value, part) for part in schema["oneOf"]) != 1:
        return False
    if isinstance(value, list):
        first = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        return all(map(below, value, first)) and all(below(v, rest) for v in value[len(first) :])
    if isinstance(value, dict):
        named = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        return all(below(v, named.get(k, others)) for k, v in value.items())
    return True


def _measured(measure: Callable[[Any, Any], bool], value: Any, limit: Any) -> bool:
    try:
        return measure(value, limit)
    except (TypeError, re.error) as error:
        raise ValueError(f"the schema cannot be read at {limit!r}: {error}") from None


def _same(a: Any, b: Any) -> bool:
    """Equal in JSON: true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _referred(root: Any, reference: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise ValueError(
            f"the schema refers to {reference!r}: only references into it are followed"
        )
    here = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, dict) or name not in here:
            raise ValueError(f"the schema refers to {reference!r}, which is not there")
        here = here[name]
    return here


def unchecked(schema: Any) -> list[str]:
    """Keywords of a schema that `fits` does not check."""
    return sorted(set(_unknown(schema)))


def _unknown(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    yield from schema.keys() - _KNOWN - _WORDS
    for word in _BELOW:
        parts = schema.get(word)
        for part in parts.values() if isinstance(parts, dict) else ():
            yield from _unknown(part)
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        parts = schema.get(word)
        for part in parts if isinstance(parts, list) else ():
            yield from _unknown(part)
    for word in ("items", "additionalProperties"):
        yield from _unknown(schema.get(word))
