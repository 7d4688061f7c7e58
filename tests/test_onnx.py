"""tp.onnx: exported models run elsewhere as here, and loaded ones here as elsewhere."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from conformance.cases import NUMPY
from conformance.running import DTYPES, Numbered, _described, _flat, _open, _tensors, group
from conformance.tables import ROWS as CONFORMANCE
from onnx import TensorProto, helper, numpy_helper
from test_bad_values import BAD
from test_docs import run_examples

import tripy as tp
from tripy.onnx.exporting import NEWEST, OLDEST
from tripy.onnx.loading import _tables
from tripy.ops.registry import PRIMITIVES
from tripy.verify import TOLERANCES

Array = np.ndarray[Any, np.dtype[Any]]
batch = tp.NamedDimension("batch", 1, 2, 8)
_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_options.log_severity_level = 4


def run_elsewhere(model: Any, *inputs: Array) -> list[Array]:
    """The results of onnxruntime, of a path or a model."""
    source = model if isinstance(model, str) else model.SerializeToString()
    session = onnxruntime.InferenceSession(source, _options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def run_here(module: Any, *inputs: Any) -> list[Array]:
    results = module(*(tp.Tensor(x) for x in inputs))
    return [t.numpy() for t in (results if isinstance(results, tuple) else (results,))]


def assert_equal(received: Array, expected: Array) -> None:
    assert (received.dtype, received.shape) == (expected.dtype, expected.shape)
    rtol, atol = TOLERANCES.get(str(expected.dtype), (0.0, 0.0))
    if expected.dtype.kind in "iub":
        np.testing.assert_array_equal(received, expected)
    else:
        wide = (x.astype(np.float64) for x in (received, expected))
        np.testing.assert_allclose(*wide, rtol=rtol, atol=atol)


def check_export(path: str, function: Callable[..., Any], args: list[Any], *inputs: Array) -> None:
    """Export; the file is valid, and gives here and elsewhere what the function gives."""
    tp.onnx.export(function, path, args=args)
    onnx.checker.check_model(path, full_check=True)
    expected = run_here(lambda *x: tuple(_flat(function(*x))), *inputs)
    for results in (run_elsewhere(path, *inputs), run_here(tp.onnx.load(path), *inputs)):
        assert len(results) == len(expected)
        for received, wanted in zip(results, expected):
            assert_equal(received, wanted)


# Export ------------------------------------------------------------------------------------------

# What onnxruntime computes in another way: sums of large integers.
INEXACT = {(name, "int32") for name in ("sum", "prod", "mean", "cumsum", "cumprod")}


def exported_cases() -> list[tuple[str, str]]:
    """One float, one integer and the bool dtype of every operation of the conformance suite."""
    return [
        (name, dtype)
        for name, row in CONFORMANCE.items()
        for dtype in ("float32", "int32", "bool")
        if row.computes and dtype in row.accepts and (name, dtype) not in INEXACT
    ]


def has_nan(array: Array) -> bool:
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


def plain(item: Numbered) -> bool:
    """Whether a case has no special values, and compiles."""
    case = item.case
    specs = [spec for spec in case.inputs if spec.values in ("special", "moderate", "convertible")]
    if specs or case.out in ("float8", "int4", "bfloat16") or any(map(has_nan, item.inputs())):
        return False
    return not case.survives and {"eager", "reference dynamic"} <= set(case.modes)


@pytest.mark.parametrize(("name", "dtype"), exported_cases())
def test_every_operation_is_exported(name: str, dtype: str, tmp_path: Path) -> None:
    items = [item for item in group(name, dtype) if plain(item)]
    for item, dynamic in [(item, item is items[0]) for item in [*items[:1], *items[-1:]]]:
        arrays = item.inputs()

        def together(*tensors: Any, item: Any = item, arrays: Any = arrays) -> list[Any]:
            return _flat(item.case.run(*_tensors(item, arrays, iter(tensors))))

        opened = _open(item, arrays)
        args = [
            tp.InputInfo(_described(item, spec, array.shape, dynamic), DTYPES[spec.dtype or dtype])
            for spec, array in opened
        ]
        message = refusal(functools.partial(tp.onnx.export, together, tmp_path / "m", args=args))
        if message:
            refused = set(re.findall(r"(?m)^    (\w+) \(.*\), \d+ times?: ", message))
            assert refused
            assert refused <= set(PRIMITIVES)
        else:
            check_export(str(tmp_path / "m"), together, args, *(a for _, a in opened))


def refusal(call: Callable[[], Any]) -> str:
    """The message of the TripyException that a call raises, if it raises one."""
    try:
        call()
    except tp.TripyException as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float16", "float64", "float8", "int4", "int8", "bool"]
)
def test_constants_keep_their_dtype(dtype: str, tmp_path: Path) -> None:
    elements = np.array([[0, 1, 2], [3, 4, 5]]).astype(NUMPY[dtype])
    path = str(tmp_path / "m.onnx")
    tp.onnx.export(lambda: tp.Parameter(elements), path)
    onnx.checker.check_model(path, full_check=True)
    (received,) = run_here(tp.onnx.load(path))
    assert received.dtype == elements.dtype
    np.testing.assert_array_equal(received.astype(float), elements.astype(float))


@pytest.mark.parametrize("opset", [OLDEST, 20, 21, NEWEST])
def test_opsets(opset: int, tmp_path: Path, rng: np.random.Generator) -> None:
    def network(x: tp.Tensor) -> tp.Tensor:
        y = tp.gelu(x) + tp.gelu(x, approximate="tanh")
        return tp.mean(tp.maxpool(y, (2, 2)), dim=(2, 3)) // 0.25

    path, x = str(tmp_path / "m.onnx"), rng.standard_normal((1, 2, 4, 4)).astype(np.float32)
    tp.onnx.export(network, path, args=[tp.InputInfo(x.shape, tp.float32)], opset=opset)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [v.version for v in model.opset_import] == [opset]
    assert_equal(run_elsewhere(path, x)[0], run_here(network, x)[0])


class Network(tp.Module):
    """A small convolutional network with named weights, some of which compute nothing constant."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.stem = tp.Conv(3, 4, (3, 3), padding="same", stride=2)
        self.norm = tp.BatchNorm(4)
        self.head = tp.Linear(4, 5)
        shapes = {name: tuple(t.shape) for name, t in self.state_dict().items()}
        self.load_state_dict(
            {n: rng.uniform(0.1, 0.5, shape).astype(np.float32) for n, shape in shapes.items()}
        )

    def forward(self, image: tp.Tensor) -> dict[str, tp.Tensor]:
        features = tp.relu(self.norm(self.stem(image)))
        pooled = tp.mean(features, dim=(2, 3))
        flat = tp.reshape(features, (image.shape[0], -1))
        return {"scores": tp.softmax(self.head(pooled), dim=-1), "size": flat.shape[1], "in": image}


def test_dynamic_network_keeps_names_and_sizes(tmp_path: Path, rng: np.random.Generator) -> None:
    network, path = Network(rng), str(tmp_path / "m.onnx")
    side = (4, 16, 64)
    tp.onnx.export(network, path, args=[tp.InputInfo((batch, 3, side, side), tp.float32)])
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {t.name for t in model.graph.initializer} >= set(network.state_dict())
    (image,) = model.graph.input
    assert image.name == "image"
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert dims == ["batch", 3, "image.shape[2]", "image.shape[3]"]
    assert [o.name for o in model.graph.output] == ["output.scores", "output.size", "output.in"]
    for shape in ((1, 3, 16, 16), (5, 3, 21, 8)):
        x = rng.standard_normal(shape).astype(np.float32)
        expected = [np.asarray(v, np.int32) if isinstance(v, int) else v.numpy()
                    for v in network(tp.Tensor(x)).values()]  # fmt: skip
        for received, wanted in zip(run_elsewhere(path, x), expected, strict=True):
            assert_equal(received, wanted)


def test_executable_is_exported(tmp_path: Path, rng: np.random.Generator) -> None:
    infos = [tp.InputInfo((batch, 3), tp.float32), tp.DimensionInputInfo((1, 2, 4))]

    def function(x: tp.Tensor, count: Any) -> tuple[tp.Tensor, ...]:
        wide = tp.concatenate([x, tp.ones((count, 3))], dim=0)
        return wide, tp.arange(x.shape[0] * 2 + count, dtype=tp.int32), x[::-1, 1:]

    executable, path = tp.compile(function, args=infos), str(tmp_path / "m.onnx")
    tp.onnx.export(executable, path)
    x = rng.standard_normal((4, 3)).astype(np.float32)
    expected = executable(x, 3)
    for received, wanted in zip(
        run_elsewhere(path, x, np.array(3, np.int32)), expected, strict=True
    ):
        assert_equal(received, wanted.numpy())


def test_large_weights_go_to_a_second_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr("tripy.onnx.exporting._LARGEST_FILE", 1000)
    layer, path = tp.Linear(30, 30), tmp_path / "m.onnx"
    shapes = {name: tuple(t.shape) for name, t in layer.state_dict().items()}
    layer.load_state_dict({n: rng.random(s).astype(np.float32) for n, s in shapes.items()})
    x = rng.random((2, 30)).astype(np.float32)
    check_export(str(path), layer, [tp.InputInfo((2, 30), tp.float32)], x)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]


def test_inputs_constants_and_repeats_as_results(tmp_path: Path) -> None:
    def function(x: tp.Tensor) -> list[tp.Tensor]:
        y = x + 1.0
        return [x, y, y, tp.ones((2,)), x]

    path, x = str(tmp_path / "m.onnx"), np.zeros((2,), np.float32)
    check_export(path, function, [tp.InputInfo((2,), tp.float32)], x)


# Load: every row ---------------------------------------------------------------------------------


class Op(NamedTuple):
    """A model of one node: its operation, inputs and attributes."""

    op: str
    inputs: tuple[Any, ...]  # arrays; numbers and lists of them are constants; None is left out
    attributes: Mapping[str, Any] = MappingProxyType({})
    opset: int = 21
    outputs: int = 1
    needs: tuple[str, ...] = ()  # functions of the package


def single(case: Op) -> Any:
    """The model, whose first inputs are inputs and whose lists are initializers."""
    names, inputs, constants = [], [], []
    for i, value in enumerate(case.inputs):
        names.append("" if value is None else f"x{i}")
        if isinstance(value, (list, int, float)):
            kind = np.int64 if np.asarray(value).dtype.kind == "i" else np.float32
            constants.append(numpy_helper.from_array(np.array(value, kind), names[-1]))
        elif value is not None:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            inputs.append(helper.make_tensor_value_info(names[-1], kind, value.shape))
    outputs = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, names, outputs, **case.attributes)
    return model_of([node], inputs, outputs, constants, case.opset)


def model_of(
    nodes: list[Any], inputs: list[Any], outputs: list[str], constants: Any = (), opset: int = 21
) -> Any:
    results = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "g", inputs, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    if not any(o.type.WhichOneof("value") for o in graph.output):
        model = onnx.shape_inference.infer_shapes(model)
    return model


_rng = np.random.default_rng(7)


def f(*shape: int) -> Array:
    return np.asarray(_rng.standard_normal(shape), np.float32)


def u(*shape: int) -> Array:
    return np.asarray(_rng.uniform(0.1, 0.9, shape), np.float32)


def i(*values: int) -> Array:
    return np.array(values, np.int64)


def b(*shape: int) -> Array:
    return _rng.random(shape) < 0.5


ints, divisors = np.array([7, -7, 7, -7, 0], np.int32), np.array([2, 2, -2, -2, 3], np.int32)
image, vector = f(2, 4, 6, 6), f(2, 5)
bools = b(2, 3), b(2, 3)
special = np.array([1.0, np.nan, np.inf, -np.inf], np.float32)
conv_weights = f(6, 2, 3, 3), f(6)
uint8s, zero_point = np.array([0, 128, 255], np.uint8), np.array(128, np.uint8)
grid8 = np.array([3, -7, 0, 127], np.int8)

OPS: list[Op] = [
    *(Op(op, (f(2, 3),)) for op in (
        "Abs", "Neg", "Floor", "Ceil", "Round", "Sign", "Exp", "Sin", "Cos", "Tan", "Atan", "Sinh",
        "Cosh", "Tanh", "Erf", "Sigmoid", "Relu", "Softplus", "Softsign", "Mish", "HardSwish",
        "Gelu", "LeakyRelu", "Elu", "Selu", "HardSigmoid", "Identity", "Dropout",
    )),
    *(Op(op, (u(2, 3),)) for op in ("Log", "Sqrt", "Asin", "Acos", "Atanh", "Reciprocal")),
    Op("Gelu", (f(4),), {"approximate": "tanh"}),
    Op("LeakyRelu", (f(4),), {"alpha": 0.3}),
    Op("Elu", (f(4),), {"alpha": 0.5}),
    Op("HardSigmoid", (f(4),), {"alpha": 0.3, "beta": 0.4}),
    Op("PRelu", (f(2, 3, 4), u(3, 1))),
    Op("IsNaN", (special,)),
    *(Op("IsInf", (special,), {"detect_positive": p, "detect_negative": n})
      for p, n in ((1, 1), (1, 0), (0, 1))),
    Op("Not", (b(3),)), Op("BitwiseNot", (ints,)),
    *(Op(op, (f(2, 3), f(3))) for op in (
        "Add", "Sub", "Mul", "Div", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual",
    )),
    *(Op(op, (f(2, 3), f(3), f(1))) for op in ("Min", "Max", "Sum", "Mean")),
    *(Op(op, bools) for op in ("And", "Or", "Xor")),
    *(Op(op, (ints, divisors)) for op in ("Div", "Mod", "BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    Op("Mod", (ints, divisors), {"fmod": 1}), Op("Mod", (f(5) * 9, f(5)), {"fmod": 1}),
    Op("Pow", (u(3), f(3))), Op("Pow", (u(3), [3])), Op("Pow", (ints, [2])),
    Op("Pow", (np.array([4, 9], np.int32), [0.5])),
    Op("Where", (b(2, 3), f(3), f(2, 1))),
    Op("Clip", (f(5), [-0.5], [0.5])), Op("Clip", (f(5), None, [0.5])),
    Op("Clip", (f(5),), {"min": -0.5}, opset=6),
    Op("Cast", (f(5) * 9,), {"to": TensorProto.INT32}),
    Op("Cast", (i(1, 0),), {"to": TensorProto.BOOL}),
    Op("Cast", (b(3),), {"to": TensorProto.INT64}),
    Op("CastLike", (f(5), ints)),
    *(Op(op, (u(2, 3, 4), [0, -1]), {"keepdims": k}, opset=18) for k in (0, 1) for op in (
        "ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "ReduceLogSumExp",
    )),
    Op("ReduceMean", (f(2, 3),), {"axes": [1]}, opset=13), Op("ReduceMax", (f(2, 3),)),
    Op("ReduceSum", (f(2, 3),), {"noop_with_empty_axes": 1}),
    Op("ArgMax", (f(2, 3),)), Op("ArgMin", (f(2, 3),), {"axis": -1, "keepdims": 0}),
    Op("MatMul", (f(2, 3, 4), f(4, 5))), Op("MatMul", (f(4), f(4))),
    Op("Gemm", (f(3, 2), f(5, 3)), {"transA": 1, "transB": 1}),
    Op("Gemm", (f(2, 3), f(3, 5), f(5)), {"alpha": 0.5, "beta": 2.0}),
    Op("Einsum", (f(2, 3), f(3, 4)), {"equation": "ij,jk->ki"}, needs=("einsum",)),
    Op("Shape", (f(2, 3),)), Op("Shape", (f(2, 3, 4),), {"start": 1, "end": -1}),
    Op("Size", (f(2, 3),)),
    Op("ConstantOfShape", ([2, 3],)),
    Op("ConstantOfShape", ([2],), {"value": numpy_helper.from_array(i(7))}),
    Op("Range", (1, 9, 3)),
    Op("Range", (0.5, 2.0, 0.5)),
    Op("Reshape", (f(2, 3, 4), [0, -1])), Op("Reshape", (f(2, 0), [0, 3]), {"allowzero": 1}),
    Op("Flatten", (f(2, 3, 4),)), Op("Flatten", (f(2, 3, 4),), {"axis": -1}),
    Op("Transpose", (f(2, 3, 4),)), Op("Transpose", (f(2, 3, 4),), {"perm": [1, 2, 0]}),
    Op("Squeeze", (f(1, 3, 1), [0])), Op("Squeeze", (f(1, 3, 1),)),
    Op("Squeeze", (f(1, 3, 1),), {"axes": [-1]}, opset=11),
    Op("Unsqueeze", (f(2, 3), [0, -1])), Op("Unsqueeze", (f(3),), {"axes": [1]}, opset=11),
    Op("Concat", (f(2, 3), f(2, 1)), {"axis": -1}),
    Op("Split", (f(5, 2),), {"num_outputs": 2}, outputs=2),
    Op("Split", (f(2, 5), [2, 3]), {"axis": 1}, outputs=2),
    Op("Split", (f(4, 2),), {"split": [1, 3]}, opset=11, outputs=2),
    Op("Slice", (f(5, 6), [1, -2], [2**63 - 1, -(2**63)], [0, 1], [2, -1])),
    Op("Slice", (f(5, 6), [1], [3])),
    Op("Slice", (f(5, 6),), {"starts": [1], "ends": [-1], "axes": [1]}, opset=9),
    Op("Expand", (f(3, 1), [2, 1, 4])), Op("Expand", (f(3, 4), [1])),
    Op("Tile", (f(2, 3), [2, 1]), needs=("tile",)),
    Op("Pad", (f(2, 3), [0, 1, 2, 0], [1.5])), Op("Pad", (f(4, 4), [1, -1, -2, 2])),
    Op("Pad", (f(2, 3), [0, 1, 0, 1]), {"mode": "reflect"}),
    Op("Pad", (f(2, 3), [1, 2], None, [-1]), {"mode": "edge"}),
    Op("Pad", (f(2, 3),), {"pads": [0, 1, 0, 1], "value": 2.0}, opset=10),
    Op("Gather", (f(4, 3), i(0, -1))), Op("Gather", (f(4, 3), [1]), {"axis": 1}),
    Op("GatherElements", (f(3, 4), np.array([[0, -1], [1, 2]])), {"axis": 1}),
    Op("ScatterElements", (f(3, 3), np.array([[0, 2]]), f(1, 2)), {"axis": 1}, needs=("scatter",)),
    Op("ScatterElements", (f(3), i(1, 1), f(2)), {"reduction": "add"}, needs=("scatter",)),
    Op("OneHot", (i(0, -1, 2), [3], [0.5, 2.0])),
    Op("OneHot", (i(0, 1), [3], [0.0, 1.0]), {"axis": 0}),
    *(Op("CumSum", (f(2, 3), [1]), {"exclusive": e, "reverse": r}, needs=("cumsum", "flip"))
      for e in (0, 1) for r in (0, 1)),
    Op("TopK", (f(2, 5), [2]), outputs=2, needs=("topk",)),
    Op("TopK", (f(5, 2), [2]), {"axis": 0, "largest": 0}, outputs=2, needs=("topk",)),
    Op("Trilu", (f(3, 4),), needs=("triu",)), Op("Trilu", (f(3, 4), [1]), {"upper": 0},
                                                   needs=("tril",)),
    *(Op(op, (f(2, 3, 4),), {"axis": axis}, opset=opset) for op in ("Softmax", "LogSoftmax")
      for axis, opset in ((-1, 13), (1, 13), (1, 11))),
    Op("Conv", (image, *conv_weights), {"group": 2, "strides": [2, 1], "pads": [1, 0, 0, 1]}),
    *(Op("Conv", (image, f(3, 4, 2, 2)), {"auto_pad": mode, "strides": [2, 1]})
      for mode in ("SAME_UPPER", "SAME_LOWER", "VALID")),
    Op("Conv", (f(1, 2, 7), f(3, 2, 3)), {"dilations": [2]}),
    Op("ConvTranspose", (image, f(4, 3, 3, 3), f(6)), {
        "group": 2, "strides": [2, 2], "pads": [1, 1, 0, 0], "output_padding": [1, 0]}),
    Op("MaxPool", (image,), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    Op("MaxPool", (image,), {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}),
    Op("AveragePool", (image,), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    Op("AveragePool", (image,), {
        "kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2], "count_include_pad": 1}),
    Op("GlobalAveragePool", (image,)), Op("GlobalMaxPool", (image,)),
    Op("BatchNormalization", (image, u(4), f(4), f(4), u(4)), {"epsilon": 1e-3}),
    Op("LayerNormalization", (f(2, 3, 4), f(4), f(4))),
    Op("LayerNormalization", (f(2, 3, 4), f(3, 4)), {"axis": 1}, outputs=3),
    Op("InstanceNormalization", (image, f(4), f(4))),
    Op("GroupNormalization", (image, f(4), f(4)), {"num_groups": 2}),
    Op("DepthToSpace", (f(1, 8, 2, 3),), {"blocksize": 2}),
    Op("DepthToSpace", (f(1, 8, 2, 3),), {"blocksize": 2, "mode": "CRD"}),
    Op("SpaceToDepth", (f(1, 2, 4, 6),), {"blocksize": 2}),
    *(Op("Resize", (f(1, 2, 3, 4), None, [1.0, 1.0, 2.0, 2.0]), options, needs=("resize",))
      for options in (
          {"mode": "nearest"},
          {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
           "nearest_mode": "floor"},
          {"mode": "linear"}, {"mode": "cubic"},
          {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
      )),
    Op("Resize", (f(1, 2, 4, 4), None, None, [1, 2, 7, 3]), {
        "mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
       needs=("resize",)),
    Op("Upsample", (f(1, 1, 2, 3), [1.0, 1.0, 2.0, 3.0]), opset=9, needs=("resize",)),
    Op("QuantizeLinear", (f(2, 3) * 90, np.array(0.7, np.float32), zero_point)),
    Op("QuantizeLinear", (f(2, 3) * 90, np.array([0.5, 0.7, 1], np.float32), np.zeros(3, np.int8)),
       needs=("quantize",)),
    Op("DequantizeLinear", (uint8s, np.array(0.7, np.float32), zero_point)),
    Op("DequantizeLinear", (grid8, np.array(0.7, np.float32)), needs=("dequantize",)),
    Op("DequantizeLinear", (ints, np.array(0.5, np.float32))),
]  # fmt: skip


@pytest.mark.parametrize("case", OPS, ids=lambda c: f"{c.op} {c.attributes}"[:60])
def test_every_row_computes_what_onnxruntime_computes(case: Op) -> None:
    missing = [name for name in case.needs if not hasattr(tp, name)]
    if missing:
        pytest.skip(f"there is no tp.{missing[0]} yet")
    model = single(case)
    inputs = [x for x in case.inputs if x is not None and isinstance(x, (np.ndarray, np.generic))]
    module = tp.onnx.load(model)
    received = run_here(module, *inputs)
    for result, expected in zip(received, run_elsewhere(model, *inputs), strict=True):
        assert_equal(result, expected)


def test_every_row_is_tested() -> None:
    assert {case.op for case in OPS} == set(_tables()[0])


# Load: models ------------------------------------------------------------------------------------


def value(name: str, *shape: Any, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def shape_model() -> Any:
    """(N, L, 6) to (L, N * 2, 3) and back, with shapes that int64 nodes compute."""
    constants = {"zero": i(0), "one": i(1), "two": np.array(2), "three": i(3), "minus": i(-1)}
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Slice", ["s", "one", "two_"], ["l"]),
        helper.make_node("Mul", ["n", "two"], ["n2"]),
        helper.make_node("Concat", ["l", "n2", "three"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
        helper.make_node(
            "ConstantOfShape", ["three_"], ["ones"], value=numpy_helper.from_array(i(1))
        ),
        helper.make_node("Mul", ["ones", "minus"], ["keep"]),
        helper.make_node("Equal", ["target", "keep"], ["is_kept"]),
        helper.make_node("Where", ["is_kept", "ones", "target"], ["wide"]),
        helper.make_node("Expand", ["row", "wide"], ["rows"]),
        helper.make_node("Add", ["y", "rows"], ["z"]),
        helper.make_node("Squeeze", ["l", "zero"], ["length"]),
        helper.make_node("Range", ["first", "length", "step"], ["places"]),
        helper.make_node("Cast", ["places"], ["places_"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["n2", "two"], ["half"]),
        helper.make_node("Cast", ["half"], ["half_"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["places_", "half_"], ["p"]),
    ]
    constants |= {"two_": i(2), "three_": i(3), "first": np.array(0), "step": np.array(1)}
    constants["row"] = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    stored = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return model_of(nodes, [value("x", "n", "l", 6)], ["z", "places", "p", "half"], stored)


def test_shapes_are_computed_from_dynamic_sizes(rng: np.random.Generator) -> None:
    model = shape_model()
    module = tp.onnx.load(model)
    named = [tp.NamedDimension(name, 1, 2, 8) for name in ("n", "l")]
    info = tp.InputInfo((*named, 6), tp.float32)
    floats = tp.compile(lambda x: module(x)[0], args=[info], engine="openvino")
    for shape in ((1, 1, 6), (2, 3, 6), (5, 4, 6)):
        x = rng.standard_normal(shape).astype(np.float32)
        expected = run_elsewhere(model, x)
        for received, wanted in zip(run_here(module, x), expected, strict=True):
            assert_equal(received, wanted)
        assert_equal(floats(x).numpy(), expected[0])


def linear_model() -> Any:
    weights = {"fc.weight": f(3, 2), "fc.bias": f(2)}
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    node = helper.make_node("Gemm", ["input.1", *weights], ["y"], name="fc")
    return model_of([node], [value("input.1", "batch", 3)], ["y"], stored)


def test_module_of_a_model(rng: np.random.Generator) -> None:
    module = tp.onnx.load(linear_model())
    info = tp.InputInfo((tp.NamedDimension("batch", 1, 1, 2**31 - 1), 3), tp.float32)
    assert isinstance(module, tp.Module)
    assert list(module.state_dict()) == ["fc.weight", "fc.bias"]
    assert module.input_infos == {"input.1": info}
    assert module.input_infos["input.1"].dimension_names == {0: "batch"}
    x = tp.Tensor(rng.standard_normal((2, 3)).astype(np.float32))
    expected = module(x).numpy()
    assert_equal(module(input_1=x).numpy(), expected)
    assert_equal(module(**{"input.1": x}).numpy(), expected)
    executable = tp.compile(module, args=list(module.input_infos.values()))
    np.testing.assert_allclose(executable(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    module.load_state_dict({"fc.weight": np.zeros((3, 2), np.float32)}, strict=False)
    assert_equal(module(x).numpy(), np.broadcast_to(module.state_dict()["fc.bias"].numpy(), (2, 2)))


def test_load_of_a_path_bytes_or_model(tmp_path: Path) -> None:
    model, path = linear_model(), tmp_path / "m.onnx"
    onnx.save(model, path)
    x = f(1, 3)
    (expected,) = run_here(tp.onnx.load(model), x)
    for source in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        assert_equal(run_here(tp.onnx.load(source), x)[0], expected)


def test_weights_in_a_file_beside_the_model(tmp_path: Path) -> None:
    model, path, x = linear_model(), str(tmp_path / "m.onnx"), f(1, 3)
    (expected,) = run_here(tp.onnx.load(model), x)
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=0)
    assert_equal(run_here(tp.onnx.load(path), x)[0], expected)
    (tmp_path / "m.data").unlink()
    with pytest.raises(tp.TripyFileError):
        tp.onnx.load(path)


def test_functions_of_a_model_are_inlined() -> None:
    domain = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    body = [helper.make_node("Mul", ["a", "a"], ["c"])]
    square = helper.make_function("own", "Square", ["a"], ["c"], body, domain[:1])
    node = helper.make_node("Square", ["x"], ["y"], domain="own")
    graph = helper.make_graph([node], "g", [value("x", 2)], [value("y", 2)])
    model = helper.make_model(graph, functions=[square], opset_imports=domain, ir_version=10)
    assert run_here(tp.onnx.load(model), np.array([2, 3], np.float32))[0].tolist() == [4, 9]


def test_constants_of_every_form() -> None:
    forms: dict[str, Any] = {"value": numpy_helper.from_array(u(2)), "value_float": 0.5}
    forms |= {"value_floats": [0.5, 2.0], "value_int": 3, "value_ints": [1, 2]}
    nodes = [
        helper.make_node("Constant", [], [name], **{name: form}) for name, form in forms.items()
    ]
    model = model_of(nodes, [], list(forms))
    for received, expected in zip(run_here(tp.onnx.load(model)), run_elsewhere(model), strict=True):
        assert_equal(received, expected)


def torch_model(tmp_path: Path, module: Any, inputs: tuple[Any, ...], dynamic: Any) -> Any:
    torch = pytest.importorskip("torch")
    path = str(tmp_path / "torch.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter
        torch.onnx.export(
            module.eval(), inputs, path, dynamo=False, opset_version=17,
            input_names=list(dynamic), dynamic_axes=dynamic,
        )  # fmt: skip
    return tp.onnx.load(path)


def test_network_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.PReLU(8),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish(), nn.MaxPool2d(3, 2, 1),
        nn.ConvTranspose2d(8, 4, 2, stride=2), nn.ReLU6(), nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5), nn.Softmax(-1),
    )  # fmt: skip
    dynamic = {"image": {0: "batch", 2: "height", 3: "width"}}
    module = torch_model(tmp_path, network, (torch.randn(2, 3, 16, 16),), dynamic)
    side = (8, 16, 64)
    executable = tp.compile(module, args=[tp.InputInfo((batch, 3, side, side), tp.float32)])
    assert executable.engine == "openvino"
    for shape in ((1, 3, 16, 16), (3, 3, 24, 20)):
        x = torch.randn(*shape)
        expected = network(x).detach().numpy()
        assert_equal(run_here(module, x.numpy())[0], expected)
        assert_equal(executable(x.numpy()).numpy(), expected)


def test_transformer_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(20, 16), nn.Embedding(12, 16)
            self.qkv, self.norm = nn.Linear(16, 48), nn.LayerNorm(16)
            self.register_buffer("order", torch.arange(12)[None])
            self.inner = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

        def forward(self, ids: Any) -> Any:
            count, length = ids.shape
            x = self.tokens(ids) + self.places(torch.arange(length))[None]
            x = x + self.places(self.order[:, :length])
            qkv = self.qkv(self.norm(x)).view(count, length, 3, 2, 8).permute(2, 0, 3, 1, 4)
            query, key, values = qkv.unbind(0)
            found = nn.functional.scaled_dot_product_attention(query, key, values)
            x = x + found.transpose(1, 2).reshape(count, length, 16)
            return x + self.inner(x)

    block = Block()
    dynamic = {"ids": {0: "batch", 1: "length"}}
    module = torch_model(tmp_path, block, (torch.randint(0, 20, (2, 5)),), dynamic)
    assert module.input_infos["ids"].dtype is tp.int64
    length = tp.NamedDimension("length", 1, 4, 12)
    executable = tp.compile(
        module, args=[tp.InputInfo((batch, length), tp.int64)], engine="reference"
    )
    fast = tp.compile(module, args=[tp.InputInfo((batch, length), tp.int32)], engine="openvino")
    for shape in ((1, 4), (3, 9)):
        ids = torch.randint(0, 20, shape)
        expected = block(ids).detach().numpy()
        assert_equal(run_here(module, ids.numpy())[0], expected)
        assert_equal(executable(ids.numpy()).numpy(), expected)
        assert_equal(fast(ids.numpy().astype(np.int32)).numpy(), expected)


# Errors ------------------------------------------------------------------------------------------


def test_everything_unsupported_is_listed() -> None:
    nodes = [
        helper.make_node("LSTM", ["x"], ["a"], name="first"),
        helper.make_node("LSTM", ["a"], ["b"], name="second"),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2], dilations=[2], name="pool"),
        helper.make_node("Own", ["c"], ["d"], domain="com.example", name="mine"),
        helper.make_node("Cast", ["d"], ["e"], to=TensorProto.STRING, name="cast"),
    ]
    graph = helper.make_graph(nodes, "g", [value("x", 2, kind=TensorProto.UINT16)], [value("e")])
    with pytest.raises(tp.TripyUnsupportedError) as caught:
        tp.onnx.load(helper.make_model(graph))
    listed = re.findall(r"(?m)^    (.+?), (\d+) times?: (.+)$", str(caught.value))
    assert listed == [
        ("LSTM", "2", "first; second"), ("MaxPool with dilations", "1", "pool"),
        ("com.example.Own", "1", "mine"), ("Cast with a dtype that tripy lacks", "1", "cast"),
        ("the dtype uint16", "1", "x"),
    ]  # fmt: skip


def test_everything_that_is_not_exported_is_listed(tmp_path: Path) -> None:
    def function(x: tp.Tensor) -> tp.Tensor:
        for _ in range(2):
            x = tp.maxpool(x, (2,))
        return tp.avgpool(x, (2,)) // 2

    with pytest.raises(tp.TripyUnsupportedError) as caught:
        tp.onnx.export(function, tmp_path / "m", args=[tp.InputInfo((1, 1, 9), tp.int64)])
    assert re.findall(r"(?m)^    (\w+) \(.+\), (\d) times?: .*test_onnx.py", str(caught.value)) == [
        ("maxpool", "2"), ("avgpool", "1"),
    ]  # fmt: skip
    assert not (tmp_path / "m").exists()


def test_old_opsets_refuse_what_they_lack(tmp_path: Path) -> None:
    def function(x: tp.Tensor, y: tp.Tensor) -> list[tp.Tensor]:
        return [tp.maxpool(x, (2,), stride=2, padding=1, ceil_mode=True), y]

    args = [tp.InputInfo((1, 1, 5), tp.float32), tp.InputInfo((2,), tp.int4)]
    with pytest.raises(tp.TripyUnsupportedError) as caught:
        tp.onnx.export(function, tmp_path / "m", args=args, opset=18)
    assert "a value of int4 (int4 needs a later opset than 18), 1 time" in str(caught.value)
    assert "maxpool (windows that start in the padding" in str(caught.value)
    tp.onnx.export(function, tmp_path / "m", args=args, opset=22)


def test_sizes_that_depend_on_values_are_refused() -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="late")
    inputs = [value("x", 6), value("shape", 2, kind=TensorProto.INT64)]
    module = tp.onnx.load(model_of([node], inputs, ["y"]))
    assert run_here(module, f(6), i(2, 3))[0].shape == (2, 3)  # known in eager mode
    with pytest.raises(tp.TripyUnsupportedError, match="'late'"):
        tp.compile(module, args=list(module.input_infos.values()))


def test_errors_name_the_node() -> None:
    node = helper.make_node("Add", ["x", "z"], ["y"], name="sum_of_both")
    module = tp.onnx.load(model_of([node], [value("x", "n"), value("z", "m")], ["y"]))
    with pytest.raises(tp.TripyShapeError) as caught:
        module(tp.ones((2,)), tp.ones((3,)))
    assert "sum_of_both" in "".join(caught.value.__notes__)


@pytest.mark.parametrize("wrong", [tp.ones((2, 3), tp.int32), tp.ones((2, 4)), tp.ones((3,)), None])
def test_inputs_are_checked(wrong: Any) -> None:
    module = tp.onnx.load(linear_model())
    with pytest.raises((tp.TripyTypeError, tp.TripyShapeError)):
        module(wrong)
    with pytest.raises(tp.TripyTypeError):
        module()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    data = bytearray(shape_model().SerializeToString())
    rng = np.random.default_rng(3)
    for _ in range(150):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), 3):
            damaged[at] = rng.integers(0, 256)
        cut = damaged[: rng.integers(1, len(data))] if rng.random() < 0.3 else damaged
        message = refusal(functools.partial(tp.onnx.load, bytes(cut)))
        assert not message or "received" in message
    for junk in (b"", b"not a model", bytes(100), b"\xff" * 50):
        with pytest.raises(tp.TripyFileError):
            tp.onnx.load(junk)


def test_cycles_and_missing_values_are_refused() -> None:
    for source, result in (("b", "b"), ("x", "other")):
        nodes = [helper.make_node("Relu", [source], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
        with pytest.raises(tp.TripyFileError, match="nothing makes"):
            tp.onnx.load(model_of(nodes, [value("x", 2)], [result]))


@pytest.mark.parametrize("bad", BAD, ids=lambda v: type(v).__name__)
def test_bad_values_are_refused(bad: Any, tmp_path: Path) -> None:
    info, path = [tp.InputInfo((2, 3), tp.float32)], tmp_path / "m"
    good = {"func": tp.relu, "path": path, "args": info, "kwargs": {}, "opset": None}
    calls = [lambda: tp.onnx.load(bad)]
    for name in good:
        if name == "path" and isinstance(bad, (str, bytes)):
            continue
        given = good | {name: bad}
        calls.append(lambda given=given: tp.onnx.export(**given))
    for call in calls:
        message = refusal(call)
        slots = ("received", "expected", "how to fix")
        assert not message or all(slot in message for slot in slots)


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    args = [tp.InputInfo((2,), tp.float32)]
    with pytest.raises(tp.TripyFileError):
        tp.onnx.export(tp.relu, tmp_path / "missing" / "m.onnx", args=args)
    with pytest.raises(tp.TripyFileError):
        tp.onnx.export(tp.relu, tmp_path, args=args)
    assert list(tmp_path.iterdir()) == []


# The sub-module ----------------------------------------------------------------------------------


def test_names_and_examples() -> None:
    assert dir(tp.onnx) == ["export", "load"]
    with pytest.raises(tp.TripyAttributeError, match="did you mean 'load'"):
        _ = tp.onnx.loads
    for name in dir(tp.onnx):
        assert run_examples(getattr(tp.onnx, name).__doc__, f"tp.onnx.{name}") > 0


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for call in (lambda: tp.onnx.load(b""), lambda: tp.onnx.export(tp.relu, tmp_path / "m")):
        with pytest.raises(tp.TripyImportError, match=re.escape("tripy-dl[onnx]")):
            call()


def test_import_does_not_load_onnx() -> None:
    code = "import sys, tripy; tripy.onnx.load; assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
