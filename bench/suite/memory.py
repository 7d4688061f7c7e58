"""How far a block of code raises the memory of the process, where Linux tells."""

from __future__ import annotations

import gc
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"


def _kilobytes(key: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


class Peak:
    """A `with` block whose highest resident memory is compared with that at its beginning."""

    megabytes: float | None = None

    def __enter__(self) -> Peak:
        gc.collect()
        try:
            CLEAR.write_text(RESET_PEAK)
            self.before: int | None = _kilobytes("VmRSS")
        except OSError:
            self.before = None
        return self

    def __exit__(self, *_: object) -> None:
        if self.before is not None:
            self.megabytes = max(0, _kilobytes("VmHWM") - self.before) / 1e3
