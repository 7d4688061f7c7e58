"""The rows of every public operation, by name; every module here has some in ``ROWS``."""

from __future__ import annotations

import importlib
import pkgutil

from ..cases import Row

_NAMES = sorted(module.name for module in pkgutil.iter_modules(__path__))
_TABLES: list[list[Row]] = [importlib.import_module(f"{__name__}.{name}").ROWS for name in _NAMES]
ROWS: dict[str, Row] = {row.name: row for table in _TABLES for row in table}
