"""Cases to choose the forms of `tripy.engines.xla_window` by, and the switches that force one."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bench.nets.cases import Case, Conv, transposed

from .cases import arithmetics

TRANSPOSED = "transposed"
# Kind of convolution -> the function beside `_direct` that can compute it.
OTHERS = {
    "depthwise": "_taps",
    "pointwise": "_product",
    "patches": "_product",
    "large patches": "_product",
    "line": "_planar",
    "narrow": "_taps",
    "dilated": "_by_remainder",
}

FORMS: dict[str, tuple[Conv, ...]] = {
    # Forms of transposed convolutions differ in what they multiply with zeros and how they store.
    TRANSPOSED: (
        transposed("2x2 stride 2, 128 to 64", (64, 128, 64, 64), 64, 2, stride=2),
        transposed("2x2 stride 2, 1024 to 512", (32, 1024, 16, 16), 512, 2, stride=2),
        transposed("2x2 stride 2, 128 to 64", (1, 128, 64, 64), 64, 2, stride=2),
        transposed("4x4 stride 2, 256 to 128", (128, 256, 16, 16), 128, 4, stride=2, padding=1),
        transposed("4x4 stride 2, 512 to 256", (1, 512, 16, 16), 256, 4, stride=2, padding=1),
        transposed("3x3 stride 2, 128 to 64", (64, 128, 56, 56), 64, 3, stride=2, padding=1),
        transposed("3x3 stride 1, 128 to 128", (64, 128, 56, 56), 128, 3, stride=1, padding=1),
        transposed("1-D 16 stride 8, 512 to 256", (16, 512, 800), 256, 16, stride=8, padding=4),
        transposed("3-D 2x2x2 stride 2, 128 to 64", (8, 128, 16, 32, 32), 64, 2, stride=2),
    ),
    "depthwise": (
        Conv("depthwise 3x3, 144", (128, 144, 56, 56), 144, 3, {"padding": 1, "groups": 144}),
        Conv("depthwise 3x3, 960", (512, 960, 7, 7), 960, 3, {"padding": 1, "groups": 960}),
        Conv("depthwise 3x3, 144", (1, 144, 56, 56), 144, 3, {"padding": 1, "groups": 144}),
        Conv("depthwise 7x7, 96", (128, 96, 56, 56), 96, 7, {"padding": 3, "groups": 96}),
        Conv("1-D depthwise 31, 512", (32, 512, 1500), 512, 31, {"padding": 15, "groups": 512}),
    ),
    "pointwise": (
        Conv("1x1, 64 to 256", (128, 64, 56, 56), 256, 1, {}),
        Conv("1x1, 1024 to 256", (256, 1024, 14, 14), 256, 1, {}),
        Conv("1x1, 1024 to 256", (1, 1024, 14, 14), 256, 1, {}),
        Conv("1x1 stride 2, 256 to 512", (64, 256, 56, 56), 512, 1, {"stride": 2}),
    ),
    "large patches": (
        Conv("16x16 stride 16, 3 to 384", (256, 3, 224, 224), 384, 16, {"stride": 16}),
    ),
    "patches": (
        Conv("16x16 stride 16, 3 to 384", (1, 3, 224, 224), 384, 16, {"stride": 16}),
        Conv("4x4 stride 4, 3 to 96", (128, 3, 224, 224), 96, 4, {"stride": 4}),
        Conv("2x2 stride 2, 96 to 192", (128, 96, 56, 56), 192, 2, {"stride": 2}),
    ),
    "line": (
        Conv("1-D 3, 512 to 512", (32, 512, 1500), 512, 3, {"padding": 1}),
        Conv("1-D 10 stride 5, 64 to 512", (64, 64, 8000), 512, 10, {"stride": 5}),
    ),
    "narrow": (
        Conv("3x3, 128, 32 groups", (128, 128, 56, 56), 128, 3, {"padding": 1, "groups": 32}),
    ),
    "dilated": (
        Conv("3x3 by 2, 256", (64, 256, 28, 28), 256, 3, {"padding": 2, "dilation": 2}),
        Conv("3x3 by 4, 256", (16, 256, 32, 32), 256, 3, {"padding": 4, "dilation": 4}),
    ),
}
QUICK: dict[str, tuple[Conv, ...]] = {
    TRANSPOSED: (
        transposed("2x2 stride 2 (quick)", (2, 4, 6, 6), 3, 2, stride=2),
        transposed("1-D 16 stride 8 (quick)", (2, 4, 10), 3, 16, stride=8, padding=4),
    ),
    "depthwise": (Conv("depthwise 3x3 (quick)", (2, 4, 8, 8), 4, 3, {"padding": 1, "groups": 4}),),
    "pointwise": (Conv("1x1 (quick)", (2, 4, 8, 8), 6, 1, {}),),
    "patches": (Conv("4x4 stride 4 (quick)", (2, 3, 8, 8), 6, 4, {"stride": 4}),),
    "line": (Conv("1-D 3 (quick)", (2, 4, 20), 6, 3, {"padding": 1}),),
}


def cases(quick: bool, tf32: bool) -> Iterator[Case]:
    for arithmetic in arithmetics(tf32):
        for kind, convs in (QUICK if quick else FORMS).items():
            yield from (replace(conv.case(arithmetic), kind=kind) for conv in convs)


def _window() -> Any:
    return importlib.import_module("tripy.engines.xla_window")


def names(kind: str) -> tuple[str, ...]:
    """The forms that a kind of convolution can be computed in."""
    return tuple(_window().TRANSPOSED) if kind == TRANSPOSED else ("direct", OTHERS[kind][1:])


@contextmanager
def forced(kind: str, form: str) -> Iterator[None]:
    """Convolutions of a kind in one form."""
    window = _window()
    attribute, value = ("FORM", form) if kind == TRANSPOSED else ("FORMS", _table(kind, form))
    before = getattr(window, attribute)
    setattr(window, attribute, value)
    try:
        yield
    finally:
        setattr(window, attribute, before)


def _table(kind: str, form: str) -> dict[str, dict[str, Any]]:
    """The table of forms with another one for a kind."""
    window = _window()
    changed = {kind: getattr(window, f"_{form}")}
    return {platform: forms | changed for platform, forms in window.FORMS.items()}
