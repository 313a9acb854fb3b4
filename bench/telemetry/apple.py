"""Apple silicon, as far as a plain user may read it: by the program `macmon`, if it is installed.

`powermetrics` needs root. macmon prints a line of JSON for each sample (`macmon pipe`); its power
channels are Apple's estimates of the whole chip, refreshed every third of a second. The GPU may
use about three quarters of the machine's memory, which it shares: there is no memory of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.telemetry.source import Description, Found, GoneError, Source, UnreadableError

_SERIES = "apple0_"
_INSTALL = "needs macmon (https://github.com/vladkens/macmon); powermetrics would need root"


class AppleChip(Source):
    """The chip, by the lines of a macmon that runs beside."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen(
            [program, "pipe", "--interval", "1000"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.description = Description(
            "apple 0",
            "Apple chip, by macmon",
            tuple(_SERIES + n for n in ("power_w", "share", "sm_clock_mhz", "temperature_c")),
            exactness="Apple's own estimates of the whole chip, CPU and memory included",
            blind={"memory": "unified with the machine's memory: see memory_used_bytes"},
            device="apple0",
        )

    def gauges(self) -> Mapping[str, float]:
        """The next sample; it comes about once a second.

        Raises:
            GoneError: macmon has ended.
            UnreadableError: it printed something else.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise GoneError(f"macmon has ended ({self._process.wait()})")
        return sample(line)

    def close(self) -> None:
        """End macmon."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def sample(line: bytes | str) -> dict[str, float]:
    """The values in a line of macmon. Power of 0 W is none: some chips' channels stay empty.

    Raises:
        UnreadableError: it is no such line.
    """
    try:
        line_read = json.loads(line)
        clock, busy = _pair(line_read.get("gpu_usage"))
        watts = float(line_read.get("all_power") or 0.0)
        heat = (line_read.get("temp") or {}).get("gpu_temp_avg")
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableError(f"macmon says something else: {error}") from None
    values = {"power_w": watts or None, "share": busy, "sm_clock_mhz": clock}
    values["temperature_c"] = float(heat) if isinstance(heat, int | float) and heat > 0 else None
    return {_SERIES + name: v for name, v in values.items() if v is not None}


def _pair(value: Any) -> tuple[float | None, float | None]:
    if not isinstance(value, list) or len(value) != 2:
        return None, None
    return float(value[0]), float(value[1])


def find_apple(platform: str = sys.platform, path: Path | None = None) -> Found:
    """The chip of this Mac."""
    if platform != "darwin":
        return [], {}
    program = str(path) if path else shutil.which("macmon")
    if program is None:
        return [], {"Apple chip": _INSTALL}
    return [AppleChip(program)], {}
