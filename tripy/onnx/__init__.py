"""Reading and writing ONNX models; the onnx package is imported at the first call."""

from __future__ import annotations

from tripy.onnx.exporting import export as export
from tripy.onnx.loading import load as load

__all__ = ["export", "load"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    from tripy.errors import unknown_attribute

    raise unknown_attribute("tripy.onnx", name, __all__)
