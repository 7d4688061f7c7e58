"""The rows of every public operation, by name."""

from __future__ import annotations

from ..cases import Row
from . import (
    create,
    elementwise,
    functions,
    index,
    matrix,
    movement,
    patterns,
    reduce,
    statistics,
    window,
)

TABLES = (
    create, elementwise, functions, reduce, statistics, movement, patterns, index, matrix, window,
)  # fmt: skip
ROWS: dict[str, Row] = {row.name: row for table in TABLES for row in table.ROWS}
