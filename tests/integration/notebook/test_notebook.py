"""The cells of the documented example, in a real Jupyter kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from bench import start_server


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with start_server(profile="test") as server:
        manager = KernelManager()
        manager.start_kernel(cwd=str(tmp_path_factory.mktemp("notebook")))
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
            client.url = server.url
            yield client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def run_cell(kernel: Any, code: str) -> list[dict[str, Any]]:
    """What the cell showed: the data of each output, streams as {"text": ...}."""
    shown: list[dict[str, Any]] = []

    def keep(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            shown.append({"text": content["text"]})
        elif "data" in content:
            shown.append(content["data"] | {"kind": message["msg_type"]})

    reply = kernel.execute_interactive(code, timeout=120, output_hook=keep)
    assert reply["content"]["status"] == "ok", reply["content"]
    return shown


def test_a_run_is_shown_and_becomes_data_frames(kernel: Any) -> None:
    keys = '{"options": {"num_predict": 8}, "load": {"closed": {"requests": 4}}, "blocks": 2}'
    shown = run_cell(
        kernel,
        f"""
import bench
settings = bench.Settings(history=None)
run = bench.run({keys}, models="sim-small", hosts="{kernel.url}", settings=settings)
run
""",
    )
    progress = [s for s in shown if s.get("kind") in ("display_data", "update_display_data")]
    assert "block 1 of 2" in progress[0]["text/html"]
    assert "8 requests" in progress[-1]["text/html"]
    (result,) = (s for s in shown if s.get("kind") == "execute_result")
    assert "<table>" in result["text/html"]
    assert "Simulated" in result["text/html"]
    shown = run_cell(
        kernel,
        """
frame = run.to_pandas()
measured = frame[frame.phase == "measure"]
assert len(measured) == 8 and measured.ttft_s.notna().all()
assert (measured.e2e_s >= measured.ttft_s).all()
assert measured.eval_count.tolist() == measured.output_tokens.tolist()
cases = run.to_polars("cases")
ttft = cases.filter((cases["metric"] == "ttft_s") & (cases["statistic"] == "mean"))
assert ttft["value"][0] == run.summary.cases[0].metrics["ttft_s"].stats["mean"].value
blocks = run.to_pandas("blocks")
print(sorted(set(blocks.block)))
""",
    )
    assert shown == [{"text": "[1, 2]\n"}]


def test_an_unknown_table_is_named(tmp_path: Path) -> None:
    from bench.errors import UsageError
    from bench.report.notebook import frame_columns

    with pytest.raises(UsageError, match="no table 'people'"):
        frame_columns([], [], "people")
