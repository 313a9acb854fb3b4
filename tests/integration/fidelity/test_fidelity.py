"""From the embedded server's planted distributions to the page."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.analysis.fidelity.result import Distance, Nearer
from bench.errors import Interrupted, ModelError, NotComparable, UsageError
from bench.results.fidelity_files import read_places, read_setup
from bench.scenario.corpus import load_corpus
from bench.simulation.next_token import log_softmax, logits
from bench.simulation.profile import load_profile

# Estimate / truth for s = 0.1, 0.3, 0.6, 1.0, measured before the estimator was written.
KNOWN = {"m:q8": 1.01, "m:q3": 0.98, "m:q2": 0.92, "m:q1": 0.82}


@pytest.fixture
def settings(tmp_path):
    return bench.Settings(output=tmp_path / "runs")


def truth(profile, setup, number):
    """Mean divergence of whole distributions over the places of the run."""
    models = {m.name: m for m in load_profile(profile).models}
    reference, candidate = (models[setup.sides[i].model] for i in (0, number))
    of_texts = []
    for text in setup.texts:
        places = []
        for cut in text.cuts:
            p, q = (log_softmax(logits(m, text.text[:cut])) for m in (reference, candidate))
            places.append((np.exp(p) * (p - q)).sum())
        of_texts.append(np.mean(places))
    return np.mean(of_texts)


def run(*arguments, cwd):
    command = [sys.executable, "-m", "bench", "fidelity", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


@pytest.mark.slow
def test_planted_divergences_come_back(server, profile, settings):
    """With the shipped texts and places."""
    candidates = list(KNOWN)
    found = bench.fidelity("m:f16", candidates, host=server.url, settings=settings)
    setup = read_setup(found.path)
    for number, candidate in enumerate(found.result.candidates, 1):
        true = truth(profile, setup, number)
        ratio, bound = candidate.divergence.value / true, candidate.bound / true
        print(f"{setup.sides[number].model}: estimate / truth {ratio:.3f}, bound {bound:.3f}")
        assert ratio == pytest.approx(KNOWN[setup.sides[number].model], abs=0.05)
        assert candidate.bound < true
        assert candidate.distance is Distance.DIFFERS
        assert (candidate.asked, candidate.used) == (480, 480 - sum(candidate.dropped.values()))
        assert candidate.dropped.keys() <= {"end of text likeliest", "part of a character"}
    assert {d.verdict for d in found.result.differences} == {Nearer.FIRST}
    # Two roundings of 0.01 each: their divergence is 0.01^2, and the reference's own floor.
    floor = found.result.floor
    assert floor.divergence == floor.estimate.value == pytest.approx(1e-4, rel=0.2)
    assert floor.estimate.low < 1e-4 < floor.estimate.high < 2e-4
    low, high = floor.other_word.ends  # if independent, where fewer than two texts had one
    assert low <= floor.other_top <= high < 0.15
    assert found.result.simulated


def test_a_copy_is_no_difference_in_twenty_runs(server, settings, tmp_path):
    """Each run reads other texts, and the copy rounds otherwise than the original."""
    words = load_corpus("en").passage(0, 4_000.0)[0].split()
    alike = 0
    for run_number in range(20):
        own = words[run_number * 120 : (run_number + 1) * 120]
        texts = tmp_path / f"{run_number}.txt"
        texts.write_text("\n\n".join(" ".join(own[i : i + 30]) for i in range(0, 120, 30)))
        found = bench.fidelity(
            "m:f16", "m:copy", host=server.url, texts=str(texts), quick=True, settings=settings
        )
        (copy,) = found.result.candidates
        assert found.result.texts == 4 and copy.used >= 30 and copy.divergence.value > 0
        alike += copy.distance is Distance.NONE
    assert alike >= 19


def test_one_model_on_two_servers(server, profile, settings):
    with bench.start_server(profile=profile, ollama_version="0.24.0") as older:
        found = bench.fidelity(
            f"m:q4@{server.url}", f"m:q4@{older.url}", quick=True, settings=settings
        )
    assert found.result.candidates[0].distance is Distance.NONE
    assert len({side.url for side in found.result.sides}) == 2
    # They take turns text by text: what changes meanwhile concerns both.
    asked = [r.side for r in read_places(found.path)]
    assert asked[:32] == [0] * 8 + [1] * 8 + [0] * 8 + [1] * 8
    assert found.result.sides[1].version.startswith("0.24.0")


def test_prefixes_are_in_the_server_s_cache(profile, settings):
    """All but the first prefix of a text are evaluated only from where the last one ended."""
    with bench.start_server(profile=profile) as server:
        bench.fidelity("m:f16", "m:q8", host=server.url, quick=True, settings=settings)
        asked = [t for t in server.truth if t.done_reason == "length"]
    whole = sum(t.prompt_tokens for t in asked)
    evaluated = whole - sum(t.cached_tokens for t in asked)
    assert len(asked) >= 280
    assert evaluated < 0.25 * whole


@pytest.mark.parametrize(
    ("candidate", "error", "said"),
    [
        ("other:f16", NotComparable, "another vocabulary than m:f16"),
        ("e:f16", ModelError, "e:f16 makes no text"),
        ("nope", ModelError, "nope"),
        ("m:f16", UsageError, "is named twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(server, settings, candidate, error, said):
    with pytest.raises(error) as raised:
        bench.fidelity("m:f16", candidate, host=server.url, quick=True, settings=settings)
    assert said in str(raised.value)


def test_another_tokenizer_is_refused_before_the_reference_is_read(server, settings):
    """On one server, too, where one model is asked after the other: both are tried first."""
    with pytest.raises(NotComparable, match="other:f16 has another vocabulary than m:f16"):
        bench.fidelity("m:f16", ["m:q8", "other:f16"], host=server.url, settings=settings)
    (path,) = settings.output.iterdir()
    asked = [(p.side, p.text) for p in read_places(path)]
    tried = [(side, text) for side in (1, 2) for text in (0, 1) for _ in range(8)]
    assert asked == [*tried, *[(0, 0)] * 8]


def test_the_command_prints_and_writes_a_page(server, tmp_path):
    done = run("m:f16", "m:q8", "m:q4", "--quick", "--host", server.url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.splitlines()[-1])
    text = " ".join(done.stdout.split())
    assert "m:q8 against m:f16: at" in text and "[simulated]" in text
    assert "m:q8 is closer to the original than m:q4" in text
    assert re.search(r"Noise floor: .* differs from itself by \S+ nats (± \d|\(\d)", text)
    assert "no measure of quality" in text
    assert "Of 15 texts, a kind that is rarer than one in 5 may be missing" in text
    html = (tmp_path / path / "fidelity.html").read_text()
    assert "Fidelity to m:f16" in html and "m:q4" in html
    for format_name, sign in (("markdown", "| m:q8 |"), ("csv", "m:q8,"), ("html", "<html")):
        again = run("--resume", path, "--format", format_name, cwd=tmp_path)
        assert again.returncode == 0 and sign in again.stdout
    as_json = json.loads(run("--resume", path, "--format", "json", cwd=tmp_path).stdout)
    assert as_json == json.loads((tmp_path / path / "fidelity.json").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_what_was_measured_survives_its_end(server, tmp_path, number):
    command = [sys.executable, "-m", "bench", "fidelity", "m:f16", "m:q8", "--quick"]
    command += ["--host", server.url]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    places = None
    for _ in range(600):
        places = next(tmp_path.glob("runs/*/places.jsonl"), None)
        if places and places.read_bytes().count(b"\n") > 40:
            break
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1]
    kept = {r.key: r for r in read_places(places.parent)}
    assert 40 < len(kept) < 300
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert f"--resume {places.parent.relative_to(tmp_path)}" in said.replace(
            os.fspath(tmp_path) + "/", ""
        )
    with places.open("ab") as file:  # as a kill in the middle of a line
        file.write(b'{"side":0,"text":11,"cu')
    resumed = run("--resume", places.parent, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    records = read_places(places.parent)
    assert len(records) == len({r.key for r in records}) == 300
    assert {r.key: r for r in records[: len(kept)]} == kept


def test_a_resumed_run_refuses_a_server_that_has_changed(profile, settings):
    def stop(label, done, total):
        if done == 30:
            raise KeyboardInterrupt

    with bench.start_server(profile=profile) as server:
        with pytest.raises(Interrupted, match="answers are kept"):
            bench.fidelity("m:f16", "m:q8", host=server.url, settings=settings, on_step=stop)
        port = int(server.url.rpartition(":")[2])
    path = next(settings.output.iterdir())
    with (
        bench.start_server(profile=profile, port=port, ollama_version="0.24.0"),
        pytest.raises(NotComparable, match=r"the server's version was 0\.32\.15"),
    ):
        bench.resume_fidelity(path)


def test_wrong_use_is_one_message(tmp_path):
    for arguments, said in (
        ((), "no model is named"),
        (("m",), "nothing to compare"),
        (("m", "n", "--resume", "x"), "Name either models or --resume"),
        (("--resume", "x"), "no directory of a fidelity run"),
        (("m", "n@"), "is no model"),
    ):
        done = run(*arguments, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr
        assert "Traceback" not in done.stderr
