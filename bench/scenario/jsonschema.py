"""The JSON Schema of scenario files, for completion and checking in editors."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from bench.docstrings import texts_below
from bench.scenario.fields import Model
from bench.scenario.matrix import AXES
from bench.scenario.schema import Scenario
from bench.thresholds import compared_texts, metric_texts


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every valid scenario file fulfils."""
    schema = Scenario.model_json_schema(mode="validation")
    _describe(schema)
    schema = _tidied(schema)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    schema["title"] = "ollama-bench scenario"
    schema["properties"]["matrix"] = _matrix(schema)
    metrics = "|".join(map(re.escape, metric_texts()))
    threshold = {  # one of the metrics that exist, and a limit
        "type": "string",
        "pattern": rf"^\s*({metrics})\s*(<=|<|>=|>)\s*[-+.0-9]",
        "examples": ["ttft_s.p95 <= 2", "decode_tok_per_s >= 40", "error_rate <= 1%"],
    }
    _take_instead(schema["properties"]["thresholds"], threshold)
    _take_instead(schema["properties"]["primary"], {"type": "string", "enum": [*compared_texts()]})
    return schema


def _take_instead(node: dict[str, Any], text: dict[str, Any]) -> None:
    """Puts what a text must be where a key takes any text, or a list of texts."""
    if node.get("type") == "string":
        node.update(text)
    for child in (*node.get("anyOf", ()), node.get("items")):
        if child:
            _take_instead(child, text)


def json_schema_text() -> str:
    """The JSON Schema as it ships in `scenarios/schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _describe(schema: dict[str, Any]) -> None:
    """Puts the text below each field into its description.

    pydantic can do it too (`use_attribute_docstrings`), but only by reading the sources whenever
    the models are imported, which every run would have to wait for.
    """
    for model in _parts(Model):
        node = schema if model is Scenario else schema["$defs"].get(model.__name__, {})
        for base in (b for b in reversed(model.__mro__) if node and issubclass(b, Model)):
            for name, text in texts_below(base).items():
                node["properties"][model.model_fields[name].alias or name]["description"] = text


def _parts(model: type[Model]) -> Iterator[type[Model]]:
    """All parts that a scenario file is made of."""
    for part in model.__subclasses__():
        yield part
        yield from _parts(part)


def _tidied(node: Any) -> Any:
    """Without what pydantic adds for itself: titles, words that JSON Schema lacks, and null.

    A key without a value is refused when a scenario is loaded, so null is never right.
    """
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {
        key: _tidied(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and key not in ("gt", "ge")
    }
    if node.get("default", 0) is None:
        del node["default"]
    if "anyOf" in node:
        kinds = [kind for kind in node["anyOf"] if kind != {"type": "null"}]
        if len(kinds) == 1:
            del node["anyOf"]
            return kinds[0] | node
        node["anyOf"] = kinds
    return node


def _matrix(schema: dict[str, Any]) -> dict[str, Any]:
    """The matrix: a list of what each key takes, under every name that the key has."""
    properties = {}
    for name, path in AXES.items():
        node = schema
        for step in path:
            node = _object(schema, node)["properties"][step]
        items = copy.deepcopy(node)
        items.pop("default", None)
        listed = {"type": "array", "minItems": 1, "uniqueItems": True, "items": items}
        properties[name] = listed | {"description": items.pop("description", "")}
        if path[0] == "options":
            properties[f"options.{name}"] = properties[name]
    plain: dict[str, Any] = schema["properties"]["matrix"]
    return {**plain, "properties": properties, "additionalProperties": False}


def _object(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """The alternative of a node that is an object with keys."""
    if "$ref" in node:
        found: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
        return found
    for kind in node.get("anyOf", ()):
        if "properties" in (found := _object(schema, kind)):
            return found
    return node
