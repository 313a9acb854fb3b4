"""Variables of this process that are secrets: by their names, but for a shell's folders."""

from __future__ import annotations

import pytest

from bench import hidden


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
