"""The stylesheet's colours: those of the palette, and readable in both themes (WCAG 2.1)."""

import re
from functools import cache
from itertools import combinations

import pytest

from bench.report.charts.palette import BAD, GRID, INK, PHASES, SERIES, SOFT
from bench.resources import resource_dir

TEXT = 4.5
"""Least contrast of text (level AA)."""
GRAPHICS = 3.0
"""Least contrast of lines and areas that carry meaning."""


@cache
def style() -> str:
    return (resource_dir("reports") / "assets" / "report.css").read_text()


def tokens(selector: str) -> dict[str, str]:
    block = re.search(rf"^{re.escape(selector)} \{{\n(.*?)^\}}", style(), re.S | re.M)
    assert block, selector
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block.group(1)))


@cache
def themes() -> dict[str, dict[str, str]]:
    return {"light": tokens(":root"), "dark": tokens(':root[data-theme="dark"]')}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_drawings_and_page_agree_on_the_light_theme() -> None:
    light = themes()["light"]
    assert [light[f"s{i}"] for i in range(8)] == list(SERIES)
    assert {name: light[f"p-{name}"] for name in PHASES} == PHASES
    assert (light["ink"], light["soft"], light["grid"], light["bad"]) == (INK, SOFT, GRID, BAD)


def test_system_dark_and_chosen_dark_are_the_same() -> None:
    by_system = re.search(
        r'prefers-color-scheme: dark\) \{\n  :root:not\(\[data-theme="light"\]\) \{\n(.*?)^  \}',
        style(),
        re.S | re.M,
    )
    assert by_system
    assert dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", by_system.group(1))) == themes()["dark"]


def test_both_themes_define_the_same_names() -> None:
    assert themes()["light"].keys() == themes()["dark"].keys()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable(theme: str) -> None:
    c = themes()[theme]
    for ground in ("paper", "card", "sunk"):
        for text in ("ink", "soft", "accent"):
            assert contrast(c[text], c[ground]) >= TEXT, (text, ground)
    for tone in ("good", "caution", "bad"):
        assert contrast(c[tone], c[f"{tone}-tint"]) >= TEXT
        assert contrast(c["ink"], c[f"{tone}-tint"]) >= TEXT
        assert contrast(c["soft"], c[f"{tone}-tint"]) >= TEXT


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_lines_and_bars_stand_out(theme: str) -> None:
    c = themes()[theme]
    for name in (*(f"s{i}" for i in range(8)), "bad"):
        assert contrast(c[name], c["card"]) >= GRAPHICS, name
    # Parts of a bar also differ by their hatches; those most often large stand out by colour.
    for name in ("p-decode", "p-prefill", "p-load"):
        assert contrast(c[name], c["card"]) >= GRAPHICS, name


# Simulation of dichromats on linear RGB: Viénot, Brettel and Mollon 1999.
_DEFICIENCIES = {
    "protanopia": ((0.11238, 0.88762, 0.0), (0.11238, 0.88762, 0.0), (0.00401, -0.00401, 1.0)),
    "deuteranopia": ((0.29275, 0.70725, 0.0), (0.29275, 0.70725, 0.0), (-0.02234, 0.02234, 1.0)),
}


def seen(colour: str, deficiency: str) -> tuple[float, ...]:
    """Lab-like coordinates (cube roots of linear light) as a dichromat sees a colour."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    rows = _DEFICIENCIES[deficiency]
    return tuple(
        max(sum(a * b for a, b in zip(r, linear, strict=True)), 0) ** (1 / 3) for r in rows
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("deficiency", list(_DEFICIENCIES))
def test_the_first_four_models_differ_for_the_colour_blind(theme: str, deficiency: str) -> None:
    c = themes()[theme]
    for i, j in combinations(range(4), 2):
        a, b = seen(c[f"s{i}"], deficiency), seen(c[f"s{j}"], deficiency)
        distance = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5
        assert distance > 0.08, (i, j, distance)
