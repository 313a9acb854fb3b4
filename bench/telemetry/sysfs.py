"""Graphics cards of AMD and Intel, and energy of the CPU, from the kernel's files in /sys.

Sources: Documentation/gpu/amdgpu/thermal.rst, the ABI documents sysfs-driver-intel-i915-hwmon and
sysfs-driver-intel-xe-hwmon (cards: not tested on hardware; no root is needed), and
Documentation/power/powercap/powercap.rst of the kernel. A CPU package's counter excludes the memory
on most machines; `psys` contains the packages and is therefore never added to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.telemetry.files import number_in, text_in
from bench.telemetry.source import Description, EnergyCounter, Found, Source, UnreadableError

_VENDORS = {"0x1002": ("amd", ("amdgpu",)), "0x8086": ("intel", ("i915", "xe"))}
_APU_VRAM_BYTES = 2**30
"""A card with no more memory of its own keeps models in the machine's (GTT)."""
_NAMES = ("usr/share/libdrm/amdgpu.ids", "opt/amdgpu/share/libdrm/amdgpu.ids")
"""libdrm's list: device, revision, product. Most AMD cards do not know their own name."""
_ROOM = "sys/class/powercap"
_FIX = "readable by root only: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"


class _File(NamedTuple):
    series: str
    path: Path
    factor: float


class DrmCard(Source):
    """One card of AMD or Intel."""

    def __init__(self, card: Path, vendor: str, hwmon: Path | None, root: Path) -> None:
        device, number = card / "device", card.name.removeprefix("card")
        self.name = f"{vendor} {number}"
        series = f"{vendor}{number}_"
        blind: dict[str, str] = {}
        offered = _files(series, device, hwmon)
        self._files = [f for f in offered if _answers(f, blind)]
        self._apu = (number_in(device / "mem_info_vram_total") or 2**63) <= _APU_VRAM_BYTES
        self._gtt = device / "mem_info_gtt_used"
        self._limit_w = _limit_w(hwmon)
        if (energy := _energy_file(hwmon)) is not None:
            counter = EnergyCounter(lambda: _joules(energy), limit_w=self._limit_w)
            self.counters = {f"{series}energy_j": counter}
        reads = (*self.counters, *dict.fromkeys(f.series for f in self._files))
        if not reads:
            raise UnreadableError("the driver shows no readings of it")
        if vendor == "intel":
            blind["utilisation"] = "the driver has no file of it"
        if self._apu:
            exact = "power of the whole socket, CPU included; memory is VRAM and GTT together"
        elif self.counters:
            exact = "counter of the driver"
        else:
            exact = "power as the driver shows it, averaged by the driver"
        self.description = Description(
            self.name,
            f"{vendor.upper()} card {device.resolve().name}",
            reads,
            exactness=exact,
            blind=blind,
            device=f"{vendor}{number}",
            product=text_in(device / "product_name") or _listed_name(device, root),
        )

    def gauges(self) -> Mapping[str, float]:
        """What the files hold now.

        Raises:
            UnreadableError: none can be read, for instance because the card fell asleep.
        """
        values: dict[str, float] = {}
        why = ""
        for file in self._files:
            if file.series in values:
                continue  # power1_average stands before power1_input
            try:
                raw = number_in(file.path)
            except OSError as error:
                why = f"{file.path.name}: {error.strerror}"
                continue
            if raw is not None:
                values[file.series] = raw * file.factor
        for name in [n for n in values if n.endswith("_power_w")]:
            if self._limit_w is not None and values[name] > 1.2 * self._limit_w:
                del values[name]
        for name in [n for n in values if n.endswith("_memory_bytes") and self._apu]:
            values[name] += number_in(self._gtt) or 0.0
        if self._files and not values:
            raise UnreadableError(why or "its files hold no values")
        return values


def find_drm_cards(vendor: str, root: Path = Path("/")) -> Found:
    """The cards of `vendor` ("amd" or "intel") below `root`.

    Raises:
        UnreadableError: all of them sleep; a reading would wake them.
    """
    found: list[Source] = []
    blind: dict[str, str] = {}
    asleep = 0
    for card in sorted((root / "sys/class/drm").glob("card*")):
        known = _VENDORS.get(text_in(card / "device/vendor"))
        if not re.fullmatch(r"card\d+", card.name) or known is None or known[0] != vendor:
            continue
        if text_in(card / "device/power/runtime_status") == "suspended":
            asleep += 1
            continue
        try:
            found.append(DrmCard(card, vendor, _hwmon(card / "device", known[1]), root))
        except (UnreadableError, OSError) as error:
            blind[f"{vendor} {card.name}"] = str(error)
    if asleep and not found:
        raise UnreadableError(f"{vendor}: the card is asleep, and a reading would wake it")
    return found, blind


def _files(series: str, device: Path, hwmon: Path | None) -> list[_File]:
    files = [
        _File(f"{series}share", device / "gpu_busy_percent", 0.01),
        _File(f"{series}memory_bytes", device / "mem_info_vram_used", 1.0),
    ]
    if hwmon is not None:
        files += [
            _File(f"{series}power_w", hwmon / "power1_average", 1e-6),
            _File(f"{series}power_w", hwmon / "power1_input", 1e-6),
            _File(f"{series}temperature_c", hwmon / "temp1_input", 1e-3),
            _File(f"{series}temperature_c", hwmon / "temp2_input", 1e-3),
            _File(f"{series}sm_clock_mhz", hwmon / "freq1_input", 1e-6),
        ]
    return files


def _answers(file: _File, blind: dict[str, str]) -> bool:
    """Whether a file is there; one that is busy now may answer later."""
    try:
        return number_in(file.path) is not None
    except PermissionError as error:
        blind[file.path.name] = str(error.strerror)
        return False
    except OSError:
        return True


def _hwmon(device: Path, names: tuple[str, ...]) -> Path | None:
    """The sensors of a card: their number moves from boot to boot, so the name decides."""
    folders = sorted(device.glob("hwmon/hwmon*"))
    return next((f for f in folders if text_in(f / "name") in names), None)


def _energy_file(hwmon: Path | None) -> Path | None:
    """The counter of the whole card, else that of the package: by label where there is one."""
    files = sorted(hwmon.glob("energy*_input")) if hwmon is not None else []
    labels = {text_in(f.with_name(f.name.replace("_input", "_label"))): f for f in reversed(files)}
    return labels.get("card") or labels.get("pkg") or (files[0] if files else None)


def _limit_w(hwmon: Path | None) -> float | None:
    """The limit that the driver sets: a reading above it cannot be true."""
    for name in ("power1_cap_max", "power1_max", "power1_cap") if hwmon is not None else ():
        assert hwmon is not None
        try:
            value = number_in(hwmon / name)
        except OSError:
            continue
        if value:
            return value / 1e6
    return None


def _joules(path: Path) -> float:
    try:
        value = number_in(path)
    except OSError as error:
        raise UnreadableError(f"{path}: {error.strerror}") from None
    if value is None:
        raise UnreadableError(f"{path.name} holds no value")
    return value / 1e6


def _listed_name(device: Path, root: Path) -> str:
    """The product by device and revision, "" if it is not listed: names differ by revision."""
    ids = [text_in(device / name).removeprefix("0x").lower() for name in ("device", "revision")]
    for file in _NAMES:
        for line in text_in(root / file).splitlines():
            parts = [part.strip() for part in line.split(",", 2)]
            if len(parts) == 3 and [parts[0].lower(), parts[1].lower()] == ids:
                return parts[2]
    return ""


class CpuPackage(Source):
    """The counter of one package."""

    def __init__(self, folder: Path, index: int) -> None:
        counter = folder / "energy_uj"
        if number_in(counter) is None:
            raise UnreadableError(f"{counter.name} holds no number")
        name = f"cpu{index}_energy_j"
        wraps = number_in(folder / "max_energy_range_uj")
        self.counters = {
            name: EnergyCounter(lambda: _joules(counter), wraps / 1e6 if wraps else None)
        }
        self.description = Description(
            f"cpu {index}",
            f"CPU {text_in(folder / 'name')}",
            (name,),
            exactness="counter of the CPU package; without memory, fans and power supply",
        )

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
