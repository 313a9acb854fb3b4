"""From matplotlib's SVG to one that fits a page: themable, small, without style attributes.

A page with a strict Content-Security-Policy ignores `style` attributes, several drawings in one
page must not share ids, and colours must follow the theme. So style attributes become presentation
attributes, colours become classes, ids that nothing refers to go, the others are short and begin
with the drawing's, and coordinates are rounded to a tenth of a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final
from xml.etree import ElementTree

from bench.report.charts.compact import POINT, compact, marks_before_texts, short_path, small_tiles
from bench.report.charts.palette import CLASSES
from bench.report.page import Marks

_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_URL: Final = re.compile(r"url\(#([^)]+)\)")
_AXIS: Final = "matplotlib.axis_"
_GEOMETRY: Final = frozenset({"x", "y", "width", "height", "points"})
_DROPPED: Final = frozenset({"metadata", "style"})
_NOTHING: Final = frozenset({"rotate(-0)", ""})
# Presentation attributes that are the default, or that the root already sets.
_DEFAULTS: Final = {
    "stroke-linecap": "butt",
    "stroke-linejoin": "round",
    "stroke-dashoffset": "0",
    "opacity": "1",
    "stroke-width": "1",
    "text-anchor": "start",
}
ENTRY: Final = "entry "
"""Begins the id of a legend's text; then: left, upper edge and width of the entry, its name."""
_DRAWABLE: Final = frozenset({f"{_SVG}path", f"{_SVG}use", f"{_SVG}rect"})


def page_svg(source: str, prefix: str, label: str, marks: Marks, said: Sequence[str] = ()) -> str:
    """A drawing as an element of a page.

    Args:
        source: what matplotlib wrote.
        prefix: unique in the page; begins every id.
        label: the text alternative.
        marks: groups whose points have values, and groups that belong to models.
        said: values of the points of the drawing before this one (`values_of`); a point with one
            of these only names its place.

    Raises:
        ValueError: a group that `marks` names has another number of points than it says.
    """
    root = ElementTree.fromstring(source)
    _drop(root)
    marks_before_texts(root, _AXIS)
    small_tiles(root)
    groups = {g.get("id"): g for g in root.iter(f"{_SVG}g")}
    places = {text: str(place) for place, text in reversed(list(enumerate(said)))}
    for name, tips in marks.tips.items():
        for point, tip in _each(groups.get(name), name, tips):
            point.set("class", POINT)
            if tip in places:
                point.set("data-at", places[tip])
            else:
                ElementTree.SubElement(point, f"{_SVG}title").text = tip
    for name, tags in marks.tags.items():
        for point, tag in _each(groups.get(name), name, tags):
            point.set("data-in", tag)
    for group in root.iter(f"{_SVG}g"):  # several may have one id: intervals and their caps
        _attach_names(group, marks.models)
    for name, value in marks.drawing.items():
        root.set(f"data-{name}", value)
    for element in root.iter():
        _plain_attributes(element)
    _prefix_ids(root, prefix)
    _unwrap(root)
    _dress(root, label)
    _strip(root)
    compact(root)
    _say_once(root, len(said))
    return ElementTree.tostring(root, encoding="unicode").replace(" />", "/>")


def values_of(svg: str) -> list[str]:
    """The values of the points of a drawing, in its order."""
    return [t.text or "" for t in ElementTree.fromstring(svg).iter("title")]


def _say_once(root: ElementTree.Element, before: int) -> None:
    """A point whose value another has in the same drawing only names the other's place."""
    places: dict[str, int] = {}
    for point in list(root.iter()):
        title = point.find("title")
        if title is None:
            continue
        text = title.text or ""
        if text in places:
            point.remove(title)
            point.set("data-at", str(places[text]))
        else:
            places[text] = before + len(places)


def _drop(root: ElementTree.Element) -> None:
    for parent in reversed(list(root.iter())):  # what is empty then has nothing left in it
        for child in list(parent):
            empty = child.tag == f"{_SVG}defs" and not len(child)
            if empty or child.tag.removeprefix(_SVG) in _DROPPED:
                parent.remove(child)


def _attach_names(group: ElementTree.Element, models: Mapping[str, str]) -> None:
    """What an id says of its group: model, view, tags, and where an entry of a legend stands."""
    id = group.get("id", "")
    name, at, tags = id.rpartition("@")
    if id in models:
        group.set("data-model", models[id])
    if id.startswith("view-"):
        group.set("class", id)
    if at:
        group.set("data-in", tags)
    if at and name.startswith(ENTRY):
        group.set("data-entry", name.removeprefix(ENTRY))


def _each(
    group: ElementTree.Element | None, name: str, said: list[str]
) -> Iterator[tuple[ElementTree.Element, str]]:
    points = list(_points(group)) if group is not None else []
    if len(points) != len(said):
        raise ValueError(f"{name}: {len(points)} points are drawn, {len(said)} have values")
    return zip(points, said, strict=True)


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
            del element.attrib[name]
    if element.tag != f"{_SVG}svg":
        for name, value in _DEFAULTS.items():
            if element.get(name) == value:
                del element.attrib[name]
    for name in _GEOMETRY & set(element.attrib):
        element.set(name, _short(element.attrib[name], 1))
    if "transform" in element.attrib:
        element.set("transform", _short(element.attrib["transform"], 2))
    if element.get("fill") == "none" and classes[1:] == ["s-grid"]:
        # A grid's lines end at the axes: nothing to clip, no ends to see.
        for name in ("clip-path", "stroke-linecap"):
            element.attrib.pop(name, None)
    if "d" in element.attrib:
        element.set("d", short_path(element.attrib["d"]))
    if element.get("transform", "-").startswith("rotate(-0 ") or not element.get("transform", "-"):
        del element.attrib["transform"]
    if _HREF in element.attrib:
        element.set("href", element.attrib.pop(_HREF))
    if any(classes):
        element.set("class", " ".join(c for c in classes if c))


@lru_cache(maxsize=1024)
def _style(text: str) -> tuple[tuple[str, str], ...]:
    """Its declarations; a drawing has few different styles, and says each of every mark."""
    return tuple(_declarations(text))


def _declarations(text: str) -> Iterator[tuple[str, str]]:
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


def _short(value: str, decimals: int) -> str:
    """Numbers within a text, rounded."""
    short = _NUMBER.sub(lambda m: f"{round(float(m.group()), decimals):.10g}", value)
    return " ".join(short.split())


def _prefix_ids(root: ElementTree.Element, prefix: str) -> None:
    """Ids that are used become short and unique in the page; the others go."""
    used = {e.get("href", "").removeprefix("#") for e in root.iter()}
    used |= {id for e in root.iter() for value in e.attrib.values() for id in _URL.findall(value)}
    defined = [e.get("id", "") for e in root.iter() if e.get("id") in used]
    short = {name: f"{prefix}{place}" for place, name in enumerate(dict.fromkeys(defined))}
    for element in root.iter():
        if (name := element.attrib.pop("id", None)) in short:
            element.set("id", short[name])
        for key, value in element.attrib.items():
            if key == "href" and value[1:] in short:
                element.set(key, f"#{short[value[1:]]}")
            elif "url(#" in value:
                element.set(key, _URL.sub(lambda m: f"url(#{short.get(m[1], m[1])})", value))


def _invisible(element: ElementTree.Element) -> bool:
    """Frames that matplotlib draws around everything though they have neither fill nor line."""
    bare = element.get("fill") == "none" and element.get("stroke", "none") == "none"
    return bare and element.tag == f"{_SVG}path" and not element.get("class")


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
    root.attrib |= {"role": "img", "aria-label": label, "stroke-linejoin": "round"}
    root.set("focusable", "false")


def _strip(root: ElementTree.Element) -> None:
    """White space between elements and the namespace of tags go."""
    for element in root.iter():
        if element.tag not in (f"{_SVG}text", f"{_SVG}tspan", f"{_SVG}title"):
            element.text = None
        element.tail = None
        element.tag = element.tag.removeprefix(_SVG)
