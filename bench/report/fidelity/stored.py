"""What a directory knows of fidelity: judged anew from the answers, as far as they go."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import MeasurementInvalid, NotComparable
from bench.results.fidelity_files import SETUP_FILE, read_gates, read_places, read_setup

if TYPE_CHECKING:
    from bench.analysis.fidelity.result import FidelityResult


def stored_fidelity(path: Path) -> FidelityResult | str | None:
    """The result; why there is none; or None if fidelity was not asked for."""
    if not (path / SETUP_FILE).is_file():
        return None
    from bench.analysis.fidelity.analyse import analyse  # late: most runs need none of it

    try:
        return analyse(read_setup(path), read_places(path), read_gates(path))
    except (NotComparable, MeasurementInvalid) as error:
        return error.message
