"""A planted NVML, loaded before the real `pynvml` asks for it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).parents[2] / "support/fake_nvml.c"
_LONGS = ("now_ns", "tick_ns", "wrap_mj", "shift_mj", "frozen_ns", "users")
_DOUBLES = ("base_w", "swing_w", "period_s")
_INTS = (
    *("cards", "hang_ms", "mig", "reasons", "null_handle"),
    *("processes", "virtual_mode", "one_uuid"),
)
CALLS = (
    *("energy", "power", "util", "memory", "temp", "clock"),
    *("reasons", "mig", "handle", "init", "limit", "proc", "pcie"),
)


class FakeNvml:
    """The variables of the library as attributes."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        object.__setattr__(self, "lib", lib)
        lib.planted_j.restype = ctypes.c_double
        lib.planted_j.argtypes = [ctypes.c_double]
        kinds: dict[str, Any] = dict.fromkeys(_LONGS, ctypes.c_longlong)
        kinds |= dict.fromkeys(_DOUBLES, ctypes.c_double) | dict.fromkeys(_INTS, ctypes.c_int)
        kinds |= dict.fromkeys(("memory_used", "process_bytes"), ctypes.c_ulonglong)
        object.__setattr__(self, "cells", {n: k.in_dll(lib, n) for n, k in kinds.items()})

    def __getattr__(self, name: str) -> Any:
        return self.cells[name].value

    def __setattr__(self, name: str, value: Any) -> None:
        self.cells[name].value = value

    def fail(self, call: str, code: int, card: int | None = None) -> None:
        table = (ctypes.c_int * len(CALLS) * 4).in_dll(self.lib, "errors")
        for number in range(4) if card is None else (card,):
            table[number][CALLS.index(call)] = code

    def name(self, text: str) -> None:
        (ctypes.c_char * 64).in_dll(self.lib, "card_name").value = text.encode()

    def planted_j(self, start_ns: int, end_ns: int) -> float:
        return self.lib.planted_j(end_ns / 1e9) - self.lib.planted_j(start_ns / 1e9)

    def reset(self) -> None:
        for cell in self.cells.values():
            cell.value = 0
        for call in CALLS:
            self.fail(call, 0)
        self.cards, self.tick_ns, self.base_w, self.period_s = 1, 20_000_000, 200.0, 3.7
        self.memory_used = 6 << 30
        self.name("Planted Card")


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> FakeNvml:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    path = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    name = f"-Wl,-soname,{path.name}"
    command = [compiler, "-shared", "-fPIC", "-O1", name, "-o", str(path), str(_SOURCE), "-lm"]
    subprocess.run(command, check=True)
    # The loader gives a library that is loaded already to whoever asks for its soname.
    return FakeNvml(ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL))


@pytest.fixture
def nvml(nvml_library: FakeNvml) -> FakeNvml:
    nvml_library.reset()
    return nvml_library
