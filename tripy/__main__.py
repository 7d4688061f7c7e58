"""``python -m tripy <command>``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence


def _demo(arguments: Sequence[str]) -> int:
    from tripy.demo import main as demo

    return demo(arguments)


def _info(arguments: Sequence[str]) -> int:
    import numpy as np

    import tripy
    from tripy.devices import PROBES
    from tripy.engines import base

    print(f"tripy {tripy.__version__}, Python {sys.version.split()[0]}, NumPy {np.__version__}")
    for name in base.NAMES:
        print(f"  engine {name}: {'installed' if base.is_installed(name) else 'not installed'}")
    print("  devices:", ", ".join(map(str, tripy.devices())))
    if not tripy.devices("gpu"):
        print("  no gpu:", PROBES["gpu"]()[1])
    return 0


def _tool(name: str) -> Callable[[Sequence[str]], int]:
    def run(arguments: Sequence[str]) -> int:
        from tripy import tools

        return tools.main(name, arguments)

    return run


def _cache(arguments: Sequence[str]) -> int:
    from tripy import cache
    from tripy.config import config

    if list(arguments) not in (["info"], ["clear"]):
        print("usage: python -m tripy cache info|clear")
        return 0 if list(arguments) in (["--help"], ["-h"]) else 2
    if arguments[0] == "clear":
        cache.clear(config.cache_dir)
    found = cache.entries(config.cache_dir)
    print(f"programs in {config.cache_dir}")
    print(f"  entries: {len(found)}")
    print(f"  bytes: {sum(row.size for row in found):,} of {config.cache_size:,}")
    return 0


_COMMANDS: dict[str, tuple[str, Callable[[Sequence[str]], int]]] = {
    "cache": ("info: show the programs kept on disk; clear: remove them", _cache),
    "demo": ("find faces in a photograph, eagerly and compiled", _demo),
    "info": ("show version, engines and devices", _info),
    "inspect": ("show what a saved executable holds", _tool("inspect")),
    "bench": ("measure how long calls of a saved executable take", _tool("bench")),
    "verify": ("compare a saved executable with the reference engine", _tool("verify")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in _COMMANDS:
        return _COMMANDS[given[0]][1](given[1:])
    print("usage: python -m tripy <command> [options]\n\ncommands:")
    for name, (purpose, _) in _COMMANDS.items():
        print(f"  {name:<8} {purpose}")
    return 0 if given in ([], ["--help"], ["-h"]) else 2


if __name__ == "__main__":
    sys.exit(main())
