"""The memory bandwidth of graphics cards: by bus width and clock where NVML says them, else known.

NVML's memory clock is half the data rate of every memory that NVIDIA cards have, so bandwidth is
width / 8 x clock x 2. The clock must be one seen under load: idle cards show 405 MHz, and CUDA
holds GeForce cards below their highest clock. Names are compared whole: cards of nearly the same
name have other memories ("RTX 5090" and "RTX 5090 D v2"), and those that share a name with another
memory are not in the table.

AMD cards go by name alone: the kernel shows no width of the bus, and no multiplier of its memory
clock holds for all. For GDDR6 width / 8 x highest clock of `pp_dpm_mclk` x 16 gives the makers'
figures (kernel commit "drm/amdgpu/powerplay: add some documentation about memory clock"). For HBM3
and LPDDR5 the tables of multipliers (that commit; MemoryOpsPerClockTable of AMD's PAL) give half of
them: 2.7 TB/s for an MI300 at its 1,300 MHz, whose maker says 5.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

GB = 1e9
DISAGREE = 0.05
"""Two figures of one memory that differ by more are both shown."""

# GB/s. Makers' figures; those of NVIDIA cards with a "*" in logs of their width and clock, too.
_KNOWN = {
    **{"rtx 3060": 360, "rtx 3090": 936, "rtx 4060 ti 16gb": 288, "rtx 4070 ti super": 672},
    **{"rtx 4090": 1008, "rtx 5070 ti": 896, "rtx 5080": 960, "rtx 5090": 1792},
    **{"rtx 6000 ada generation": 960, "rtx pro 6000 blackwell workstation edition": 1792},
    **{"l4": 300, "l40s": 864, "a10": 600, "tesla t4": 320, "tesla p40": 346},
    **{"a100-sxm4-40gb": 1555, "a100-sxm4-80gb": 2039, "a100 80gb pcie": 1935},
    **{"h100 80gb hbm3": 3350, "h200": 4800, "gb10": 273, "thor": 273},
    **{"rx 6800": 512, "rx 7900 xt": 800, "rx 7900 xtx": 960, "rx 9070 xt": 640},
    **{"8060s graphics": 256},  # 256 bits of LPDDR5X-8000
    **{"arc b580": 456},
    **{"m1": 68, "m1 pro": 200, "m1 max": 400, "m1 ultra": 800, "m2": 100, "m2 pro": 200},
    **{"m2 max": 400, "m2 ultra": 800, "m3": 100, "m3 pro": 150, "m3 ultra": 819},
    **{"m4": 120, "m4 pro": 273, "m5": 153, "m5 pro": 307},
}
_MAKER = re.compile(r"^(nvidia|amd|intel\(?r?\)?|apple|geforce|radeon)\s+", re.I)


@dataclass(frozen=True, slots=True)
class CardBandwidth:
    """Bytes per second.

    Attributes:
        peak: at the highest clock.
        reachable: at the clock seen under load.
        source: where they are from, and what speaks against them.
    """

    peak: float
    reachable: float
    source: str


def card_bandwidth(
    name: str,
    bus_width_bits: float | None = None,
    highest_mhz: float | None = None,
    loaded_mhz: float | None = None,
) -> CardBandwidth | None:
    """The bandwidth of a card; None if neither its clock nor its name says.

    `highest_mhz` is the highest clock of its memory, as NVML counts it.
    """
    known = known_bandwidth(name)
    clock = highest_mhz or loaded_mhz
    if not bus_width_bits or not clock or not loaded_mhz:
        return None if known is None else CardBandwidth(known, known, "the maker's figure")
    each = bus_width_bits / 8 * 2 * 1e6
    peak, reachable = each * max(clock, loaded_mhz), each * loaded_mhz
    source = f"{bus_width_bits:.0f} bits at {loaded_mhz:,.0f} MHz under load"
    if known is not None and abs(peak / known - 1) > DISAGREE:
        source += f"; the maker's figure is {known / GB:,.0f} GB/s"
    return CardBandwidth(peak, reachable, source)


def known_bandwidth(name: str) -> float | None:
    """Bytes per second of a product; None if it is not known for certain."""
    short = name.strip()
    while (less := _MAKER.sub("", short)) != short:
        short = less
    found = _KNOWN.get(short.lower())
    return None if found is None else found * GB
