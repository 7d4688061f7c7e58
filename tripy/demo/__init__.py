"""``python -m tripy demo``: finds faces with a cascade of three networks, eager and compiled."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import util

PACKAGES = ("mtcnn", "lz4", "PIL", "skimage")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the result is its exit code."""
    missing = [name for name in PACKAGES if util.find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        print(f"The demo needs {names}: pip install 'tripy-dl[demo]'", file=sys.stderr)
        return 2
    from tripy.demo.command import run

    return run(argv)
