"""Reading and writing ONNX models; nothing of it is imported before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tripy.onnx.exporting import export as export
    from tripy.onnx.loading import load as load

__all__ = ["export", "load"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name == "export":
        from tripy.onnx.exporting import export

        return export
    if name == "load":
        from tripy.onnx.loading import load

        return load
    from tripy.errors import unknown_attribute

    raise unknown_attribute("tripy.onnx", name, __all__)
