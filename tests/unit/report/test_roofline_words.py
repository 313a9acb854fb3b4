"""What is said of a roofline, and the chart and panels that show it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from runs import CHAT, NS, build

from bench.analysis.comparison.causes import machine_causes, with_placement
from bench.analysis.comparison.setup_difference import CaseSide, Role, SetupDifference
from bench.analysis.run.summary import Estimate, Metric, Roofline
from bench.report.charts import run_charts
from bench.report.model import Report, build_report
from bench.report.page import plain
from bench.report.roofline_words import fixed_part, memory
from bench.results.run import BlockInfo, Residency

ROOF = Roofline(
    family="llama 135M",
    bytes_per_step=143e6,
    weight_bytes=143e6,
    kv_bytes_per_token=23040,
    context_tokens=512,
    sequences=1,
    step_s=9.12e-3,
    bytes_per_s=143e6 / 9.12e-3,
    reachable_bytes_per_s=38.6e9,
    peak_bytes_per_s=38.6e9,
    spread=0.0,
    place="CPU",
    source="measured with 1 thread",
    flop_per_prompt_token=0.27e9,
)


def report(roof: Roofline = ROOF, low: float = 0.98, high: float = 1.02) -> Report:
    run, summary = build(CHAT)
    share = Estimate(roof.share, roof.share * low, roof.share * high)
    metric = Metric("mem_bw_share", "", 1, {"value": share})
    cases = tuple(
        replace(c, roofline=roof, metrics=c.metrics | {"mem_bw_share": metric})
        for c in summary.cases
    )
    return build_report([run], [replace(summary, cases=cases)])


def said(roof: Roofline, **ends: float) -> str:
    found = memory(report(roof, **ends).cases[0])
    return plain(found) if found else ""


def test_bound_by_memory() -> None:
    text = said(replace(ROOF, step_s=5.2e-3, bytes_per_s=143e6 / 5.2e-3))
    assert text.startswith("Decode reaches 71") and "±" in text
    assert "a faster quantisation helps, more slots cost little" in text


def test_not_bound_by_memory() -> None:
    text = said(replace(ROOF, bytes_per_s=0.2 * 38.6e9, step_s=18e-3))
    assert text == (
        "Decode is not limited by memory here: reading 143 MB takes at least 3.7 of the 18.0 ms of "
        "each token."
    )


def test_a_bandwidth_that_the_user_gave_is_marked_with_what_speaks_against_it() -> None:
    source = "as given by the user; measured with 2 threads: 43 GB/s"
    text = said(replace(ROOF, bytes_per_s=0.2 * 38.6e9, step_s=18e-3, source=source))
    assert text.endswith(f" The memory's 39 GB/s are {source}.")


def test_between_and_unsure_it_says_the_parts_only() -> None:
    assert "reading 143 MB takes at least 3.7 of the 9.1 ms" in said(ROOF)
    assert "faster quantisation" not in said(replace(ROOF, bytes_per_s=0.7 * 38.6e9), low=0.5)


def test_growth_is_up_to_the_speed_of_prefill() -> None:
    text = said(replace(ROOF, prefill_flop_per_s=0.27e9 * 539))
    assert "up to 4.9 times" in text
    assert "times" not in said(replace(ROOF, prefill_flop_per_s=0.27e9 * 110))


def test_the_part_that_does_not_depend_on_size() -> None:
    def at(mb: float, ms: float) -> Roofline:
        return replace(ROOF, bytes_per_step=mb * 1e6, step_s=ms / 1e3)

    exact = [at(mb, 5.9 + mb / 44) for mb in (269.1, 143.0, 103.7)]
    found = fixed_part(exact)
    assert found is not None and found.value == pytest.approx(5.9e-3)
    assert fixed_part(exact[:2]) is None
    assert fixed_part([at(269, 12), at(143, 3), at(104, 8)]) is None  # that is no line


def machine(series: dict[str, Any]) -> Report:
    base = report()
    run = base.runs[0].run

    def block(b: BlockInfo) -> BlockInfo:
        times = range(b.start_ns, b.end_ns + NS, NS // 4)
        return replace(
            b, utilisation={n: [(t, f(t / NS)) for t in times] for n, f in series.items()}
        )

    info = replace(run.info, blocks=tuple(block(b) for b in run.info.blocks))
    return build_report([replace(run, info=info)], [base.runs[0].summary])


HOT = {
    "gpu0_share": lambda s: 0.9,
    "gpu0_energy_j": lambda s: 150 * s,
    "gpu0_temperature_c": lambda s: 93.0,
    "gpu0_sm_clock_mhz": lambda s: 1410.0,
    "gpu0_memory_bytes": lambda s: 6 * 2.0**30,
    "gpu0_throttled_thermal": lambda s: 1.0,
}


def test_a_panel_has_a_row_for_each_quantity() -> None:
    charts = {c.id: c for c in run_charts(machine(HOT))}
    panel = charts["machine-r0c0"]
    for words in (
        "in use 90 %",
        "power 150 W",
        "clock 1,410 MHz",
        "temperature 93",
        "memory 6.0 GiB",
    ):
        assert words in panel.message
    assert "throttled" in panel.caption
    assert "15.7 of 38.6 GB/s" in charts["roofline"].message


def test_causes_between_two_sides_are_named() -> None:
    cool = HOT | {"gpu0_sm_clock_mhz": lambda s: 1980.0, "gpu0_throttled_thermal": lambda s: 0.0}
    sides = [
        CaseSide(view.run.info, view.summary.cases[0])
        for view in (machine(cool).runs[0], machine(HOT).runs[0])
    ]
    (found,) = machine_causes(sides[0], sides[1], ("side a", "side b"))
    assert found.message == (
        "side b ran at 1,410 MHz against 1,980: thermal throttling in 3 of 3 blocks."
    )
    assert (found.baseline, found.candidate) == ("1,980 MHz", "1,410 MHz")
    assert list(machine_causes(sides[0], sides[0], ("a", "b"))) == []


def placed(share: float, series: dict[str, Callable[[float], float]]) -> CaseSide:
    """A side with so much of its model of 4 GB on the GPU in all blocks but the first."""
    view = machine(series).runs[0]
    blocks = tuple(
        replace(b, after=Residency(True, "d", 4_000_000_000, int(4e9 * (share if i else 1.0))))
        for i, b in enumerate(view.run.info.blocks)
    )
    return CaseSide(replace(view.run.info, blocks=blocks), view.summary.cases[0])


def test_spill_is_named_with_what_both_sides_show() -> None:
    gpu_share = SetupDifference("gpu_share", "100%", "62%", Role.BLOCKS, "x")
    other = replace(gpu_share, key="digest")
    whole, part = placed(1.0, HOT), placed(0.62, HOT)
    found = with_placement((other, gpu_share), whole, part, ("old", "new"))
    assert found[0] is other
    assert found[1].message == (
        "A part of the model is off the GPU: new had 62% of it on the GPU (2.5 of 4.0 GB) in 2 of "
        "3 blocks; old had 100% of it on the GPU in 3 of 3 blocks. What runs on the CPU alone "
        "makes a large difference."
    )


def test_a_fallback_to_the_cpu_is_named_with_the_card_that_was_left() -> None:
    gpu_share = SetupDifference("gpu_share", "0%", "100%", Role.EXPLAINS, "x")
    fallen = placed(0.0, HOT)
    on_cpu = fallen.info.blocks[1:]
    fallen = replace(fallen, info=replace(fallen.info, blocks=on_cpu))
    (found,) = with_placement((gpu_share,), fallen, placed(1.0, HOT), ("a", "b"))
    assert found.message.startswith(
        "Fallback to the CPU: a had none of it on the GPU in 2 of 2 blocks, although its machine "
        "has gpu0; b had 100% of it on the GPU in 3 of 3 blocks."
    )
    bare = replace(fallen, info=replace(fallen.info, blocks=()))
    assert with_placement((gpu_share,), bare, bare, ("a", "b")) == (gpu_share,)
