"""Variables of this process that are secrets: by their names, but for a shell's folders."""

from __future__ import annotations

import html
import json
import shlex
from urllib.parse import urlencode

import pytest
from damaged_files import limited
from planted_secrets import Planted

from bench import hidden
from bench.errors import BenchError
from bench.shown import shown


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(hidden, "_known", {})
    monkeypatch.setattr(hidden, "_pattern", None)


def test_the_current_folder_is_no_password():
    folders = {"PWD": "/home/me/measurements", "OLDPWD": "/home/me/downloads"}
    hidden.remember_environment({}, folders | {"DB_PWD": "/home/me/hunter2"})
    said = "no run in /home/me/measurements, nor /home/me/downloads; /home/me/hunter2"
    assert hidden.scrub(said) == said.replace("/home/me/hunter2", hidden.HIDDEN)


def test_what_a_server_is_given_is_a_secret_by_any_name():
    hidden.remember_environment({"PWD": "/home/me/measurements"}, {})
    assert hidden.scrub("in /home/me/measurements") == f"in {hidden.HIDDEN}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        *("a" * 300_000, "+" * 300_000, "a:," * 60_000 + "@x", "://" * 100_000 + "@"),
        *("?" + "token" * 50_000, "?key" * 50_000, "cookie:" + "\n" * 300_000, "@" * 300_000),
        *("authorization" * 20_000, "Bearer " + "a" * 300_000, "Basic" + " " * 300_000),
        *("env.a" + " " * 300_000, "env." * 70_000, "env.x=" + "\n" * 300_000, "a@" * 99_999),
        *("::a" * 100_000, "::a " * 70_000, "##" * 100_000, ":" * 300_000, "[" * 300_000),
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_no_text_takes_a_square_of_time(text):
    """Broken files and servers' logs hold such: the square of 300,000 is minutes."""
    with limited(10.0):
        assert scrubbed(text)


def scrubbed(text):
    error = BenchError(text)
    assert len(error.message) < 11_000
    return shown(hidden.scrub(text))


@pytest.mark.parametrize(
    "text",
    [
        *("http://u:hunter22@h:1/x", "1http://u:hunter22@h", "see u:hunter22@host.example now"),
        *(
            "git+ssh://u:hunter22@h",
            "x?a=1&api_token=hunter22&b",
            "Cookie :  hunter22",
            "a@b u:hunter22@c",
        ),
        *("Authorization: Bearer hunter22.x", "Bearer   hunter22.abc", "env.PIN = hunter22"),
    ],
)
def test_what_stands_where_secrets_do_is_hidden(text):
    assert "hunter22" not in hidden.scrub(text)


@pytest.mark.parametrize("seed", range(30))
def test_a_secret_is_found_however_it_is_written(seed):
    planted = Planted.drawn(seed)
    hidden.remember_environment(planted.given, planted.inherited)
    written = [
        str(planted.given),
        json.dumps(planted.given),
        json.dumps(planted.given, ensure_ascii=False),
        json.dumps(str(planted.given)),
        json.dumps(json.dumps(planted.given)),
        html.escape(str(list(planted.given.values()))),
        urlencode({f"x{n}": value for n, value in enumerate(planted.given.values())}),
        str([value.encode() for value in planted.given.values()]),
        " ".join(map(shlex.quote, planted.given.values())),
        "\n".join(planted.given.values()),
    ]
    for text in written:
        assert planted.mark in text
        assert planted.mark not in hidden.scrub(text)
        assert "DB_PASS" in hidden.scrub(text) or "DB_PASS" not in text
