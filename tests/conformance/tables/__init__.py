"""The rows of every public operation, by name."""

from __future__ import annotations

from ..cases import Row
from . import create, elementwise, index, matrix, movement, quantize, reduce, window

ROWS: dict[str, Row] = {
    row.name: row
    for table in (create, elementwise, reduce, movement, index, matrix, window, quantize)
    for row in table.ROWS
}
