"""Types for annotations of code that uses tripy."""

from tripy.tensor import IntLike as IntLike
from tripy.tensor import ShapeLike as ShapeLike
from tripy.tensor import TensorLike as TensorLike
