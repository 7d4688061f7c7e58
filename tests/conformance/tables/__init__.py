"""The rows of every public operation, by name."""

from __future__ import annotations

from ..cases import Row
from . import attention, create, elementwise, index, matrix, movement, reduce, window

ROWS: dict[str, Row] = {
    row.name: row
    for table in (create, elementwise, reduce, movement, index, matrix, window, attention)
    for row in table.ROWS
}
