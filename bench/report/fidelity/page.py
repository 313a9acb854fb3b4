"""The page about fidelity, and what a page about a run says of it beside the speeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bench.analysis.fidelity.pareto import dominated
from bench.analysis.fidelity.result import Difference, FidelityResult, GateResult, Nearer
from bench.analysis.run.summary import Estimate
from bench.report.fidelity.wording import (
    NATS,
    OTHER_WORD,
    candidate_answer,
    cautions,
    difference_answer,
    dominated_sentence,
    floor_sentence,
    gate_answers,
    verdict_text,
)
from bench.report.identity_tables import short_digest
from bench.report.model import Report
from bench.report.page import SIMULATED, Answer, Chart, Page, Prose, Section, Tone, plain
from bench.report.quick_import import import_matplotlib
from bench.report.tables import (
    Table,
    estimate_column,
    from_columns,
    number_column,
    present,
    text_column,
)
from bench.report.units import minute, plural
from bench.results.fidelity_files import Side

WORKS = "Does it work at all?"
METHOD = (
    "Reference and candidates read the same texts. At chosen ends of words each is asked for its "
    "20 likeliest next tokens, with probabilities over its whole vocabulary; one request a place, "
    "so nothing that a model writes decides what it reads next. The divergence is Kullback and "
    "Leibler's, in nats a token, the reference first: 0 where both expect the same. Merging all "
    "that not both list into one event gives the bound, which is never above the truth. What lies "
    "beyond is estimated from the lower half of the lists: the log ratios there are taken as "
    "normal around 0, their standard deviation is fitted for each text by maximum likelihood with "
    "unlisted tokens as censored values (Tobit), and adds half its square, weighted with the "
    "probability that lies there. Means are over texts; intervals are Student's t over texts (95 "
    "%), their upper end further out by what the estimate is known to fall short and where few "
    "texts are far above the others; of shares Jeffreys' with the spread between "
    "texts. They say nothing of a kind of text so rare that none of it was read. Candidates are "
    "compared paired by text, each comparison for itself. A candidate whose interval begins within "
    "three noise floors cannot be distinguished from the reference; two candidates are alike if "
    "they differ by less than that, or than a tenth of the larger divergence."
)


@dataclass(frozen=True, slots=True)
class Placed:
    """What is known of a side besides its divergence.

    Attributes:
        speed: tokens per second of one answer; None = not measured.
        vram_bytes: what the model took on the GPU.
        series: its colour and marker.
    """

    series: int
    speed: Estimate | None = None
    vram_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a page has to say about fidelity, whatever else it is about."""

    findings: tuple[Answer, ...]
    charts: Callable[[], tuple[Chart, ...]]
    brief: tuple[Table, ...]
    tables: tuple[Table, ...]
    method: Prose
    gates: Table | None = None


def fidelity_parts(result: FidelityResult, placed: Mapping[int, Placed] | None = None) -> Parts:
    """The parts; `placed` is what else is known of each side."""
    known = placed or {i: Placed(i) for i in range(len(result.sides))}
    speeds = {i: p.speed for i, p in known.items() if p.speed and p.speed.value}
    beaten = dominated(result, speeds)
    sentences = [dominated_sentence(result, found, speeds) for found in beaten]
    nearest = sorted(result.candidates, key=lambda c: c.divergence.value or 0.0)

    def charts() -> tuple[Chart, ...]:
        import_matplotlib()
        from bench.report.charts.fidelity import kinds_chart, speed_chart

        speed = speed_chart(result, known, [plain(s) for s in sentences])
        return tuple(c for c in (speed, kinds_chart(result, known)) if c is not None)

    return Parts(
        findings=(
            *(candidate_answer(result, found) for found in nearest),
            *(difference_answer(result, d) for d in result.differences),
            *(Answer("", (sentence,)) for sentence in sentences),
            *gate_answers(result),
            Answer("", (floor_sentence(result),)),
        ),
        charts=charts,
        brief=(_candidates(result),),
        tables=present(_differences(result), _kinds(result), _sides(result)),
        method=Prose(METHOD),
        gates=_gates(result),
    )


def fidelity_page(result: FidelityResult) -> Page:
    """The page about fidelity alone."""
    parts = fidelity_parts(result)
    return Page(
        title=f"Fidelity to {result.sides[0].label}",
        subtitle="How far each candidate's next words are from the reference's.",
        badges=(SIMULATED,) if result.simulated else (),
        facts=(
            ("Texts", f"{result.texts} ({', '.join(f'{n} {k}' for k, n in result.kinds.items())})"),
            ("Identity of texts and places", result.identity),
            ("Begun", minute(result.created_at)),
            ("Run", result.run_id),
        ),
        findings=parts.findings,
        warnings=cautions(result),
        sections=(
            *(Section("evidence", "Evidence", charts) for charts in (parts.charts(),) if charts),
            *(Section("gates", WORKS, (table,)) for table in (parts.gates,) if table),
            Section("numbers", "All numbers", (*parts.brief, *parts.tables)),
            Section("method", "How it was measured", (parts.method,)),
        ),
        brief=parts.brief,
        provenance=parts.tables,
        models=tuple(dict.fromkeys(s.model for s in result.sides)),
        simulated=result.simulated,
        data=msgspec.json.encode(result),
        data_name="fidelity.json",
    )


def _candidates(result: FidelityResult) -> Table:
    found = sorted(result.candidates, key=lambda c: c.divergence.value or 0.0)
    sides = [result.sides[c.side] for c in found]
    columns = [
        text_column("Candidate", [s.label for s in sides]),
        text_column("Quantisation", [s.quantization for s in sides]),
        number_column("File", "B", [s.size_bytes for s in sides]),
        estimate_column("Divergence", NATS, [c.divergence for c in found]),
        number_column("At least", NATS, [c.bound for c in found]),
        estimate_column("Another likeliest word", OTHER_WORD, [c.other_top for c in found]),
        text_column("Places", [c.used for c in found]),
        text_column("Verdict", [c.distance.value for c in found]),
    ]
    caption = f"Candidates against {result.sides[0].label}, nearest first"
    return from_columns(
        "candidates",
        caption,
        columns,
        models=[s.model for s in sides],
        note=plain(floor_sentence(result)),
    )


def _gates(result: FidelityResult) -> Table | None:
    """What each side passes, a row a gate; None if nothing was asked."""
    if not result.gates:
        return None
    found = {(g.gate, g.side): g for g in result.gates}
    gates = {g.gate: g.asked for g in reversed(result.gates)}
    names = list(reversed(gates))
    columns = [text_column("What is checked", names)]
    for i in sorted({g.side for g in result.gates}):
        passed = [_passed(found.get((n, i))) for n in names]
        columns.append(text_column(result.sides[i].label, passed))
    columns.append(text_column("Asked", [gates[n] for n in names]))
    note = (
        "Greedy answers through the model's template. What came of those that fail stands with the "
        "answers; a small model may fail some in its original, too."
    )
    return from_columns("gates", "Questions with one answer, no scores", columns, note=note)


def _passed(found: GateResult | None) -> str:
    if found is None:
        return "not asked"
    some = f" ({found.failed} of {found.answers} fail)"
    more = some if found.answers > 1 and found.failed else ""
    return f"{'yes' if found.passed else 'no'}{more}"


def _kinds(result: FidelityResult) -> Table | None:
    """Divergence by kind of text; None if there is one kind."""
    if len(result.kinds) < 2:
        return None
    found = result.candidates
    columns = [text_column("Candidate", [result.sides[c.side].label for c in found])]
    columns += [estimate_column(k, NATS, [c.by_kind.get(k) for c in found]) for k in result.kinds]
    models = [result.sides[c.side].model for c in found]
    return from_columns("kinds", "Divergence by kind of text", columns, models=models)


def _differences(result: FidelityResult) -> Table | None:
    """Pairs of candidates; None if there is one candidate."""
    if not (found := result.differences):
        return None
    columns = [
        text_column("First", [result.sides[d.first].label for d in found]),
        text_column("Second", [result.sides[d.second].label for d in found]),
        estimate_column("Second further off by", NATS, [d.difference for d in found]),
        text_column("Verdict", [_whose(result, d) for d in found]),
    ]
    return from_columns("differences", "Candidates against each other, paired by text", columns)


def _whose(result: FidelityResult, found: Difference) -> str:
    near = {Nearer.FIRST: found.first, Nearer.SECOND: found.second}.get(found.verdict)
    said = verdict_text(found)
    return said if near is None else f"{result.sides[near].label} {said}"


def _sides(result: FidelityResult) -> Table:
    sides = result.sides
    found = {c.side: c for c in result.candidates}
    tails = [found.get(i) for i in range(len(sides))]
    rests = [t.rest if t else None for t in tails]
    columns = [
        text_column("Model", [s.model for s in sides]),
        text_column("Role", ["reference", *["candidate"] * (len(sides) - 1)]),
        text_column("Digest", [short_digest(s.digest) for s in sides]),
        text_column("Quantisation", [s.quantization for s in sides]),
        text_column("Parameters", [s.parameter_size for s in sides]),
        text_column("Server", [f"{s.engine} {s.version}" for s in sides]),
        text_column("Address", [s.url for s in sides]),
        number_column("Spread of the tail", "", [t.spread if t else None for t in tails]),
        number_column("Beyond the common tokens", OTHER_WORD, rests),
    ]
    note = f"{plural(len(sides), 'model')}; a name does not say what a file is made of."
    return from_columns("sides", "Models and servers", columns, note=note)


_SPEED = "decode_tok_per_s"


def fidelity_in_run(
    report: Report, found: Sequence[FidelityResult | str | None]
) -> tuple[Parts, ...]:
    """What each run has to say about fidelity, or why nothing was found."""
    parts = []
    identities = dict.fromkeys(r.identity for r in found if isinstance(r, FidelityResult))
    if len(identities) > 1:
        said = "The fidelity of these runs does not compare: they read other texts or places"
        parts.append(_only(f"{said} (identities {', '.join(identities)}).", "caution"))
    for run, result in enumerate(found):
        if isinstance(result, str):
            parts.append(_only(f"Fidelity is not known: {result}."))
        elif result is not None:
            placed = {i: _placed(report, run, s) for i, s in enumerate(result.sides)}
            parts.append(fidelity_parts(result, placed))
    return tuple(parts)


def _only(said: str, tone: Tone = "neutral") -> Parts:
    return Parts((Answer("", ((said,),), tone=tone),), tuple, (), (), Prose(""))


def _placed(report: Report, run: int, side: Side) -> Placed:
    info = report.runs[run].run.info
    servers = {t.name for t in info.targets if t.url == side.url}
    cases = [
        c
        for c in report.cases
        if c.run == run and c.model == side.model and c.summary.target in servers and not c.invalid
    ]
    series = report.models.index(side.model) if side.model in report.models else 0
    if not cases:
        return Placed(series)
    case = min(cases, key=lambda c: c.users or c.rate_per_s or 0)  # at the lowest load
    seen = [b.after.vram_bytes for b in info.blocks if b.case == case.summary.id and b.after]
    most = max((v for v in seen if v), default=None)  # in any block of the case
    return Placed(series, case.estimate(_SPEED), most)
