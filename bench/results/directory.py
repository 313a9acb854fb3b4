"""The run directory: one self-contained folder from which everything shown can be recomputed.

<parent>/20260101T101500Z-chat-3f9c/
  run.json          what the run is (`RunInfo`); replaced atomically
  requests.jsonl    one line a request, appended as it ends
  summary.json      metrics per case
  report.html       the report
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.errors import ResultsError
from bench.ollama.secret_names import HIDDEN, is_secret
from bench.results.journal import REQUESTS_FILE, Journal, read_records
from bench.results.record import RequestRecord
from bench.results.run import SCHEMA, RunInfo, RunStatus

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
        """Make a new directory below `parent`, which is made if it is missing.

        Raises:
            ResultsError: the directory cannot be made or written.
        """
        stamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
        slug = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:40] or "run"
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
                raise _cannot_write(parent, error) from error
            return cls(parent / run_id, run_id)
        raise ResultsError(f"cannot find a free name for a run directory in {parent}")

    def write_info(self, info: RunInfo) -> None:
        """Replace run.json atomically.

        Raises:
            ResultsError: the disk is full or not writable.
        """
        kept = _without_secrets(msgspec.to_builtins(info))
        text = msgspec.json.format(msgspec.json.encode(kept), indent=2)
        self.write_file(RUN_FILE, text + b"\n")

    def write_file(self, name: str, content: bytes) -> Path:
        """Write or replace a file of the run atomically, and return its path.

        Raises:
            ResultsError: the disk is full or not writable.
        """
        target = self.path / name
        draft = target.with_name(f".{name}.tmp")
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise _cannot_write(target, error) from error
        return target

    def journal(self) -> Journal:
        """Open requests.jsonl for appending.

        Raises:
            ResultsError: it cannot be written.
        """
        return Journal(self.path / REQUESTS_FILE)


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory that was read back.

    Attributes:
        torn_lines: lines of requests.jsonl that could not be read (a kill tears at most the last).
    """

    path: Path
    info: RunInfo
    records: list[RequestRecord]
    torn_lines: int = 0

    @property
    def incomplete(self) -> bool:
        """True unless the run came to its planned end."""
        return self.info.status is not RunStatus.COMPLETE


def read_info(path: Path) -> RunInfo:
    """Read a run directory's run.json.

    Raises:
        ResultsError: it is no run directory, or of a later version of this program.
    """
    file = path / RUN_FILE
    try:
        raw = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        what = "does not exist" if not path.exists() else f"is not a run directory (no {RUN_FILE})"
        raise ResultsError(
            f"{path} {what}",
            "A run directory is what `ollama-bench run` prints as its last line.",
        ) from None
    except OSError as error:
        raise ResultsError(f"cannot read {file}: {error.strerror}") from error
    try:
        schema = msgspec.json.decode(raw, type=_SchemaOnly).schema
        if schema <= SCHEMA:
            return msgspec.json.decode(raw, type=RunInfo)
    except msgspec.DecodeError as error:
        raise ResultsError(f"{file} is not a run file of ollama-bench: {error}") from error
    raise ResultsError(
        f"{file} has schema {schema}, this program reads up to {SCHEMA}",
        "Upgrade ollama-bench: pip install -U ollama-bench",
    )


def read_run(path: Path) -> Run:
    """Read a run directory, also one whose writer was killed at any instant.

    Raises:
        ResultsError: it is no run directory, or of a later version of this program.
    """
    info = read_info(path)
    records, torn = read_records(path / REQUESTS_FILE)
    return Run(path, info, records, torn)


def find_runs(parent: Path) -> Iterator[Path]:
    """The run directories right below a folder, oldest first by name."""
    if parent.is_dir():
        yield from sorted(p.parent for p in parent.glob(f"*/{RUN_FILE}"))


class _SchemaOnly(msgspec.Struct):
    schema: int


def _cannot_write(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"cannot write {path}: {error.strerror or error}",
        "Free some space, or name another folder with -o.",
    )


def _without_secrets(value: Any) -> Any:
    """The same, but for what secret variables are set to in any `env` of a server to start."""
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(kept.get("env"), dict):
        kept["env"] = {k: HIDDEN if is_secret(k) else v for k, v in kept["env"].items()}
    return kept
