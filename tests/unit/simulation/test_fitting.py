"""Values that fit a schema, checked with the reference implementation of JSON Schema."""

from __future__ import annotations

import random
from typing import Any

import jsonschema
import pytest

from bench.simulation.fitting import fitting

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "schema",
    [
        PERSON,
        {"type": "object", "properties": {"people": {"type": "array", "items": PERSON}}},
        {"type": "integer", "minimum": 200, "maximum": 210},
        {"type": "integer", "exclusiveMinimum": 5, "exclusiveMaximum": 7},
        {"type": "number", "minimum": 1.25, "maximum": 1.5},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"type": "number", "exclusiveMaximum": -3},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.25},
        {"type": "integer", "maximum": -5},
        {"type": "integer", "minimum": 1.5, "maximum": 2.5},
        {"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 1.5},
        {"type": ["string", "null"], "minLength": 30, "maxLength": 40},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 3},
        {"type": "array", "items": {"type": "boolean"}, "maxItems": 1},
        {"enum": ["red", "green"]},
        {"const": 7},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"allOf": [PERSON | {"additionalProperties": True}, {"properties": {"x": {"const": 1}}}]},
        {"$defs": {"p": PERSON}, "type": "object", "properties": {"p": {"$ref": "#/$defs/p"}}},
        {
            "type": "object",
            "properties": {
                "value": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#"}, "minItems": 0},
            },
            "required": ["value"],
        },
    ],
)
def test_it_fits(schema: dict[str, Any]) -> None:
    for seed in range(5):
        jsonschema.validate(fitting(schema, random.Random(seed)), schema)


def test_a_schema_that_is_none_gives_an_object() -> None:
    assert fitting("json", random.Random(1)) == {}
