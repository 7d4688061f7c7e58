"""OpenVINO, imported without what takes time or calls home.

Its telemetry would fork the process. Its converter of models takes half of the time that the import
takes, and is imported when somebody calls it.
"""

import sys
from typing import Any

_LEFT_OUT = ("openvino_telemetry", "openvino.tools.ovc")  # OpenVINO does without them
_absent = [name for name in _LEFT_OUT if name not in sys.modules]
for _name in _absent:
    sys.modules[_name] = None  # type: ignore[assignment]
try:
    import openvino as ov
    from openvino import opset15 as op
finally:
    for _name in _absent:
        del sys.modules[_name]


def _convert_model(*args: Any, **kwargs: Any) -> Any:
    """Convert a model of another library, as ``openvino.convert_model`` does."""
    from openvino.tools.ovc import convert_model

    ov.convert_model = convert_model
    return convert_model(*args, **kwargs)


if not hasattr(ov, "convert_model"):
    ov.convert_model = _convert_model

__all__ = ["op", "ov"]
