"""Faults that tests plant into a worker: an operation of the OpenVINO engine that is wrong,
ends its process or never ends, and a table of it and of operations that are right."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from tripy.engines import openvino_ops

from . import table

STEPS = """
4 | f | tp.{name}(tp.clip({x}, -0.9, 0.9))
4 | f | tp.{exp|tanh|relu|abs}(tp.clip({x}, -2.0, 2.0))
4 | f | {x} {+|*} {scalar}
2 | f2+ | tp.transpose({x}, {dim}, {dim})
"""


def _wrong(*args: Any) -> Any:
    return openvino_ops.ROWS["neg"](*args)


def _crash(*args: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(*args: Any) -> Any:
    time.sleep(3600)


#: The operation, what is wrong with it, and what a finding is called.
FAULTS = {"atan": (_wrong, "values"), "sinh": (_crash, "crash"), "erf": (_hang, "hang")}


def plant(name: str) -> None:
    """Make one operation wrong, in this process."""
    openvino_ops.ROWS[name] = FAULTS[name][0]
    table.ANY_MODE = STEPS.replace("{name}", name)
    table.QUANTIZED = "1 | f | tp.relu({x})"
    table.rows.cache_clear()
