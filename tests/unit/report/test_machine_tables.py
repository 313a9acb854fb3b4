"""What the report says of the server's machine."""

from dataclasses import replace
from typing import Any

import pytest
from runs import CHAT, NS, build

from bench.report.charts.machine_panel import machine_panels
from bench.report.machine import machine_table, watched_table
from bench.report.model import Report, build_report
from bench.report.tables import Table
from bench.results.run import BlockInfo

TOLD: dict[str, Any] = {
    "sources": [
        {
            "name": "nvidia 0",
            "what": "Planted Card",
            "reads": ["gpu0_energy_j", "gpu0_power_w"],
            "exactness": "by the board's counter",
            "blind": {"memory": "Not Supported"},
            "not_measurable": "the card was lost",
        }
    ],
    "not_measurable": {"CPU energy": "readable by root only"},
    "not_seen": {"far": "not seen: the server is on another machine"},
    "cost_of_a_core": 0.0031,
}


def report(samples: dict[str, Any] | None = None, told: Any = None) -> Report:
    """A run with samples each 0.1 s, planted as functions of the seconds."""
    run, summary = build(CHAT)

    def block(b: BlockInfo) -> BlockInfo:
        times = range(b.start_ns, b.end_ns + NS, NS // 10)
        made = {n: [(t, f(t / NS)) for t in times] for n, f in (samples or {}).items()}
        return replace(b, utilisation=made)

    blocks = tuple(block(b) for b in run.info.blocks)
    environment = run.info.environment | ({"telemetry": told} if told is not None else {})
    run = replace(run, info=replace(run.info, blocks=blocks, environment=environment))
    return build_report([run], [summary])


def cells(table: Table | None) -> dict[str, str]:
    assert table is not None
    return {c.title: x.text for c, x in zip(table.columns, table.rows[0].cells, strict=True)}


def test_power_is_what_the_counter_says() -> None:
    found = cells(machine_table(report({"gpu0_energy_j": lambda s: 150 * s})))
    assert found["Device"] == "GPU0"
    assert found["Power by"] == "counter"
    assert float(found["Power, mean (W)"].split(" ± ")[0]) == pytest.approx(150, rel=0.01)


def test_a_frozen_counter_gives_way_to_power_and_is_never_zero() -> None:
    frozen = {"gpu0_energy_j": lambda s: 7.0}
    assert "Power, mean (W)" not in cells(machine_table(report(frozen)))
    found = cells(machine_table(report(frozen | {"gpu0_power_w": lambda s: 90.0})))
    assert (found["Power by"], found["Power, mean (W)"][:4]) == ("power", "90.0")


def test_heat_clocks_and_memory() -> None:
    found = cells(
        machine_table(
            report(
                {
                    "gpu0_temperature_c": lambda s: 93.0,
                    "gpu0_sm_clock_mhz": lambda s: 1410.0,
                    "gpu0_throttled_thermal": lambda s: 1.0,
                }
            )
        )
    )
    assert found["Hottest (°C)"] == "93"
    assert found["Slowest clock (MHz)"] == "1,410"
    assert "100" in next(v for k, v in found.items() if k.startswith("Throttled"))


def test_without_samples_of_a_device_there_is_no_table() -> None:
    assert machine_table(report({"cpu_share": lambda s: 0.5})) is None


def test_each_source_is_named_with_what_it_cannot_see() -> None:
    view = report(told=TOLD).runs[0]
    table = watched_table(view, 0)
    assert table is not None
    texts = " | ".join(c.text for row in table.rows for c in row.cells)
    for said in ("Planted Card", "energy_j", "Not Supported", "card was lost", "root only", "far"):
        assert said in texts
    assert "0.31%" in table.note


@pytest.mark.parametrize("told", [None, [], "x", {}, {"sources": [1], "not_seen": 3}])
def test_old_and_damaged_runs_have_no_table(told: Any) -> None:
    assert watched_table(report(told=told).runs[0], 0) is None


def test_a_counter_that_was_read_too_seldom_is_left_out_of_the_panel() -> None:
    """Two readings in a block make no power; once the page could not be made."""
    run, summary = build(CHAT)
    blocks = tuple(
        replace(b, utilisation={"gpu0_energy_j": [(b.start_ns, 1.0), (b.end_ns, 9.0)]})
        for b in run.info.blocks
    )
    run = replace(run, info=replace(run.info, blocks=blocks))
    assert machine_panels(build_report([run], [summary])) == []
