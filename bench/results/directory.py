"""The run directory: one self-contained folder from which everything shown can be recomputed.

<parent>/20260101T101500Z-chat-3f9c/
  run.json          what the run is (`RunInfo`); replaced atomically
  requests.jsonl    one line a request, appended as it ends
  summary.json      metrics per case
  report.html       the report

What cannot be written or read, or is no run directory, raises `ResultsError` with what to do.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import ResultsError
from bench.files import read_file, write_whole
from bench.hidden import scrub_all, shown_environment
from bench.results.journal import REQUESTS_FILE, Journal, cannot_write, read_records
from bench.results.record import RequestRecord
from bench.results.run import SCHEMA, RunInfo, RunStatus
from bench.thresholds import from_file, to_file

RUN_FILE = "run.json"
SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """A run directory that is being written."""

    path: Path
    id: str

    @classmethod
    def create(cls, parent: Path, name: str, now: datetime | None = None) -> RunDirectory:
        """Make a new directory below `parent`, which is made if it is missing."""
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:40] or "run"
        try:
            parent = parent.absolute()  # the current folder may be gone before the run is over
        except OSError as error:
            raise cannot_write(parent, error) from error
        for _ in range(10):
            run_id = f"{stamp}-{slug}-{secrets.token_hex(2)}"
            try:
                (parent / run_id).mkdir(parents=True)
            except FileExistsError:
                if parent.exists() and not parent.is_dir():
                    raise ResultsError(
                        f"cannot write results to {parent}: it is a file, not a folder",
                        "Name another folder with -o.",
                    ) from None
                continue
            except OSError as error:
                raise cannot_write(parent, error) from error
            return cls(parent / run_id, run_id)
        raise ResultsError(f"cannot find a free name for a run directory in {parent}")

    def write_info(self, info: RunInfo) -> None:
        """Replace run.json atomically."""
        content = msgspec.to_builtins(info, enc_hook=to_file)
        kept = scrub_all(content, _OURS) | {"plan": _hidden_env(content["plan"])}
        text = msgspec.json.format(msgspec.json.encode(kept), indent=2)
        self.write_file(RUN_FILE, text + b"\n")

    def write_file(self, name: str, content: bytes) -> Path:
        """Write or replace a file of the run atomically, and return its path.

        A directory that was deleted meanwhile is made again: what was measured is kept.
        """
        target = self.path / name
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
        except OSError as error:
            raise cannot_write(target, error) from error
        return target

    def journal(self) -> Journal:
        """Open requests.jsonl for appending."""
        return Journal(self.path / REQUESTS_FILE)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that was read back.

    Attributes:
        records: in the order of blocks, phases and requests (those of a large run are read from
            the journal again when they are asked for).
        torn_lines: lines of requests.jsonl that could not be read (a kill tears at most the last).
    """

    path: Path
    info: RunInfo
    records: Sequence[RequestRecord]
    torn_lines: int = 0

    @property
    def incomplete(self) -> bool:
        """True unless the run came to its planned end."""
        return self.info.status is not RunStatus.COMPLETE


def read_info(path: Path) -> RunInfo:
    """Read a run directory's run.json."""
    file = path / RUN_FILE
    try:
        raw = read_file(file)
    except (FileNotFoundError, NotADirectoryError):
        what = "does not exist" if not path.exists() else f"is not a run directory (no {RUN_FILE})"
        raise ResultsError(
            f"{path} {what}",
            "A run directory is what `ollama-bench run` prints as its last line. What `fidelity` "
            "prints is read by `report`, one at a time: its models are compared within it.",
        ) from None
    except OSError as error:
        raise ResultsError(f"cannot read {file}: {error.strerror}") from error
    from bench.results.damage import check_parts, usable_environment  # late: numpy

    try:
        schema = msgspec.json.decode(raw, type=_SchemaOnly).schema
        if schema <= SCHEMA:
            info = msgspec.json.decode(raw, type=RunInfo, dec_hook=from_file)
            check_parts(info)
            return replace(info, environment=usable_environment(info.environment))
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise ResultsError(f"{file} is not a run file of ollama-bench: {why}") from error
    raise ResultsError(
        f"{file} has schema {schema}, this program reads up to {SCHEMA}",
        "Upgrade ollama-bench: pip install -U ollama-bench",
    )


def read_run(path: Path) -> Run:
    """Read a run directory, also one whose writer was killed at any instant."""
    info = read_info(path)
    from bench.results.damage import checked  # late: numpy

    read = read_records(path / REQUESTS_FILE)
    records, warnings = checked(info, read)
    info = replace(info, warnings=(*info.warnings, *warnings))
    return Run(path, info, records.in_order(), read.torn)


def kept_note(path: Path) -> str:
    """How to go on with a run whose report was not written."""
    return f"What was measured is kept in {path}; its report: ollama-bench report {path}"


def find_runs(parent: Path) -> Iterator[Path]:
    """The run directories right below a folder, oldest first by name."""
    if parent.is_dir():
        yield from sorted(p.parent for p in parent.glob(f"*/{RUN_FILE}"))


class _SchemaOnly(msgspec.Struct):
    schema: int


_OURS = ("plan", "case", "target", "model", "name", "id", "digest", "primary", "served_model")
"""Keys whose values come from the plan and tie files together: they are not looked through."""


def _hidden_env(value: Any) -> Any:
    """A plan without the values of variables in any `env` of a server to start."""
    if isinstance(value, list | tuple):
        return [_hidden_env(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _hidden_env(item) for key, item in value.items()}
    if isinstance(kept.get("env"), dict):
        kept["env"] = shown_environment(kept["env"])
    return kept
