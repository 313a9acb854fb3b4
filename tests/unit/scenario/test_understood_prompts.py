"""How many prompts a file holds is said, and a file that could hold others is refused."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.planned import plan_text
from bench.cli.scenarios import command
from bench.errors import ScenarioError
from bench.scenario.expand import build_plan
from bench.scenario.loading import load_scenario
from bench.scenario.plan import Plan
from bench.scenario.promptfile import read_prompt_file

ONE_LINE = [f"What is the capital of country number {i}?" for i in range(50)]
UNPUNCTUATED = [f"Write a haiku about month {i}" for i in range(50)]
LOWER_CASE = [f"tell me {'very ' * (i % 7)}much about the moons of planet {i}" for i in range(50)]
TINY = [f"p {i}" for i in range(50)]
CHINESE = [f"请介绍第{i}个省份的首府。" for i in range(50)]
WRAPPED = (
    "The following text was broken into lines by an editor that was set to a width\n"
    "of some eighty columns, so that most of its lines end in the middle of a\n"
    "sentence. Please sum it up.\n"
    "\n"
    "A second paragraph follows it, again over several lines, the last of which is\n"
    "shorter than the others are.\n"
)


def plan_of(folder: Path, name: str, text: str, split: str = "") -> Plan:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / "s.yaml").write_text(f"prompts: {{file: {name}{split}}}\n")
    return build_plan(load_scenario(str(folder / "s.yaml")), models=["m"], salt=0)


@pytest.mark.parametrize("prompts", [ONE_LINE, UNPUNCTUATED, LOWER_CASE, TINY, CHINESE])
@pytest.mark.parametrize("at", [1, 25, 49])
def test_a_stray_blank_line_does_not_pass(tmp_path: Path, prompts: list[str], at: int) -> None:
    text = "\n".join([*prompts[:at], "", *prompts[at:]]) + "\n"
    why = "p.txt: 50 prompts, one per line, or 2, separated by blank lines? Say which with"
    with pytest.raises(ScenarioError, match=re.escape(why)):
        plan_of(tmp_path, "p.txt", text)
    lines = plan_of(tmp_path, "p.txt", text, ", split: lines")
    assert [r["prompt"] for r in lines.prompt_files["p.txt"]] == prompts
    assert lines.notes[0].startswith("prompts p.txt: 50 prompts; one per line; ")
    two = plan_of(tmp_path, "p.txt", text, ", split: paragraphs")
    assert len(two.prompt_files["p.txt"]) == 2
    assert two.notes[0].startswith("prompts p.txt: 2 prompts; one per paragraph, 50 lines; ")


def test_paragraphs_that_are_meant_are_taken(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "p.txt", WRAPPED)
    assert plan.notes == (
        "prompts p.txt: 2 prompts; one per paragraph, 5 lines; 106 to 178 characters each",
    )
    code = "What does this do?\n\n" + "\n".join(["for i in range(3):", "    print(i)"] * 9)
    assert len(plan_of(tmp_path, "p.txt", code).prompt_files["p.txt"]) == 2
    many = textwrap.fill("now and then he said that all of it was well known " * 30, 72)
    assert len(plan_of(tmp_path, "p.txt", f"{many}\n\n{many}").prompt_files["p.txt"]) == 2
    spaced = plan_of(tmp_path, "p.txt", "\n\n".join(ONE_LINE))
    assert len(spaced.prompt_files["p.txt"]) == 50
    assert "50 prompts; one per line;" in spaced.notes[0]


def test_old_line_ends_are_line_ends(tmp_path: Path) -> None:
    for end in ("\r\n", "\r"):
        (tmp_path / "p.txt").write_bytes(end.join(["one", "two", ""]).encode())
        assert [r["prompt"] for r in read_prompt_file(tmp_path / "p.txt")] == ["one", "two"]


def test_marks_inside_joined_files_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('\ufeff"a"\n\ufeff{"prompt": "b"}\n', encoding="utf-8")
    assert [r["prompt"] for r in read_prompt_file(tmp_path / "p.jsonl")] == ["a", "b"]


def test_split_needs_a_text_file(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"p\.jsonl has its own ends of prompts"):
        plan_of(tmp_path, "p.jsonl", '"a"\n', ", split: lines")
    with pytest.raises(ScenarioError, match="split is for a file of prompts"):
        load_scenario({"prompts": {"inline": ["a"], "split": "lines"}})


def test_dry_run_validate_and_notes_show_count_and_beginning(tmp_path: Path) -> None:
    text = '{"prompt": "first of all\\nmore", "output_tokens": 5}\n"second"\n"second"\n"fourth"\n'
    plan = plan_of(tmp_path, "p.jsonl", text)
    said = "4 prompts; one per row; 6 to 17 characters each; 1 with their own output_tokens; 1 rep"
    for shown in (
        plan_text(plan),
        CliRunner().invoke(command, ["validate", str(tmp_path / "s.yaml")]).output,
    ):
        assert said in shown
        assert "  1. first of all more (2 lines)\n  2. second\n  3. second\n" in shown
        assert "fourth" not in shown


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        ("0", "a text has at least 1 token: 0 is none; give 1 or more"),
        ("-5", "a text has at least 1 token: -5 is none"),
        ("{fixed: 0.4}", "0.4 is none"),
        ("{uniform: {low: 0, high: 300}}", "0 is none"),
        ("{normal: {mean: -3, sd: 1}}", "-3 is none"),
        ("{normal: {mean: 100, sd: 80}}", "below 1 token: lower sd (it is 80), or use lognormal"),
        ("{lognormal: {median: 0.2, p95: 9}}", "0.2 is none"),
        ("{choice: {values: [100, 0]}}", "0 is none"),
    ],
)
@pytest.mark.parametrize("key", ["input_tokens", "output_tokens"])
def test_no_text_has_fewer_than_one_token(tmp_path: Path, key: str, tokens: str, why: str) -> None:
    first = "" if key == "input_tokens" else "input_tokens: 50, "
    (tmp_path / "s.yaml").write_text(f"prompts: {{synthetic: {{{first}{key}: {tokens}}}}}\n")
    with pytest.raises(ScenarioError, match=re.escape(why)) as caught:
        load_scenario(str(tmp_path / "s.yaml"))
    assert caught.value.problems[0].path == f"prompts.synthetic.{key}"
    with pytest.raises(ScenarioError, match=r"is none|below 1 token"):
        load_scenario(
            {
                "matrix": {key: [100, *([] if tokens[0] == "{" else [int(tokens)])]},
                "prompts": {"synthetic": {"input_tokens": 50, key: -1}},
            }
        )


def test_a_table_takes_prompts_as_long_as_a_book_and_refuses_odd_counts(tmp_path: Path) -> None:
    book = "word " * 100_000
    (tmp_path / "p.csv").write_text(f'prompt,output_tokens\n"{book}",5\n')
    assert read_prompt_file(tmp_path / "p.csv") == ({"prompt": book, "output_tokens": 5},)
    for odd in ("²", "9" * 5000, "0", "1e3"):
        (tmp_path / "p.csv").write_text(f"prompt,output_tokens\nx,{odd}\n", encoding="utf-8")
        with pytest.raises(ValueError, match=r"p.csv:2: output_tokens is not a whole number"):
            read_prompt_file(tmp_path / "p.csv")
