"""``python -m tests.fuzz``: draw, run and compare random programs."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from .campaign import Campaign, checked_again, seeds_of, shown
from .generate import MODES, generated


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    made.add_argument(
        "--minutes", type=float, default=None, help="how long; default 5, or all seeds"
    )
    made.add_argument("--seeds", default="", help="A:B or one seed; default: from the time of day")
    made.add_argument(
        "--modes",
        default=",".join(MODES),
        help=f"of {', '.join(MODES)}; default: %(default)s",
    )
    made.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    made.add_argument("--limit", type=float, default=30.0, help="seconds that a program may take")
    made.add_argument("--shrink", type=float, default=60.0, help="seconds to shrink a finding")
    made.add_argument("--json", type=Path, help="file for everything that was found")
    made.add_argument("--out", type=Path, default=Path("fuzz-findings"), help="folder of findings")
    made.add_argument("--again", type=Path, help="check the findings of such a file once more")
    made.add_argument("--show", action="store_true", help="print the program of a seed, and stop")
    return made


def main() -> int:
    options = parser().parse_args()
    modes = options.modes.split(",")
    for mode in modes:
        if mode not in MODES:
            parser().error(f"there is no mode {mode!r}; there are {', '.join(MODES)}")
    text = options.seeds or f"{int(time.time()) % 10**9}:"
    if options.show:
        for mode in modes:
            program = generated(mode, next(seeds_of(text)))
            print(f"{program.source}\n\n# {program.infos}\n# {program.calls}\n")
        return 0
    if options.again:
        left = checked_again(options.again, options.limit)
        print("\n\n".join(map(shown, left)), f"\n{len(left)} are left")
        return 1 if left else 0
    has_end = not text.endswith(":")
    minutes = options.minutes or (1e6 if has_end else 5)
    campaign = Campaign(
        modes, seeds_of(text), 60 * minutes, options.jobs, options.limit, options.shrink,
        out=options.out,
    )  # fmt: skip
    print(f"seeds {text}", flush=True)
    campaign.run()
    print(campaign.summary())
    if options.json:
        campaign.write(options.json)
    return 1 if campaign.findings else 0


if __name__ == "__main__":
    sys.exit(main())
