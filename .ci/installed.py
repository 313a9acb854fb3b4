"""Whether a plain install outside the checkout has all that ships, and no more than it needs."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import bench

assert "matplotlib" not in sys.modules, "import bench must stay light"
assert Path(bench.__file__).is_relative_to(sys.prefix), f"not installed: {bench.__file__}"
for extra in ("xllamacpp", "scipy", "pytest"):
    assert importlib.util.find_spec(extra) is None, f"{extra} is not needed to run"

from bench.resources import DOCS, resource_dir  # noqa: E402
from bench.scenario.corpus import LANGUAGES, load_corpus  # noqa: E402
from bench.scenario.loading import scenario_names  # noqa: E402
from bench.simulation.profile import load_profile, shipped_profiles  # noqa: E402

assert {"quickstart", "chat", "concurrency", "smoke", "quantisations"} <= set(scenario_names())
assert all(load_corpus(language).text for language in LANGUAGES)
assert {"laptop-cpu", "gpu-12gb", "gpu-80gb"} <= set(shipped_profiles())
assert all(load_profile(name).models for name in shipped_profiles())
assert {"metrics", "measure", "compare"} <= {path.stem for path in DOCS.glob("*.md")}
for path in ("templates/report.html.j2", "assets/report.css", "assets/report.js", "README.md"):
    assert (resource_dir("reports") / path).is_file(), path
assert not (resource_dir("reports") / "examples").exists(), "examples are not for the wheel"
print("all that ships is there")
