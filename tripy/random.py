"""Random numbers: ``tp.random.uniform``, ``tp.random.normal`` and ``tp.random.randint``."""

from tripy.ops.random import normal as normal
from tripy.ops.random import randint as randint
from tripy.ops.random import uniform as uniform

__all__ = ["normal", "randint", "uniform"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    from tripy.errors import unknown_attribute

    raise unknown_attribute("tripy.random", name, __all__)
