"""Schemas that cannot judge an answer are refused before the run; those that can never raise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ScenarioError
from bench.scenario.json_check import check_schema, fits
from bench.scenario.loading import load_scenario

BROKEN = [
    ({"properties": {"a": {"$ref": "#/definitions/x"}}}, "'#/definitions/x', which is not there"),
    ({"properties": {"a": {"$ref": "#/title"}}, "title": "x"}, "'#/title', which is no schema"),
    ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "refers to itself"),
    ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}, "refers to itself"),
    ({"properties": {"a": {"pattern": "("}}}, "cannot be read at pattern: '('"),
    ({"items": "x"}, "'x' stands where the schema needs a schema"),
    ({"type": {"a": 1}}, "has the type {'a': 1}"),
    ({"type": "text"}, "has the type 'text'"),
    ({"required": [["a"]]}, "cannot be read at required"),
    ({"minimum": "3"}, "cannot be read at minimum"),
    ({"anyOf": {"type": "null"}}, "cannot be read at anyOf"),
    ({"properties": []}, "cannot be read at properties"),
]


@pytest.mark.parametrize(("schema", "message"), BROKEN)
def test_a_schema_that_cannot_judge_is_refused(schema: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="schema") as caught:
        check_schema(schema)
    assert message in str(caught.value)
    (tmp_path / "s.json").write_text(json.dumps({"type": "object", **schema}))
    function = {"name": "f", "parameters": {"type": "object", **schema}}
    (tmp_path / "t.json").write_text(json.dumps([{"type": "function", "function": function}]))
    for keys in (
        "format: {file: s.json}\nchecks: [schema]",
        "tools: t.json\nchecks: [tool_call]",
    ):
        (tmp_path / "s.yaml").write_text(f"models: [m]\n{keys}\n")
        with pytest.raises(ScenarioError):
            load_scenario(tmp_path / "s.yaml")


def test_an_answer_that_is_too_deep_does_not_follow_and_raises_nothing() -> None:
    tree = {"type": "object", "properties": {"in": {"$ref": "#"}}}
    check_schema(tree)
    answer: Any = {}
    for _ in range(20):
        answer = {"in": answer}
    assert fits(answer, tree)
    for _ in range(400):
        answer = {"in": answer}
    assert not fits(answer, tree)
    assert not fits(1, {"$ref": "#"})
