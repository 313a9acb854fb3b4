"""Energy of the CPU packages, from the kernel's powercap files (Intel and AMD).

Source: Documentation/power/powercap/powercap.rst of the kernel. A package's counter excludes the
memory on most machines; `psys` contains the packages and is therefore never added to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench.telemetry.files import number_in, text_in
from bench.telemetry.source import Description, EnergyCounter, Found, Source, UnreadableError

_ROOM = "sys/class/powercap"
_FIX = "readable by root only: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"


class CpuPackage(Source):
    """The counter of one package."""

    def __init__(self, folder: Path, index: int) -> None:
        self._path = folder / "energy_uj"
        if self._joules() is None:
            raise UnreadableError(f"{self._path.name} holds no number")
        name = f"cpu{index}_energy_j"
        wraps = number_in(folder / "max_energy_range_uj")
        self.counters = {name: EnergyCounter(self._read, wraps / 1e6 if wraps else None)}
        self.description = Description(
            f"cpu {index}",
            f"CPU {text_in(folder / 'name')}",
            (name,),
            exactness="counter of the CPU package; without memory, fans and power supply",
        )

    def _joules(self) -> float | None:
        value = number_in(self._path)
        return None if value is None else value / 1e6

    def _read(self) -> float:
        try:
            value = self._joules()
        except OSError as error:
            raise UnreadableError(f"{self._path}: {error.strerror}") from None
        if value is None:
            raise UnreadableError(f"{self._path} holds no number any more")
        return value

    def gauges(self) -> Mapping[str, float]:
        """Nothing: a package has its counter only."""
        return {}


def find_cpu_packages(root: Path = Path("/")) -> Found:
    """The packages whose energy can be read, below `root`."""
    found: list[Source] = []
    blind: dict[str, str] = {}
    folders = sorted((root / _ROOM).glob("intel-rapl:*"))
    packages = [f for f in folders if re.fullmatch(r"intel-rapl:\d+", f.name)]
    packages = [f for f in packages if text_in(f / "name").startswith("package")]
    if not packages:
        blind["CPU energy"] = "this machine shows no powercap packages (usual in a VM)"
    for index, folder in enumerate(packages):
        try:
            found.append(CpuPackage(folder, index))
        except PermissionError:
            blind[f"energy of CPU {text_in(folder / 'name')}"] = _FIX
        except (OSError, UnreadableError) as error:
            blind[f"energy of CPU {text_in(folder / 'name')}"] = str(error)
    return found, blind
