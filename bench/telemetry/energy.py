"""Joules over a window, from samples of a counter or of power."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NS = 1e9
LEAST_S = 3.0
"""Over less time a reading says more about the counter than about the machine."""
DEVICE = re.compile(r"(gpu|amd|intel|apple|cpu)(\d+)_")
"""How the name of a device's series begins."""
_MOST_GAP = 0.2
_MOST_STEP = 1 / 3
"""Samples further apart than this part of the window do not show what happened in it."""


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of one device over a window.

    Attributes:
        error_j: one tick of the counter, or one sample of power, at each end.
        method: "counter" or "power".
    """

    joules: float
    seconds: float
    error_j: float
    method: str

    @property
    def watts(self) -> float:
        """On average."""
        return self.joules / self.seconds


def device_energy(
    samples: Mapping[str, Sequence[tuple[int, float]]], device: str, start_ns: int, end_ns: int
) -> Energy | str:
    """Energy between two moments, by counter, else by added-up power; or why it cannot be said."""
    if end_ns - start_ns < LEAST_S * NS:
        return f"under {LEAST_S:.0f} s of steady load"
    why = "no energy or power of it can be read"
    for series, method in (("energy_j", counted_energy), ("power_w", integrated_energy)):
        if found := samples.get(f"{device}_{series}"):
            energy = method([(t, v) for t, v in found], start_ns, end_ns)
            if isinstance(energy, Energy):
                return energy
            why = energy
    return why


def power_devices(names: Sequence[str]) -> list[str]:
    """The devices among series that tell energy or power, in order."""
    seen = ((m[0], n) for n in names if (m := DEVICE.match(n)))
    return sorted({d[:-1] for d, name in seen if name[len(d) :] in ("energy_j", "power_w")})


def counted_energy(
    samples: Sequence[tuple[int, float]], start_ns: int, end_ns: int
) -> Energy | str:
    """Energy by samples of a counter, (ns, joules) in order; or why it cannot be said."""
    import numpy as np  # late: the sampler starts before the first request

    times, values, why = _covering(samples, start_ns, end_ns)
    if why:
        return why
    first, last = np.interp([start_ns, end_ns], times, values)
    inside = (times >= start_ns) & (times <= end_ns)
    changes = times[1:][inside[1:] & (np.diff(values) > 0)]
    if len(changes) < 2:
        return "the counter of energy stood still, or the window is too short for it"
    seconds = (end_ns - start_ns) / NS
    joules = float(last - first)
    tick_s = float(np.median(np.diff(changes))) / NS
    return Energy(joules, seconds, 2 * tick_s * joules / seconds, "counter")


def integrated_energy(
    samples: Sequence[tuple[int, float]], start_ns: int, end_ns: int
) -> Energy | str:
    """Trapezoids of samples of power, (ns, watts) in order; or why the energy cannot be said."""
    import numpy as np

    times, watts, why = _covering(samples, start_ns, end_ns)
    if why:
        return why
    inside = (times > start_ns) & (times < end_ns)
    t = np.concatenate([[start_ns], times[inside], [end_ns]])
    w = np.interp(t, times, watts)
    joules = float(np.sum(np.diff(t) / NS * (w[1:] + w[:-1]) / 2))
    step_s = float(np.median(np.diff(times))) / NS
    return Energy(joules, (end_ns - start_ns) / NS, step_s * float(w[0] + w[-1]), "power")


def _covering(
    samples: Sequence[tuple[int, float]], start_ns: int, end_ns: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], str]:
    """Times and values of samples; and why they cannot stand for a window, "" if they can."""
    import numpy as np

    table = np.array(samples, dtype=np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1], _not_covered(table[:, 0], start_ns, end_ns)


def _not_covered(times: npt.NDArray[np.float64], start_ns: int, end_ns: int) -> str:
    import numpy as np

    if len(times) < 3:
        return "there are fewer than three samples"
    window = end_ns - start_ns
    if window <= 0:
        return "the window is empty"
    inside = times[(times >= start_ns) & (times <= end_ns)]
    usual = float(np.median(np.diff(times)))
    edges = np.concatenate([[start_ns], inside, [end_ns]])
    hole = float(np.diff(edges).max())
    if usual > _MOST_STEP * window:
        return f"samples {usual / NS:.0f} s apart are too far apart for so short a window"
    outside = max(times[0] - start_ns, end_ns - times[-1])
    if outside > max(usual, 0.01 * window) or hole > max(3 * usual, _MOST_GAP * window):
        return "the samples do not cover the window"
    return ""
