"""The reference parts of the documents, made from the code they describe.

`python -m bench.commands.reference` writes them anew, between the marks
`<!-- reference: NAME -->` and `<!-- end -->` of the files in `bench/docs`.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from bench.analysis.run.summary import Summary
from bench.commands.schemas import FORMS, schema_file, schema_text
from bench.docstrings import texts_below
from bench.errors import ExitCode
from bench.metrics import METRICS
from bench.resources import DOCS
from bench.results.record import RequestRecord
from bench.results.run import RunInfo
from bench.results.warning_codes import WarningCode, all_codes
from bench.scenario.jsonschema import json_schema
from bench.scenario.loading import headline, load_scenario, scenario_names, scenario_path

_MARK = re.compile(r"(<!-- reference: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_MANY = 12
"""So many values are not listed in a table: the metrics, say, have a document of their own."""
_KINDS = {"object": "keys", "string": "text", "integer": "whole number", "boolean": "true, false"}
_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*): (.*)$")


def updated(text: str) -> str:
    """A document with its reference parts made anew."""
    return _MARK.sub(lambda m: f"{m[1]}\n{PARTS[m[2]]()}\n{m[3]}", text)


def metrics() -> str:
    """Every metric: what it means, what it is made of, and what it must not be taken for."""
    lines = []
    for metric in METRICS.values():
        facts = [f"unit {metric.shown_unit}" if metric.shown_unit else "no unit"]
        facts += [f"{metric.better} is better"] if metric.better else []
        facts += [f"clock: {metric.clock}"] if metric.clock else []
        asked = ", ".join(f"`{s}`" for s in metric.statistics if s)
        facts += [f"per request: {asked}" if asked else "one number a case"]
        lines += [f"### `{metric.id}`", "", f"**{metric.label}.** {metric.meaning}", ""]
        lines += [f"    {metric.formula}", ""] if metric.formula else []
        lines += [metric.caution, ""] if metric.caution else []
        lines += [f"*{'; '.join(facts)}*", ""]
    return "\n".join(lines)


def exit_codes() -> str:
    """Every exit code and its meaning."""
    texts = texts_below(ExitCode)
    rows = [(str(int(code)), texts.get(code.name, "")) for code in ExitCode]
    return _table(("code", "meaning"), rows)


def warnings() -> str:
    """Every warning code, what it means for the numbers, and what it says."""
    rows = [(f"`{code}`", code.severity.value, code.meaning) for code in all_codes()]
    return _table(("code", "severity", "meaning"), rows)


def shipped_scenarios() -> str:
    """Every scenario that ships, with what it measures."""
    files = ((name, load_scenario(str(scenario_path(name)))) for name in scenario_names())
    rows = [(f"[{name}](../../scenarios/{name}.yaml)", headline(file)) for name, file in files]
    return _table(("scenario", "measures"), rows)


def scenario_keys() -> str:
    """Every key of a scenario file, with what it takes and its default."""
    schema = json_schema()
    return _table(("key", "takes", "default", "meaning"), list(_keys(schema, schema, "")))


PARTS: Final[dict[str, Callable[[], str]]] = {
    "metrics": metrics,
    "exit_codes": exit_codes,
    "warnings": warnings,
    "shipped_scenarios": shipped_scenarios,
    "scenario_keys": scenario_keys,
    "run_file": lambda: _structures(RunInfo),
    "requests_file": lambda: _structures(RequestRecord),
    "summary_file": lambda: _structures(Summary),
}
"""Name of a part -> what makes it."""


# --- scenario keys ------------------------------------------------------------------------------


def _keys(
    schema: dict[str, Any], node: dict[str, Any], path: str
) -> Iterator[tuple[str, str, str, str]]:
    """The keys below a node of the JSON Schema, depth first."""
    for name, child in node.get("properties", {}).items():
        where = f"{path}{name}"
        default = child.get("default", "")
        unsaid = default in ("", []) or isinstance(default, dict)
        shown = "" if unsaid else f"`{json.dumps(default)}`"
        meaning = " ".join(child.get("description", "").split())
        yield f"`{where}`", _takes(schema, child), shown, meaning
        if name == "matrix":
            continue
        for part in _objects(schema, child):
            yield from _keys(schema, part, f"{where}.")


def _objects(schema: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a key's value is made of where it is an object with keys of its own."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    if "properties" in node:
        yield node
    for kind in node.get("anyOf", ()):
        yield from _objects(schema, kind)


def _takes(schema: dict[str, Any], node: dict[str, Any]) -> str:
    if "$ref" in node:
        return _takes(schema, schema["$defs"][node["$ref"].rsplit("/", 1)[1]])
    if len(node.get("enum", ())) > _MANY:
        return "text"
    if "enum" in node:
        return " ".join(f"`{v}`" for v in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if "anyOf" in node:
        kinds = dict.fromkeys(_takes(schema, kind) for kind in node["anyOf"])
        return ", ".join(k for k in kinds if k)
    if node.get("type") == "array":
        return f"list of {_takes(schema, node.get('items', {}))}".removesuffix(" of ")
    kind: str = node.get("type", "")
    return _KINDS.get(kind, kind)


# --- files --------------------------------------------------------------------------------------


def _structures(root: type[Any]) -> str:
    """A table for a dataclass and each one that it is made of, outermost first."""
    parts: list[type[Any]] = [root]
    tables = []
    for part in parts:
        hints = get_type_hints(part)
        known = _meanings(part)
        rows = []
        for field in dataclasses.fields(part):
            inner = [c for c in _classes(hints[field.name]) if c not in parts]
            parts += inner
            rows.append((f"`{field.name}`", _type(hints[field.name]), known.get(field.name, "")))
        summary = (inspect.getdoc(part) or "").split("\n\n")[0]
        title = [] if part is root else [f"**{part.__name__}.** {' '.join(summary.split())}", ""]
        tables.append("\n".join([*title, _table(("key", "type", "meaning"), rows)]))
    return "\n".join(tables)


def _classes(hint: Any) -> Iterator[type[Any]]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for inner in get_args(hint):
        yield from _classes(inner)


def _type(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if t is types.NoneType else _type(t) for t in inner)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"object of {_type(inner[1])}" if inner[1] is not Any else "object"
    if hint is WarningCode:
        return "text"
    names = {str: "text", int: "integer", float: "number", bool: "true, false", Any: "any"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _meanings(part: type[Any]) -> dict[str, str]:
    """What a class says of its fields: in `Attributes:` of its docstring, or below them."""
    found: dict[str, str] = {}
    section = (inspect.getdoc(part) or "").partition("Attributes:\n")[2]
    names: list[str] = []
    for line in inspect.cleandoc(section).splitlines():
        if match := _ATTRIBUTE.match(line):
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif line.strip():
            found |= {n: f"{found[n]} {line.strip()}" for n in names}
    return found | texts_below(part)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(" ".join(c.split()).replace("|", "\\|") for c in cells) + " |"

    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, rows), ""])


if __name__ == "__main__":
    for name in FORMS:
        schema_file(name).write_text(schema_text(name), encoding="utf-8")
    for path in sorted(DOCS.glob("*.md")):
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
