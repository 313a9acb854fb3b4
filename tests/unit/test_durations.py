from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.durations import duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2m", 120),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1h2m3s4ms", 3723.004),
        ("10us", 1e-5),
        (".5s", 0.5),
    ],
)
def test_durations_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "5x", "5m3", "1:30", "5min"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration_s(text)


@given(st.integers(0, 1000), st.integers(0, 59), st.integers(0, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    assert duration_s(text) == 3600 * hours + 60 * minutes + seconds
