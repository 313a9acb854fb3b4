"""A run directory becomes a report."""

import subprocess
import sys
from pathlib import Path

import pytest
from runs import CHAT, Workload, write_run

from bench.errors import ResultsError
from bench.report import write_report


@pytest.mark.slow
def test_report_is_written_into_the_run_directory(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, CHAT)
    path = write_report(run_dir)
    assert path == run_dir / "report.html"
    text = path.read_text()
    for model in CHAT.models:
        assert model.name in text


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="not a run directory"):
        write_report(tmp_path)


def test_run_without_any_request_still_gives_a_report(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=4))
    (run_dir / "requests.jsonl").unlink()
    assert "was not measured" in write_report(run_dir).read_text()


@pytest.mark.slow
def test_a_usual_report_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, Workload(requests=4))
    program = (
        "import sys, bench.__main__ as m\n"
        "try:\n    m.main()\n"
        "finally:\n    print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "report", str(run_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "bench.report.html" in loaded
    assert not loaded & {
        "asyncio",
        "httpx",
        "pydantic",
        "rich",
        "bench.analysis.comparison.compare_runs",
        "bench.analysis.fidelity.analyse",
        "matplotlib.pyplot",
    }
