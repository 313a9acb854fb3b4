"""From matplotlib's SVG to one that fits a page: themable, small, without style attributes.

A page with a strict Content-Security-Policy ignores `style` attributes, several drawings in one
page must not share ids, and colours must follow the theme. So style attributes become presentation
attributes, colours get classes, ids that nothing refers to go, the others are prefixed, and
coordinates are rounded to a hundredth of a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree

from bench.report.charts.palette import CLASSES
from bench.report.page import Marks

_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_LONG_NUMBER: Final = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_URL: Final = re.compile(r"url\(#([^)]+)\)")
_GEOMETRY: Final = frozenset({"d", "x", "y", "width", "height", "transform", "points"})
_DROPPED: Final = frozenset({"metadata", "style"})
_NOTHING: Final = frozenset({"rotate(-0)", ""})
# Presentation attributes that are the default, or that the root already sets.
_DEFAULTS: Final = {
    "stroke-linecap": "butt",
    "stroke-linejoin": "round",
    "stroke-dashoffset": "0",
    "opacity": "1",
    "stroke-width": "1",
}
_DRAWABLE: Final = frozenset({f"{_SVG}path", f"{_SVG}use", f"{_SVG}rect"})


def page_svg(source: str, prefix: str, label: str, marks: Marks) -> str:
    """A drawing as an element of a page.

    Args:
        source: what matplotlib wrote.
        prefix: unique in the page; begins every id.
        label: the text alternative.
        marks: groups whose points have values, and groups that belong to models.

    Raises:
        ValueError: a group that `marks` names has another number of points than it says.
    """
    root = ElementTree.fromstring(source)
    _drop(root)
    groups = {g.get("id"): g for g in root.iter(f"{_SVG}g")}
    for name, tips in marks.tips.items():
        _attach_tips(groups.get(name), name, tips)
    for name, model in marks.models.items():
        if (group := groups.get(name)) is not None:
            group.set("data-model", model)
    for element in root.iter():
        _plain_attributes(element)
    _prefix_ids(root, prefix)
    _unwrap(root)
    _dress(root, label)
    return _text(root)


def _drop(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(_SVG) in _DROPPED or not isinstance(child.tag, str):
                parent.remove(child)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}defs" and not len(child):
                parent.remove(child)


def _attach_tips(group: ElementTree.Element | None, name: str, tips: list[str]) -> None:
    points = list(_points(group)) if group is not None else []
    if len(points) != len(tips):
        raise ValueError(f"{name}: {len(points)} points are drawn, {len(tips)} have values")
    for point, tip in zip(points, tips, strict=True):
        point.set("class", "pt")
        ElementTree.SubElement(point, f"{_SVG}title").text = tip


def _points(group: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """What is drawn in a group, without what is only defined in it."""
    for child in group:
        if child.tag in _DRAWABLE:
            yield child
        elif child.tag == f"{_SVG}g":
            yield from _points(child)


def _plain_attributes(element: ElementTree.Element) -> None:
    classes = [element.get("class", "")]
    for name, value in _style(element.attrib.pop("style", "")):
        element.set(name, value)
    for name in ("fill", "stroke"):
        known = CLASSES.get(element.get(name, "").lower())
        if known:
            classes.append(f"{name[0]}-{known}")
    if element.tag != f"{_SVG}svg":
        for name, value in _DEFAULTS.items():
            if element.get(name) == value:
                del element.attrib[name]
    for name in _GEOMETRY & set(element.attrib):
        element.set(name, _short(element.attrib[name]))
    if element.get("transform", "-").startswith("rotate(-0 ") or not element.get("transform", "-"):
        del element.attrib["transform"]
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    if any(classes):
        element.set("class", " ".join(c for c in classes if c))


def _style(text: str) -> Iterator[tuple[str, str]]:
    for declaration in text.split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            yield from _font(value)
        elif name == "font-size":
            yield name, value.removesuffix("px")
        elif name and not name.startswith("font-family"):
            yield name, value


def _font(value: str) -> Iterator[tuple[str, str]]:
    """Size and weight of a `font` shorthand; the family is the page's."""
    before = value.partition("px")[0].split()
    yield "font-size", before[-1]
    if bold := next((w for w in before[:-1] if w in ("bold", "600", "700")), ""):
        yield "font-weight", bold


def _short(value: str) -> str:
    return " ".join(_LONG_NUMBER.sub(_rounded, value).split())


def _rounded(match: re.Match[str]) -> str:
    return (
        f"{round(float(match.group()), 2):g}"
        if abs(float(match.group())) < 1e4
        else (f"{float(match.group()):.1f}")
    )


def _prefix_ids(root: ElementTree.Element, prefix: str) -> None:
    used = set()
    for element in root.iter():
        for value in element.attrib.values():
            used.update(_URL.findall(value))
        used.add(element.get("href", "").removeprefix("#"))
    for element in root.iter():
        if (name := element.get("id")) is not None:
            if name in used:
                element.set("id", f"{prefix}-{name}")
            else:
                del element.attrib["id"]
        for name, value in element.attrib.items():
            if name == "href" and value.startswith("#"):
                element.set(name, f"#{prefix}-{value[1:]}")
            elif "url(#" in value:
                element.set(name, _URL.sub(rf"url(#{prefix}-\1)", value))


def _invisible(element: ElementTree.Element) -> bool:
    """Frames that matplotlib draws around everything though they have neither fill nor line."""
    return (
        element.tag == f"{_SVG}path"
        and element.get("fill") == "none"
        and element.get("stroke", "none") == "none"
        and "pt" not in element.get("class", "").split()
    )


def _unwrap(parent: ElementTree.Element) -> None:
    """Groups that say nothing give way to what they hold."""
    children: list[ElementTree.Element] = []
    for child in list(parent):
        _unwrap(child)
        if child.tag == f"{_SVG}g" and not child.attrib:
            children += list(child)
        elif parent.tag != f"{_SVG}clipPath" and _invisible(child):
            continue
        else:
            children.append(child)
    parent[:] = children


def _dress(root: ElementTree.Element, label: str) -> None:
    for name in ("width", "height"):
        root.set(name, root.get(name, "").removesuffix("pt"))
    root.attrib.pop("version", None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("stroke-linejoin", "round")
    root.set("focusable", "false")


def _text(root: ElementTree.Element) -> str:
    for element in root.iter():
        if element.tag not in (f"{_SVG}text", f"{_SVG}tspan", f"{_SVG}title"):
            element.text = None
        element.tail = None
        element.tag = element.tag.removeprefix(_SVG)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
