"""Mistakes with ONNX models."""

from __future__ import annotations

import onnx
from onnx import helper

import tripy as tp
from mistakes import mistake

info = tp.InputInfo((1, 1, 8), tp.int64)
path = "never-written.onnx"


def model(*operations: str) -> onnx.ModelProto:
    names = [f"v{i}" for i in range(len(operations) + 1)]
    nodes = [helper.make_node(op, [a], [b]) for op, a, b in zip(operations, names, names[1:])]
    first, last = (
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 3])
        for n in (names[0], names[-1])
    )
    return helper.make_model(helper.make_graph(nodes, "g", [first], [last]))


def pooled(x: tp.Tensor) -> tp.Tensor:
    return tp.maxpool(x, (2,))


@mistake(tp.TripyFileNotFoundError, '"missing.onnx"')
def file_that_does_not_exist() -> None:
    tp.onnx.load("missing.onnx")


@mistake(tp.TripyTypeError, "None")
def source_of_another_type() -> None:
    tp.onnx.load(None)


@mistake(tp.TripyFileError, 'b"not a model"')
def bytes_that_are_no_model() -> None:
    tp.onnx.load(b"not a model")


@mistake(tp.TripyUnsupportedError, 'model("LSTM", "Relu", "LSTM", "If")')
def operations_that_tripy_lacks() -> None:
    tp.onnx.load(model("LSTM", "Relu", "LSTM", "If"))


@mistake(tp.TripyTypeError, "tp.ones((2, 3), tp.int32)")
def model_input_of_another_dtype() -> None:
    tp.onnx.load(model("Relu"))(tp.ones((2, 3), tp.int32))


@mistake(tp.TripyShapeError, "tp.ones((2, 4))")
def model_input_of_another_shape() -> None:
    tp.onnx.load(model("Relu"))(tp.ones((2, 4)))


@mistake(tp.TripyUnsupportedError, "pooled")
def operation_that_onnx_lacks() -> None:
    tp.onnx.export(pooled, path, args=[info])


@mistake(tp.TripyValueError, "3")
def opset_that_is_too_old() -> None:
    tp.onnx.export(tp.relu, path, args=[info], opset=3)


@mistake(tp.TripyTypeError, "7")
def path_of_another_type() -> None:
    tp.onnx.export(tp.relu, 7, args=[info])


@mistake(tp.TripyTypeError, "[info]")
def inputs_beside_an_executable() -> None:
    tp.onnx.export(tp.compile(tp.abs, args=[info], engine="reference"), path, args=[info])


@mistake(tp.TripyFileError, '"missing/model.onnx"')
def folder_that_does_not_exist() -> None:
    tp.onnx.export(tp.relu, "missing/model.onnx", args=[info])
