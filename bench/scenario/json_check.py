"""Whether a value follows a JSON schema: the words of draft 2020-12 that answers are asked by."""

from __future__ import annotations

import contextlib
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
_BELOW = {"properties", "$defs", "definitions"}
_LISTS = {"anyOf", "oneOf", "allOf", "prefixItems"}
_KNOWN = {*_MEASURES, *_BELOW, *_LISTS, "type", "items", "additionalProperties", "$ref"}
_WORDS = {"$schema", "$id", "title", "description", "default", "examples", "$comment", "format"}
"""Say something, but ask for nothing (`format` is a remark in draft 2020-12)."""
_MAX_DEPTH = 60


def fits(value: Any, schema: Any, root: Any = None, depth: int = 0) -> bool:
    """Whether a value follows a schema that `check_schema` lets pass.

    `root` is the whole schema, to which `$ref` points. A value too deep to be followed does not.
    """
    if isinstance(schema, bool):
        return schema
    root = schema if root is None else root
    if depth > _MAX_DEPTH:
        return False

    def below(inner: Any, part: Any) -> bool:
        return fits(inner, part, root, depth + 1)

    if "$ref" in schema and not below(value, _referred(root, schema["$ref"])):
        return False
    kinds = _kinds(schema)
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        return False
    for word, measure in _MEASURES.items():
        if word in schema and not measure(value, schema[word]):
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


def _kinds(schema: dict[str, Any]) -> list[Any]:
    kinds = schema.get("type", [])
    return kinds if isinstance(kinds, list) else [kinds]


def _same(a: Any, b: Any) -> bool:
    """Equal in JSON: true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _referred(root: Any, place: Any) -> Any:
    if not isinstance(place, str) or not place.startswith("#"):
        raise ValueError(f"the schema refers to {place!r}: only references into it are followed")
    here = root
    for step in place.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(here, dict) or name not in here:
            raise ValueError(f"the schema refers to {place!r}, which is not there")
        here = here[name]
    return here


def unchecked(schema: Any) -> list[str]:
    """Keywords of a schema that `fits` does not check."""
    words = (part.keys() for part in _parts(schema) if isinstance(part, dict))
    return sorted(set().union(*words) - _KNOWN - _WORDS)


def check_schema(schema: Any) -> None:
    """Refuse a schema by which no value can be judged, before values come.

    Raises:
        ValueError: a part of it is none, of no known type, or refers to what is not there.
    """
    for part in _parts(schema):
        if isinstance(part, bool):
            continue
        if not isinstance(part, dict):
            raise ValueError(f"{part!r} stands where the schema needs a schema")
        for kind in _kinds(part):
            if not isinstance(kind, str) or kind not in _TYPES:
                raise ValueError(f"the schema has the type {kind!r}: known are {', '.join(_TYPES)}")
        if "$ref" in part and not isinstance(_referred(schema, part["$ref"]), dict | bool):
            raise ValueError(f"the schema refers to {part['$ref']!r}, which is no schema")
        for word in part.keys() & _MEASURES.keys():
            _check_limit(word, part[word])
        _check_end(schema, part, ())


def _check_end(root: Any, part: Any, above: tuple[int, ...]) -> None:
    """Refuse a part that leads back to itself with the same value: to judge it would not end."""
    if not isinstance(part, dict):
        return
    if id(part) in above:
        raise ValueError("the schema refers to itself, and to no part of the value: without an end")
    below = [one for word in ("allOf", "anyOf", "oneOf") for one in part.get(word, ())]
    for one in [*below, *([_referred(root, part["$ref"])] if "$ref" in part else [])]:
        _check_end(root, one, (*above, id(part)))


def _check_limit(word: str, limit: Any) -> None:
    texts = isinstance(limit, list) and all(isinstance(name, str) for name in limit)
    fine = isinstance(limit, int | float)
    if word in ("const", "enum"):
        fine = word == "const" or isinstance(limit, list)
    elif word == "required":
        fine = texts
    elif word == "pattern":
        with contextlib.suppress(re.error):
            fine = isinstance(limit, str) and bool(re.compile(limit))
    if not fine:
        raise ValueError(f"the schema cannot be read at {word}: {limit!r}")


def _parts(schema: Any) -> Iterator[Any]:
    """A schema and all that it is made of."""
    yield schema
    if not isinstance(schema, dict):
        return
    for words, kind in ((_BELOW, dict), (_LISTS, list)):
        for word in schema.keys() & words:
            inner = schema[word]
            if not isinstance(inner, kind):
                raise ValueError(f"the schema cannot be read at {word}: {inner!r}")
            for part in inner.values() if isinstance(inner, dict) else inner:
                yield from _parts(part)
    for word in schema.keys() & {"items", "additionalProperties"}:
        yield from _parts(schema[word])
