"""Whatever a node of an ONNX model has is used, or refused by name."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_node_model_tests

import tripy as tp
from tripy.onnx import calls, load_elementwise, load_layers, load_movement
from tripy.onnx.calls import HARMLESS, Call, Step
from tripy.onnx.loading import NEWEST, _tables

ROWS = _tables()[0]
SOURCE = "".join(map(inspect.getsource, (calls, load_elementwise, load_layers, load_movement)))
READ = set(re.findall(r'attr\(\s*"(\w+)"', SOURCE))
#: What no row asks for, so that any value but the default of the standard is refused.
REFUSED = {
    *("ArgMax", "select_last_index"), *("ArgMin", "select_last_index"),
    *("BatchNormalization", "spatial", "training_mode"), *("QuantizeLinear", "precision"),
    *("LayerNormalization", "stash_type"), *("GroupNormalization", "stash_type"),
    *("ConvTranspose", "output_shape"), *("Pad", "paddings"),
    *("Upsample", "height_scale", "width_scale"),
}  # fmt: skip


def declared() -> list[tuple[str, int, str]]:
    """Every attribute of every version of the operations that have a row."""
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""]
    return [(s.name, s.since_version, a) for s in schemas if s.name in ROWS for a in s.attributes]


def test_every_attribute_is_known_here() -> None:
    for op, version, name in declared():
        is_harmless = name in HARMLESS.get(op, ()) or name == "consumed_inputs"
        assert is_harmless or name in READ or {op, name} <= REFUSED, (op, version, name)


def test_what_no_row_asks_for_is_refused_by_name() -> None:
    for op, version, name in declared():
        if name not in HARMLESS.get(op, ()) and name != "consumed_inputs":
            call = Call(Step(op, "n", (), ("y",), {name: "other"}, version), [])
            assert name in str(call.ignored())
            call.attr(name)
            assert call.ignored() is None


def test_inputs_that_no_row_asks_for_are_refused() -> None:
    call = Call(Step("Relu", "n", ("x", "z"), ("y",), {}, 20), [tp.ones((2,)), tp.ones((2,))])
    call.tensor(0)
    assert call.ignored() == "input 1 is not understood"


def _array(value: Any) -> Any:
    is_file = isinstance(value, onnx.TensorProto)
    return numpy_helper.to_array(value) if is_file else np.asarray(value)


#: Conversions that the standard leaves open: integers out of range.
OPEN = re.compile(r"cast.*_to_INT4|empty_set")


@pytest.fixture(scope="module")
def cases() -> list[Any]:
    """The cases of the standard for nodes with attributes; making them takes seconds."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = load_node_model_tests()
    return [
        case
        for case in found
        if {node.op_type for node in case.model.graph.node} <= {*ROWS, "Constant"}
        and any(node.attribute for node in case.model.graph.node)
        and not OPEN.search(case.name)
    ]


def assert_close(received: Any, wanted: Any, name: str) -> None:
    assert received.dtype == wanted.dtype, name
    rtol = 3e-2 if wanted.dtype.itemsize < 4 else 1e-3
    pair = (np.asarray(x, np.float64) for x in (received, wanted))
    np.testing.assert_allclose(*pair, rtol, rtol / 10, err_msg=name)


def test_the_cases_of_the_standard_are_right_or_refused(cases: list[Any]) -> None:
    right = 0
    for case in cases:
        inputs, expected = ([_array(x) for x in part] for part in case.data_sets[0])
        try:
            found = tp.onnx.load(case.model)(*map(tp.Tensor, inputs))
        except tp.TripyUnsupportedError:
            continue
        right += 1
        results = found if isinstance(found, tuple) else (found,)
        for received, wanted in zip(results, expected, strict=True):
            assert_close(received.numpy(), np.asarray(wanted), case.name)
    assert right > 0.6 * len(cases)


def model(
    op: str, opset: int, x: Any, *weights: Any, outputs: int = 1, **attributes: Any
) -> onnx.ModelProto:
    names = [f"w{i}" for i in range(len(weights))]
    made = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, ["x", *names], made, **attributes)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    ins = [helper.make_tensor_value_info("x", kind, x.shape)]
    outs = [helper.make_tensor_value_info(name, 0, None) for name in made]
    inits = [numpy_helper.from_array(np.asarray(w), n) for w, n in zip(weights, names)]
    graph = helper.make_graph([node], "g", ins, outs, inits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, None])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Less"])
def test_broadcasting_of_old_versions(op: str, axis: int | None, rng: np.random.Generator) -> None:
    x, b = np.abs(rng.standard_normal((4, 4, 4, 4))), np.abs(rng.standard_normal(4)) + 0.5
    x, b = x.astype(np.float32), b.astype(np.float32)
    options = {} if axis is None else {"axis": axis}
    found = tp.onnx.load(model(op, 6, x, b, broadcast=1, **options))(tp.Tensor(x)).numpy()
    beside = b.reshape(-1, *[1] * (3 - (3 if axis is None else axis) % 4))
    exact = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide,
             "Pow": np.power, "Less": np.less}[op](x, beside)  # fmt: skip
    np.testing.assert_allclose(found, exact, rtol=1e-5)


X = np.ones((2, 4, 4, 4), np.float32)
SCALE, FOUR = np.float32(0.5), np.ones(4, np.float32)
#: What is refused when it is loaded or run.
MODELS = {
    "training": model("Dropout", 13, X, SCALE, np.array(True)),
    "training of old versions": model("Dropout", 6, X, ratio=0.5),
    "spatial=0": model("BatchNormalization", 7, X, *[FOUR] * 4, spatial=0),
    "statistics of training": model("BatchNormalization", 7, X, *[FOUR] * 4, outputs=3),
    "saturate=0": model("Cast", 19, X, to=TensorProto.FLOAT8E4M3FN, saturate=0),
    "uint16": model("QuantizeLinear", 21, X, SCALE, output_dtype=TensorProto.UINT16),
    "halves": model("DequantizeLinear", 23, X.astype(np.int8), SCALE, output_dtype=10),
    "blocks": model("QuantizeLinear", 21, X, np.ones((2, 2, 4, 4), np.float32), block_size=4),
    "kernel": model("Conv", 11, X, np.ones((4, 4, 3, 3), np.float32), kernel_shape=[2, 2]),
    "last index": model("ArgMax", 13, X, select_last_index=1),
    "future": model("Relu", NEWEST + 1, X),
    "far future": model("Relu", 99, X),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_not_understood_is_refused(name: str) -> None:
    with pytest.raises(tp.TripyException):
        tp.onnx.load(MODELS[name])(tp.Tensor(X if name != "halves" else X.astype(np.int8)))


@pytest.mark.parametrize("kind", [TensorProto.INT8, TensorProto.UINT8])
def test_quantization_to_the_dtype_of_an_attribute(kind: int) -> None:
    x = np.array([-1e9, -3.0, 1.0, 1e9], np.float32)
    found = tp.onnx.load(model("QuantizeLinear", 21, x, SCALE, output_dtype=kind))(tp.Tensor(x))
    wanted = [-128, -6, 2, 127] if kind == TensorProto.INT8 else [0, 0, 2, 255]
    assert found.tolist() == wanted
    assert found.dtype is (tp.int8 if kind == TensorProto.INT8 else tp.uint8)


def test_masks_of_dropout_and_nodes_that_nothing_needs() -> None:
    y, mask = tp.onnx.load(model("Dropout", 13, X, outputs=2))(tp.Tensor(X))
    assert mask.dtype is tp.bool
    assert bool(tp.all(mask))
    np.testing.assert_array_equal(y.numpy(), X)
    unused = model("Relu", 13, X)
    unused.graph.node.append(helper.make_node("NonZero", ["x"], ["nobody"]))
    np.testing.assert_array_equal(tp.onnx.load(unused)(tp.Tensor(X)).numpy(), X)
