"""Is the journal what was written? Disks, copies and editors cut, lose and double lines."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.results.journal import ReadBack
from bench.results.records import Records
from bench.results.run import RunInfo, RunStatus, RunWarning
from bench.results.warning_codes import WarningCode


def checked(info: RunInfo, read: ReadBack) -> tuple[Records, list[RunWarning]]:
    """The records to go by, each once, and what is wrong with the journal.

    A run that was killed has at most its last line cut, which is no damage; the requests of its
    last block are in no count yet. Runs of earlier versions have no counts at all.

    Args:
        info: the run; each ended block says how many records it wrote.
        read: its journal.
    """
    records = read.records
    ours = _of_this_run(info, records)
    strange = int((~ours).sum())
    if strange:
        records.keep(np.flatnonzero(ours))
    once = _first_of_each(records)
    doubled = len(records) - len(once)
    if doubled:
        records.keep(once)
    there = Counter(records.columns.whole["block"].tolist())
    short = {
        block.number: block.records - there[block.index]
        for block in info.blocks
        if block.records is not None and there[block.index] < block.records
    }
    unreadable = read.torn - (read.cut and info.status is not RunStatus.COMPLETE)
    first = next(iter(short), 0)
    of = f"block {first}" if len(short) == 1 else f"{len(short)} blocks (the first: {first})"
    found = [
        f"{count} {noun}{'' if count == 1 else 's'} {what}"
        for count, noun, what in (
            (sum(short.values()), "request", f"of {of} missing"),
            (unreadable, "line", "unreadable"),
            (doubled, "line", "there twice (counted once)"),
            (strange, "line", "of no block of this run (left out)"),
        )
        if count
    ]
    if not found:
        return records, []
    damaged = RunWarning(
        WarningCode.JOURNAL_DAMAGED,
        f"requests.jsonl is not as it was written: {'; '.join(found)}",
        "Take the run directory from where it was made, or measure again.",
        invalidates=True,
    )
    return records, [damaged]


def _of_this_run(info: RunInfo, records: Records) -> NDArray[np.bool_]:
    """Which records are of a block of the plan, and of its case."""
    codes, names = records.named("case")
    number = {name: i for i, name in enumerate(names)}
    known = np.array(
        [(b.index, number[b.case]) for b in info.plan.blocks if b.case in number], dtype=np.int64
    ).reshape(-1, 2)
    width = len(names) + 1
    keys = records.columns.whole["block"] * width + codes
    return np.isin(keys, known[:, 0] * width + known[:, 1])


def _first_of_each(records: Records) -> NDArray[np.int64]:
    """The rows of the first line of each request, ascending."""
    whole = records.columns.whole
    keys = (records.named("phase")[0], whole["block"], whole["index"], whole["worker"])
    order = np.lexsort(keys)
    new = np.ones(len(order), dtype=np.bool_)
    if len(order):
        new[1:] = np.logical_or.reduce([np.diff(key[order]) != 0 for key in keys])
    return np.sort(order[new])


def check_parts(info: RunInfo) -> None:
    """Whether the parts of run.json that name each other go together.

    Raises:
        ValueError: a block is of a case, or a case of a server, that is not there.
    """
    plan = info.plan
    targets = {target.name for target in plan.targets}
    cases = {case.id for case in plan.cases}
    if len(cases) < len(plan.cases):
        raise ValueError("two cases have one id")
    planned = {(block.index, block.case) for block in plan.blocks}
    for case in plan.cases:
        if case.target not in targets:
            raise ValueError(f"case {case.id!r} is of a target that is not there: {case.target!r}")
        if case.prompts.file and case.prompts.file not in plan.prompt_files:
            raise ValueError(f"the prompts of case {case.id!r} are not there")
    for block in plan.blocks:
        if block.case not in cases:
            raise ValueError(f"block {block.number} is of a case that is not there: {block.case!r}")
    for ended in info.blocks:
        if (ended.index, ended.case) not in planned:
            raise ValueError(f"block {ended.number} is not in the plan as it is in the results")


def usable_environment(environment: dict[str, Any]) -> dict[str, Any]:
    """What is known of the client's machine, without values of another shape than they have."""
    shapes: dict[str, type] = {"cpu": dict, "gpus": list, "settings": dict}
    kept: dict[str, Any] = {
        k: v for k, v in environment.items() if isinstance(v, shapes.get(k, object))
    }
    if "gpus" in kept:
        kept["gpus"] = [gpu for gpu in kept["gpus"] if isinstance(gpu, dict)]
    return kept
