from __future__ import annotations

import resource
from dataclasses import replace

import pytest

from bench.doctor.checkup import Status, _descriptors
from bench.errors import UsageError
from bench.load.needs import SPARE, descriptors_for, ensure_descriptors


@pytest.fixture
def limits(monkeypatch):
    """The process's limits, as a dict that can be looked at."""
    now = {"soft": 256, "hard": 4096}

    def set_them(which, pair):
        now["soft"], now["hard"] = pair

    monkeypatch.setattr(resource, "getrlimit", lambda which: (now["soft"], now["hard"]))
    monkeypatch.setattr(resource, "setrlimit", set_them)
    return now


@pytest.mark.parametrize(
    ("soft", "hard", "fine", "said"),
    [
        (256, resource.RLIM_INFINITY, True, "256 open files, can be raised without limit"),
        (1024, 524288, True, "1,024 open files, can be raised to 524,288"),
        (256, 1024, False, "256 open files, can be raised to 1,024"),
        (1024, 1024, False, "1,024 open files"),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, True, "any number of open files"),
    ],
)
def test_a_checkup_goes_by_what_a_run_could_have(limits, soft, hard, fine, said):
    """Where the hard limit is none, as on macOS, it went by the soft one: 256."""
    limits.update(soft=soft, hard=hard)
    found = _descriptors()
    assert found is not None
    assert (found.status is Status.FINE, found.said) == (fine, said)


def test_enough_is_left_alone(limits):
    ensure_descriptors(200)
    assert limits == {"soft": 256, "hard": 4096}


def test_too_few_are_raised(limits):
    ensure_descriptors(2000)
    assert limits == {"soft": 2000, "hard": 4096}


def test_more_than_the_system_allows_is_told(limits):
    with pytest.raises(UsageError, match="needs 5,000 open files, and the system allows 4,096"):
        ensure_descriptors(5000)


def test_users_and_open_requests_count_and_workers_share_them(kit):
    assert descriptors_for(kit.plan(kit.case(kit.closed(300)))) == 300 + SPARE
    assert descriptors_for(kit.plan(kit.case(kit.open_loop(1.0))), workers=4) == 250 + SPARE


def test_cases_that_run_at_the_same_time_add_up(kit):
    parts = [replace(kit.case(kit.closed(300)), id=name, together="both") for name in "ab"]
    assert descriptors_for(kit.plan(*parts)) == 600 + SPARE
