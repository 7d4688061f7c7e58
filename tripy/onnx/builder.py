"""Builds the nodes of an ONNX model: typed results, constants and symbolic sizes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tripy import dtypes, shapes
from tripy.shapes import Dim, Size

#: dtype → (number in the file, name in the operations' signatures).
TYPES: dict[str, tuple[int, str]] = {
    "float32": (onnx.TensorProto.FLOAT, "tensor(float)"),
    "float16": (onnx.TensorProto.FLOAT16, "tensor(float16)"),
    "bfloat16": (onnx.TensorProto.BFLOAT16, "tensor(bfloat16)"),
    "float64": (onnx.TensorProto.DOUBLE, "tensor(double)"),
    "float8": (onnx.TensorProto.FLOAT8E4M3FN, "tensor(float8e4m3fn)"),
    "int4": (onnx.TensorProto.INT4, "tensor(int4)"),
    "int8": (onnx.TensorProto.INT8, "tensor(int8)"),
    "uint8": (onnx.TensorProto.UINT8, "tensor(uint8)"),
    "int16": (onnx.TensorProto.INT16, "tensor(int16)"),
    "int32": (onnx.TensorProto.INT32, "tensor(int32)"),
    "int64": (onnx.TensorProto.INT64, "tensor(int64)"),
    "bool": (onnx.TensorProto.BOOL, "tensor(bool)"),
}
BY_NUMBER = {number: dtypes.BY_NAME[name] for name, (number, _) in TYPES.items()}
BY_TEXT = {text: name for name, (_, text) in TYPES.items()}

#: Where values of a type that an operation does not take are computed instead.
_WIDER = {
    "int4": ("int8", "int32"),
    "int8": ("int32",),
    "uint8": ("int32",),
    "int16": ("int32",),
    "bool": ("int32",),
    "float16": ("float32",),
    "bfloat16": ("float32",),
    "float8": ("float32",),
}
_SMALL = frozenset(["int4", "int8", "uint8", "int16"])
#: Operations that only move elements, and the types of theirs that onnxruntime has no kernel for.
_AVOIDED: dict[str, frozenset[str]] = {
    **dict.fromkeys(("Cast", "Concat", "Gather", "GatherElements", "Identity"), frozenset()),
    **dict.fromkeys(("Reshape", "Slice", "Transpose", "Unsqueeze"), frozenset()),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "ScatterElements"), frozenset()),
    "Expand": frozenset(["int16"]),
    "MaxPool": frozenset(["int16"]),
    "Pad": frozenset(["int16"]),
    "Where": frozenset(["bool", "int8", "int16"]),
}


class Refused(Exception):
    """A node that has no exact translation; carries the reason."""


class Ref(NamedTuple):
    """A named result in the model, and its dtype."""

    name: str
    dtype: str


class _Signature(NamedTuple):
    """The types of an operation: variables or fixed types, and what variables may be."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    least: int  # number of outputs
    allowed: dict[str, frozenset[str]]


@functools.cache
def _signature(op: str, opset: int) -> _Signature:
    try:
        schema = onnx.defs.get_schema(op, opset)
    except onnx.defs.SchemaError:
        raise Refused(f"{op} is not in opset {opset}") from None
    allowed = {
        c.type_param_str: frozenset(BY_TEXT[t] for t in c.allowed_type_strs if t in BY_TEXT)
        for c in schema.type_constraints
    }
    inputs = tuple(i.type_str for i in schema.inputs)
    outputs = tuple(o.type_str for o in schema.outputs)
    return _Signature(inputs, outputs, schema.min_output, allowed)


def _computed_in(op: str, dtype: str, allowed: frozenset[str]) -> str:
    """Return the dtype that an operation is to compute in; wide ones are exact for the others."""
    if len(allowed) > 1:
        allowed = allowed - _AVOIDED.get(op, _SMALL)
    if dtype in allowed:
        return dtype
    wider = next((kind for kind in _WIDER.get(dtype, ()) if kind in allowed), None)
    if wider is None:
        raise Refused(f"{op} of ONNX does not take {dtype}")
    return wider


class Builder:
    """Collects nodes and initializers; also what rows see."""

    def __init__(self, opset: int, symbols: dict[str, tuple[Ref, int | None]]) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.taken: set[str] = {ref.name for ref, _ in symbols.values()}
        self._symbols = symbols
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Ref] = {}
        self._sizes: dict[Size, Ref] = {}
        self._inputs_of_shapes: dict[str, Ref] = {}

    def fresh(self, hint: str) -> str:
        """Return a name that nothing has yet."""
        name, number = hint, 1
        while name in self.taken:
            name, number = f"{hint}_{number}", number + 1
        self.taken.add(name)
        return name

    # --- nodes -------------------------------------------------------------------------------

    def node(
        self,
        op: str,
        *inputs: Ref | None,
        result: int = 0,
        dtype: str | None = None,
        **attributes: Any,
    ) -> Ref:
        """Add a node and return one of its results, whose dtype may be left open by its inputs.

        Types that the operation does not take are computed in a wider one and cast back.
        """
        signature = _signature(op, self.opset)
        declared: dict[str, str] = {}
        used: dict[str, str] = {}
        names = []
        for i, ref in enumerate(inputs):
            if ref is None:
                names.append("")
                continue
            variable = signature.inputs[min(i, len(signature.inputs) - 1)]
            if variable in signature.allowed:
                kind = _computed_in(op, ref.dtype, signature.allowed[variable])
                declared.setdefault(variable, ref.dtype)
                ref = self.to(ref, used.setdefault(variable, kind))
            names.append(ref.name)
        output = signature.outputs[result]
        kind = used.get(output) or dtype or _only_type(signature, output)
        made = Ref(self.fresh(op.lower()), kind)
        count = max(signature.least, result + 1)
        outputs = [made.name if i == result else self.fresh("unused") for i in range(count)]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(op, names, outputs, **attributes))
        return self.to(made, declared.get(output, made.dtype))

    def to(self, ref: Ref, dtype: str) -> Ref:
        """Convert as ONNX does; out-of-range floats have no defined integer."""
        if ref.dtype == dtype:
            return ref
        self.check(ref.dtype)
        self.check(dtype)
        result = Ref(self.fresh("cast"), dtype)
        number = TYPES[dtype][0]
        self.nodes.append(helper.make_node("Cast", [ref.name], [result.name], to=number))
        return result

    def check(self, dtype: str) -> None:
        """Refuse dtypes that the opset does not have."""
        if dtype not in _signature("Cast", self.opset).allowed["T2"]:
            raise Refused(f"{dtype} needs a later opset than {self.opset}")

    # --- constants ---------------------------------------------------------------------------

    def constant(self, value: Any, dtype: str) -> Ref:
        """Return a small constant; equal ones are stored once."""
        array = np.asarray(value).astype(dtypes.to_numpy(dtypes.BY_NAME[dtype]))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer(array, dtype, "constant")
        return self._constants[key]

    def initializer(self, array: Any, dtype: str, hint: str) -> Ref:
        """Store an array in the model."""
        ref = Ref(self.fresh(hint), dtype)
        whole = np.ascontiguousarray(array).reshape(array.shape)
        self.initializers.append(numpy_helper.from_array(whole, ref.name))
        return ref

    def ints(self, values: Sequence[int]) -> Ref:
        """Return a rank-1 int64 constant."""
        return self.constant(np.array(values, np.int64).reshape(len(values)), "int64")

    # --- sizes -------------------------------------------------------------------------------

    def size(self, size: Size) -> Ref:
        """Return a rank-0 int64 result of a size."""
        if size not in self._sizes:
            self._sizes[size] = self._size(size)
        return self._sizes[size]

    def _size(self, size: Size) -> Ref:
        if not isinstance(size, Dim):
            return self.constant(size, "int64")
        total: Ref | None = None
        for monomial, coefficient in size.terms:
            factors = [self._atom(atom) for atom in monomial]
            if coefficient != 1 or not factors:
                factors.append(self.size(coefficient))
            term = functools.reduce(lambda a, b: self.node("Mul", a, b), factors)
            total = term if total is None else self.node("Add", total, term)
        return total if total is not None else self.size(0)

    def _atom(self, atom: shapes.Atom) -> Ref:
        if isinstance(atom, shapes.Symbol):
            return self._symbol(atom.name)
        return _SIZE_ROWS[atom.name](self, self.size(atom.left), self.size(atom.right))

    def _symbol(self, name: str) -> Ref:
        ref, dim = self._symbols[name]
        if dim is None:
            return self.to(ref, "int64")
        if ref.name not in self._inputs_of_shapes:
            self._inputs_of_shapes[ref.name] = self.node("Shape", ref)
        return self.node("Gather", self._inputs_of_shapes[ref.name], self.constant(dim, "int64"))

    def shape(self, sizes: Sequence[Size]) -> Ref:
        """Return a rank-1 int64 result of several sizes."""
        static = [size for size in sizes if isinstance(size, int)]
        if len(static) == len(sizes):
            return self.ints(static)
        first = self.ints([0])
        parts = [
            self.ints([size]) if isinstance(size, int)
            else self.node("Unsqueeze", self.size(size), first)
            for size in sizes
        ]  # fmt: skip
        return self.node("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    # --- integer division --------------------------------------------------------------------

    def remainder(self, lhs: Ref, rhs: Ref) -> Ref:
        """Return the remainder with the sign of the divisor, which is not 0."""
        return self.node("Mod", lhs, rhs)

    def quotient(self, lhs: Ref, rhs: Ref) -> Ref:
        """Return the quotient toward minus infinity; the divisor is neither 0 nor -1."""
        zero = self.constant(0, lhs.dtype)
        inexact = self.node("Not", self.node("Equal", self.node("Mod", lhs, rhs), zero))
        apart = self.node("Xor", self.node("Less", lhs, zero), self.node("Less", rhs, zero))
        below = self.to(self.node("And", inexact, apart), lhs.dtype)
        return self.node("Sub", self.node("Div", lhs, rhs), below)

    def choose(self, condition: Ref, lhs: Ref, rhs: Ref) -> Ref:
        """Return ``lhs`` where the condition is true, else ``rhs``."""
        return self.node("Where", condition, lhs, rhs)


def _only_type(signature: _Signature, output: str) -> str:
    if output in BY_TEXT:
        return BY_TEXT[output]
    (kind,) = signature.allowed[output]
    return kind


def _wrapped(b: Builder, position: Ref, size: Ref) -> Ref:
    negative = b.node("Less", position, b.size(0))
    return b.choose(negative, b.node("Add", position, size), position)


# How functions of symbolic sizes are computed on rank-0 int64 results.
_SIZE_ROWS: dict[str, Callable[[Builder, Ref, Ref], Ref]] = {
    "floordiv": Builder.quotient,
    "mod": Builder.remainder,
    "min": lambda b, x, y: b.node("Min", x, y),
    "max": lambda b, x, y: b.node("Max", x, y),
    "wrap": _wrapped,
    "broadcast": lambda b, x, y: b.choose(b.node("Equal", x, b.size(1)), y, x),
}
