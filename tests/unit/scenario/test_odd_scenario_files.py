"""Scenario files that are made to take for ever, or hold what cannot be shown or stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from damaged_files import limited

from bench.errors import ScenarioError
from bench.scenario.document import parse_document, parse_value
from bench.scenario.loading import load_scenario

NINE = range(1, 10)
BOMBS = {
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in NINE),
    "aliases": "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in NINE),
    "holds itself": "a: &a {b: *a}\n",
    "deep": "a: " + "[" * 400 + "]" * 400,
    "very deep": "a: 1\nb: " + "[" * 100_000,
    "deeper": "a: " + "{b: " * 3000,
    "many": "models: [" + "a, " * 300_000 + "]",
    "hexadecimal": "seed: 0x" + "f" * 6000,
    "binary": "seed: 0b" + "1" * 20_000,
    "decimal": "seed: " + "9" * 6000,
    "no truth value": "cold: !!bool x",
    "no month": "name: 2001-99-99",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_one_message_soon(text: str) -> None:
    with limited(20), pytest.raises(ScenarioError, match=r"is no scenario|is not YAML"):
        parse_document(text, "s.yaml")


@pytest.mark.parametrize("text", ["[" * 3000, "0x" + "f" * 6000, "!!bool x", "*a", "9" * 6000])
def test_an_odd_value_of_the_command_line_is_refused(text: str) -> None:
    with limited(20), pytest.raises(ValueError, match=r"not a YAML value|too many values, or"):
        parse_value(text)


def test_merges_and_aliases_that_are_meant_are_taken() -> None:
    text = "base: &b {x: 1}\none: {<<: *b, y: 2}\ntwo: *b\n"
    assert parse_document(text, "s").data["one"] == {"x": 1, "y": 2}


def test_halves_of_characters_are_read_as_ollama_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text('description: "a \\ud83d b \\ud83d\\ude00"\nprompts: ["c\\udc00"]\n')
    scenario = load_scenario(str(path), ['system="d\\ud800"', 'tags=["e\\udfff"]'])
    assert scenario.description == "a \ufffd b 😀"
    assert scenario.prompts.inline == ["c\ufffd"]
    assert (scenario.system, scenario.tags) == ("d\ufffd", ["e\ufffd"])
