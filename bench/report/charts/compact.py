"""The same drawing in fewer bytes: short path data, one path for many alike, shared attributes.

What matplotlib writes says everything of every mark anew. Nothing of this changes what is seen by
more than a twentieth of a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final
from xml.etree import ElementTree

_Element = ElementTree.Element

_TOKEN: Final = re.compile(r"[A-Za-z]|-?[\d.]+(?:e-?\d+)?")
_LINE: Final = re.compile(r"M (\S+) (\S+)\s+L (\S+) (\S+)")
_TILE: Final = 24
_PER_PIXEL: Final = 10
_PAIRS: Final = {"M": 1, "L": 1, "Q": 2, "C": 3}
_SHARED: Final = (
    *("clip-path", "fill", "stroke", "stroke-width", "stroke-linecap", "stroke-linejoin"),
    *("stroke-dasharray", "font-size", "font-weight", "text-anchor", "class"),
)
"""What children of a group have from it, and may say together."""
_LEAVES: Final = frozenset({"path", "use", "text", "rect"})
POINT: Final = "pt"


def short_path(data: str) -> str:
    """Path data in tenths of a pixel, relative to the point before; rounding never adds up.

    Args:
        data: absolute, of the commands M, L, Q, C and z, as matplotlib writes it. Other commands
            leave it as it is.
    """
    tokens = _TOKEN.findall(data)
    if any(t.isalpha() and t not in "MLQCz" for t in tokens):
        return data
    out: list[str] = []
    begin = at = (0, 0)
    place = 0
    while place < len(tokens):
        command = tokens[place]
        place += 1
        if command == "z":
            out.append("z")
            at = begin
            continue
        count = 2 * _PAIRS[command]
        numbers = [round(float(t) * _PER_PIXEL) for t in tokens[place : place + count]]
        place += count
        pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
        if command == "M":
            begin = at = pairs[0]
            out.append(f"M{_joined(numbers)}")
            continue
        moves = [(x - at[0], y - at[1]) for x, y in pairs]
        at, (x, y) = pairs[-1], moves[-1]
        if command == "L" and 0 in (x, y):
            out.append(f"h{_number(x)}" if y == 0 else f"v{_number(y)}")
        else:
            out.append(command.lower() + _joined([n for move in moves for n in move]))
    return "".join(out)


def _joined(numbers: list[int]) -> str:
    return " ".join(map(_number, numbers)).replace(" -", "-")


def _number(tenths: int) -> str:
    """A number of tenths without a leading zero: "3", "-.5", "12.5"."""
    whole, rest = divmod(abs(tenths), _PER_PIXEL)
    digits = f"{whole or ''}.{rest}" if rest else str(whole)
    return f"-{digits}" if tenths < 0 else digits


def small_tiles(root: _Element) -> None:
    """Hatches repeat within their tile: a third of it, with the lines that cross it, is enough.

    Args:
        root: as matplotlib writes it; its tiles have 72 pixels, its hatches repeat after 24.
    """
    for pattern in (e for e in root.iter() if e.tag.endswith("}pattern")):
        rect, path = pattern
        lines = _LINE.findall(path.get("d", ""))
        if len(lines) != path.get("d", "").count("M"):
            continue
        kept = [f"M {x} {y} L {u} {v}" for x, y, u, v in lines if _crosses(x, y, u, v)]
        path.set("d", " ".join(kept))
        for element, size in ((pattern, _TILE), (rect, _TILE + 1)):
            element.set("width", str(size))
            element.set("height", str(size))


def _crosses(*ends: str) -> bool:
    """Whether a line goes through the small tile, or so near that its width shows there."""
    x, y, u, v = map(float, ends)
    corners = [(a, b) for a in (-1, _TILE + 1) for b in (-1, _TILE + 1)]
    sides = [(u - x) * (b - y) - (v - y) * (a - x) for a, b in corners]
    return min(sides) <= 0 <= max(sides)


def marks_before_texts(root: _Element, is_axis: str) -> None:
    """Within an axis its lines come first, then its texts, so that each can be said together.

    Args:
        root: not yet flattened.
        is_axis: how the ids of the groups of axes begin.
    """
    for axis in root.iter():
        if axis.get("id", "").startswith(is_axis):
            axis[:] = sorted(_leaf_groups(axis), key=_has_text)


def _leaf_groups(axis: _Element) -> Iterator[_Element]:
    for child in axis:
        ticks = child.get("id", "").startswith(("xtick", "ytick"))
        yield from child if ticks else (child,)


def _has_text(group: _Element) -> bool:
    return any(e.tag.endswith("}text") for e in group.iter())


def compact(root: _Element) -> None:
    """Join paths that differ only in their data, and give groups what neighbours have in common.

    Args:
        root: flattened, tags without namespace; changed in place.
    """
    for parent in list(root.iter()):
        if parent.tag in ("svg", "g"):
            _join(parent, _join_groups)
            _flatten(parent)
            _join(parent, _join_paths)
            _share(parent)


def _join(parent: _Element, join: Callable[[_Element, _Element], bool]) -> None:
    """Lets neighbours become one where `join` puts the second into the first."""
    children: list[_Element] = []
    for child in list(parent):
        if not children or not join(children[-1], child):
            children.append(child)
    parent[:] = children


def _join_groups(before: _Element, child: _Element) -> bool:
    """Neighbours that belong to the same: the line, the intervals and the points of one case."""
    if not before.tag == child.tag == "g" or not child.attrib or before.attrib != child.attrib:
        return False
    before.extend(child)
    child[:] = []  # it is still to be visited
    return True


def _flatten(parent: _Element) -> None:
    """A group of one gives it what the group says."""
    for place, child in enumerate(list(parent)):
        inner = child
        while inner.tag == "g" and len(inner) == 1 and _may_take(inner[0], inner):
            inner[0].attrib.update(inner.attrib)
            inner = inner[0]
        parent[place] = inner


def _may_take(child: _Element, group: _Element) -> bool:
    if child.tag not in ("g", "path", "use", "text") or "transform" in child.attrib:
        return False
    return not child.attrib.keys() & group.attrib.keys()


def _join_paths(a: _Element, b: _Element) -> bool:
    """Two paths that look the same as one: no value of their own, nothing to shine through."""
    if a.tag != "path" or b.tag != "path" or len(a) or len(b):
        return False
    rest = [{k: v for k, v in e.attrib.items() if k != "d"} for e in (a, b)]
    if rest[0] != rest[1] or rest[0].keys() & {"id", "opacity", "transform"}:
        return False
    a.set("d", a.get("d", "") + b.get("d", ""))
    return True


def _share(parent: _Element) -> None:
    children: list[_Element] = []
    for shared, run in groupby(list(parent), _common):
        alike = list(run)
        if not shared or len(alike) < 2:
            children += alike
            continue
        group = ElementTree.Element("g", dict(shared))
        for child in alike:
            is_point = POINT in child.get("class", "").split()
            for name, _ in shared:
                child.attrib.pop(name)
            if is_point:
                child.set("class", POINT)
        group[:] = alike
        children.append(group)
    parent[:] = children


def _common(element: _Element) -> tuple[tuple[str, str], ...]:
    """What an element could have from a group; nothing if it is no leaf."""
    if element.tag not in _LEAVES or "transform" in element.attrib:
        return ()
    own = {n: element.attrib[n] for n in _SHARED if n in element.attrib}
    if "class" in own:
        own["class"] = " ".join(c for c in own["class"].split() if c != POINT)
    return tuple((n, v) for n, v in own.items() if v)
