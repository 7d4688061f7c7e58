"""OpenVINO, imported without its telemetry, which would fork the process and call home."""

import sys

_NAME = "openvino_telemetry"
_is_first = _NAME not in sys.modules
if _is_first:
    sys.modules[_NAME] = None  # type: ignore[assignment]  # OpenVINO takes its stub then
try:
    import openvino as ov
    from openvino import opset15 as op
finally:
    if _is_first:
        del sys.modules[_NAME]

__all__ = ["op", "ov"]
