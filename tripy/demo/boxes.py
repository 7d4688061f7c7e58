"""Arithmetic on boxes: rows of (left, top, right, bottom) in pixels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def sizes(boxes: Floats) -> Floats:
    """Rows of (width, height)."""
    return boxes[:, 2:] - boxes[:, :2]


def regress(boxes: Floats, offsets: Floats) -> Floats:
    """Boxes whose edges are moved by offsets in units of the box size."""
    return boxes + offsets * np.tile(sizes(boxes), 2)


def square(boxes: Floats) -> Floats:
    """The smallest squares with the same centres that contain the boxes, at least one pixel."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = sizes(boxes).max(axis=1, keepdims=True).clip(1) / 2
    return np.hstack([centres - half, centres + half])


def overlaps(box: Floats, others: Floats, area: Literal["union", "min"]) -> Floats:
    """Intersections of one box with others, relative to their union or to the smaller box."""
    both = np.vstack([box[None], others])
    corners = np.hstack([np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])])
    shared = sizes(corners).clip(0).prod(axis=1)
    areas = sizes(both).prod(axis=1)
    whole = {"union": areas[0] + areas[1:] - shared, "min": np.minimum(areas[0], areas[1:])}
    shares: Floats = shared / np.maximum(whole[area], np.finfo(np.float64).tiny)
    return shares


def suppress(
    boxes: Floats, scores: Floats, threshold: float, area: Literal["union", "min"] = "union"
) -> npt.NDArray[np.intp]:
    """Non-maximum suppression: indices of the boxes to keep, best score first."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[overlaps(boxes[best], boxes[order], area) <= threshold]
    return np.array(kept, np.intp)
