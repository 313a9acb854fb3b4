"""The documents that `ollama-bench help` shows."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from bench.cli import cli
from bench.cli.help import document, topics
from bench.commands.reference import PARTS, updated
from bench.errors import ExitCode, UsageError
from bench.metrics import METRICS
from bench.resources import DOCS
from bench.results.warning_codes import all_codes

FILES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_reference_parts_are_up_to_date(path):
    text = path.read_text(encoding="utf-8")
    assert updated(text) == text, "run: python -m bench.commands.reference"


def test_every_reference_part_is_shown_somewhere():
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)
    assert set(re.findall(r"<!-- reference: (\w+) -->", text)) == set(PARTS)


def test_nothing_is_left_out():
    assert all(f"### `{id}`" in document("metrics") for id in METRICS)
    assert all(f"`{code}`" in document("warnings") for code in all_codes())
    assert all(f"| {int(code)} | " in document("exit-codes") for code in ExitCode)
    assert "| `load.closed.users` | whole number" in document("scenario-keys")
    assert "`monotonic_origin_ns` | integer | " in document("files")


@pytest.mark.parametrize("name", sorted(topics()))
def test_a_topic_has_a_title_and_a_sentence_of_its_own(name):
    text = document(name)
    assert text.startswith("# ") and "<!--" not in text
    assert 10 < len(topics()[name]) < 110


def test_the_topics_are_listed_plainly_where_nobody_looks():
    shown = CliRunner().invoke(cli, ["help"]).output
    assert all(name in shown for name in topics())
    assert "\x1b" not in CliRunner().invoke(cli, ["help", "metrics"]).output


@pytest.mark.parametrize(
    ("asked", "near"), [("exit codes", ""), ("Metrics", ""), ("exitcodes", "exit-codes")]
)
def test_a_topic_is_found_or_the_nearest_is_named(asked, near):
    if not near:
        assert document(asked).startswith("# ")
        return
    with pytest.raises(UsageError, match="there is no topic") as e:
        document(asked)
    assert f"Did you mean {near}?" in e.value.advice
