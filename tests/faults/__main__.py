"""Say which faults this machine shows (or one does, by name), or write the page about them."""

from __future__ import annotations

import sys

from .table import ROOT, faults, page, processor

words = sys.argv[1:]
if words == ["--write"]:
    (ROOT / "docs" / "engine-faults.md").write_text(page())
elif words:
    raise SystemExit(faults()[words[0]].status())
else:
    print(f"processor: {processor()}")
    for fault in faults().values():
        word = "wrong" if fault.is_shown() else "right"
        print(f"{word}  {fault.engine} {fault.name}", flush=True)
