"""Fidelity as a part of a scenario's run: in its directory, in its report."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

import bench
from bench.analysis.fidelity.result import Distance
from bench.errors import Interrupted, ModelError, ScenarioError
from bench.report.write import page_of, stored_fidelity
from bench.results.directory import read_run
from bench.results.fidelity_files import read_places
from bench.results.run import RunStatus

SCENARIO = {
    "schema": 1,
    "name": "both",
    "options": {"num_predict": 4, "num_ctx": 1024},
    "prompts": {"synthetic": {"input_tokens": 20}},
    "load": {"closed": {"users": 1, "requests": 3}},
    "warmup": 0,
    "blocks": 2,
    "fidelity": {"quick": True},
}
MODELS = ["m:q4", "m:f16", "m:q8"]


@pytest.fixture
def settings(tmp_path):
    return bench.Settings(output=tmp_path / "runs", history=None)


def run(server, settings, models=MODELS, observer=None, **keys):
    scenario = SCENARIO | keys
    return bench.run(
        scenario, models=models, hosts=server.url, settings=settings, observer=observer
    )


class Stopping:
    """Presses Ctrl-C at a place."""

    def __init__(self, at):
        self.at = at

    def place_asked(self, label, done, total):
        if done == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def test_one_directory_and_one_report_hold_speed_and_fidelity(server, settings):
    found = run(server, settings, fidelity={"quick": True, "reference": "m:f16"})
    assert {p.name for p in found.path.iterdir()} >= {
        "run.json",
        "requests.jsonl",
        "summary.json",
        "report.html",
        "fidelity-setup.json",
        "places.jsonl",
        "fidelity.json",
    }
    result = json.loads((found.path / "fidelity.json").read_text())
    assert [s["model"] for s in result["sides"]] == ["m:f16", "m:q4", "m:q8"]
    assert len(read_run(found.path).records) == 3 * 2 * 3
    html = (found.path / "report.html").read_text()
    for said in ("Decode speed", "Candidates against m:f16", "Fidelity by kind of text"):
        assert said in html
    page = page_of([found.path])
    assert any(a.subject == "m:q8" and "against m:f16: at" in a.texts[0] for a in page.findings)
    # Answers of 4 tokens have no decode speed, so there is nothing to draw speed against.
    assert next(s.title for s in page.sections) == "Fidelity"


def test_speed_against_fidelity_is_drawn(server, settings):
    found = run(
        server,
        settings,
        models=["m:q8", "m:f16"],
        # Long answers: beside short ones a busy machine's own delays make a run invalid.
        options={"num_predict": 320, "num_ctx": 1024},
    )
    page = page_of([found.path])
    (section,) = (s for s in page.sections if s.title == "Fidelity")
    chart = next(i for i in section.items if getattr(i, "id", "") == "speed-fidelity")
    assert chart.message.startswith("On the Pareto front, from the fastest on: ")
    assert 'id="speed-fidelity' in (found.path / "report.html").read_text()


def test_what_cannot_be_measured_is_refused_before_the_first_block(server, settings):
    with pytest.raises(ModelError, match="e:f16 cannot generate"):
        run(server, settings, models=["m:f16", "e:f16"], endpoint="generate")
    assert not list(settings.output.glob("*"))


def test_an_interrupted_part_goes_on_where_it_stopped(server, settings):
    with pytest.raises(Interrupted, match="answers are kept") as raised:
        run(server, settings, models=["m:f16", "m:q8"], observer=Stopping(90))
    (path,) = settings.output.iterdir()
    assert f"fidelity --resume {path}" in str(raised.value)
    assert read_run(path).info.status is RunStatus.COMPLETE
    assert 90 <= len(read_places(path)) < 100
    # The candidate was tried at two texts before the reference was read.
    assert "Not finished: 104 of 120 places are not asked yet" in (path / "report.html").read_text()
    found = bench.resume_fidelity(path)
    assert len(read_places(path)) == 300
    assert found.result.candidates[0].used > 100


@pytest.mark.parametrize(
    ("models", "keys", "said"),
    [
        (["m:f16"], {}, "there is nothing to compare with"),
        (MODELS, {"reference": "m:f32"}, "reference m:f32 is none of the models: m:f16, m:q4"),
        (MODELS, {"texts": "klingon"}, "fidelity.texts klingon: no such file"),
    ],
)
def test_wrong_keys_are_said_before_anything_is_sent(server, settings, models, keys, said):
    with pytest.raises((ScenarioError, bench.errors.UsageError)) as raised:
        run(server, settings, models=models, fidelity=keys)
    assert said in str(raised.value)


SERVE = """
import os, sys, time
from bench.server.embedded import start_server
port = int(os.environ["OLLAMA_HOST"].rsplit(":", 1)[1])
text = open({profile!r}).read()
if os.environ.get("OLLAMA_KV_CACHE_TYPE") == "q8_0":
    text = text.replace("divergence: 0.0\\n", "divergence: 0.2\\n")
open(sys.argv[1], "w").write(text)
with start_server(profile=sys.argv[1], port=port):
    time.sleep(600)
"""


def test_what_a_setting_of_the_server_costs(profile, settings, tmp_path):
    """Two servers that are started for the run; the setting moves the answers of one of them."""
    script = tmp_path / "serve.py"
    script.write_text(SERVE.format(profile=str(profile)))
    targets = [
        {
            "name": f"kv {kind}",
            "command": [sys.executable, str(script), str(tmp_path / f"{kind}.yaml")],
            "env": {"OLLAMA_KV_CACHE_TYPE": kind},
        }
        for kind in ("f16", "q8_0")
    ]
    found = bench.run(SCENARIO | {"targets": targets}, models="m:f16", settings=settings)
    result = stored_fidelity(found.path)
    assert [s.label for s in result.sides] == ["m:f16 on kv f16", "m:f16 on kv q8_0"]
    assert result.candidates[0].distance is Distance.DIFFERS
    assert result.candidates[0].divergence.value == pytest.approx(0.02, rel=0.3)
    # Each has a server, so they take turns.
    assert [r.side for r in read_places(found.path)][:16] == [0] * 8 + [1] * 8
    html = (found.path / "report.html").read_text()
    assert "m:f16 on kv q8_0" in html and "q8_0" in html
