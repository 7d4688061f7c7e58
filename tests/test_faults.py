"""The table of engine faults: each detour is still needed, and the page shows the table."""

from __future__ import annotations

import importlib

import pytest

from tests.faults.table import ROOT, Fault, faults, page, processor


@pytest.mark.parametrize("fault", faults().values(), ids=list(faults()))
def test_the_engine_is_still_wrong(fault: Fault) -> None:
    """When this fails, the engine is mended: remove the detour, or narrow its `cpus`."""
    if processor() not in fault.cpus:
        pytest.skip(f"seen on {', '.join(fault.cpus)} only")
    assert fault.is_shown(), f"{fault.engine} {fault.name} is right now: {fault.where} can go"


@pytest.mark.parametrize("fault", faults().values(), ids=list(faults()))
def test_the_detour_is_where_the_table_says(fault: Fault) -> None:
    module, name = fault.where.split(":")
    assert hasattr(importlib.import_module(module), name)


def test_the_page_shows_the_table() -> None:
    """`python -m tests.faults --write` writes it."""
    assert (ROOT / "docs" / "engine-faults.md").read_text() == page()
