"""``tp.onnx.load``: an ONNX model as a Module."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Container, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import dtypes, errors, shapes
from tripy.graph import shape_text
from tripy.inputs import InputInfo, NamedDimension
from tripy.nn.module import Module, Parameter
from tripy.onnx.package import file_path, listed, require
from tripy.ops.elementwise import cast
from tripy.signature import InstanceSignature, public
from tripy.tensor import Tensor


@public("tp.onnx.load")
def load(source: Any) -> Module:
    """Read an ONNX model as a module that runs eagerly and compiles.

    The module takes the inputs of the model in order, also by name, and returns one tensor or a
    tuple. Its parameters are the initializers, under their names; ``input_infos`` describes the
    inputs for :func:`tripy.compile`. int64 is exact. OpenVINO runs what is proved to fit int32,
    and inputs of int64 may be given as int32, which helps it to prove that.

    Args:
        source: path of a file, the bytes of one, or an ``onnx.ModelProto``.

    Returns:
        A Module whose attribute ``input_infos`` maps input names to :class:`tripy.InputInfo`.
        Symbolic dims are named as in the file, with bounds (1, 1, 2**31 - 1) to be narrowed.

    Raises:
        TripyTypeError: for a source of another type.
        TripyFileNotFoundError: when there is no such file.
        TripyFileError: for what is no ONNX model, or a damaged one.
        TripyUnsupportedError: for operations or dtypes without a translation; lists all of them.
        TripyImportError: when the package onnx is not installed.

    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.onnx")
        ...     tp.onnx.export(tp.Linear(2, 1), path, args=[tp.InputInfo((1, 2), tp.float32)])
        ...     model = tp.onnx.load(path)
        >>> model(tp.ones((1, 2))).tolist()
        [[1.0]]
        >>> executable = tp.compile(model, args=list(model.input_infos.values()))
        >>> executable(np.ones((1, 2), np.float32)).tolist()
        [[1.0]]
    """
    onnx = require()
    is_text = isinstance(source, (str, os.PathLike))
    name = "the bytes" if isinstance(source, _BYTES) else str(source) if is_text else "the model"
    try:
        model = _read(onnx, source)
        return _module(onnx, model)
    except errors.TripyException:
        raise
    except FileNotFoundError as problem:
        raise _no_file(str(problem.filename or problem)) from problem
    except Exception as problem:  # whatever parsers and checks of a damaged file raise
        raise _damaged(name, problem) from problem


_BYTES = (bytes, bytearray, memoryview)


def _no_file(received: str) -> errors.TripyFileNotFoundError:
    return errors.error(
        errors.TripyFileNotFoundError,
        "there is no such file.",
        received=received,
        expected="the path of an ONNX file, beside it the data files that it names",
        fix="check the path, and the folder that the program runs in",
        argument="source",
    )


def _damaged(name: str, problem: object) -> errors.TripyFileError:
    text = " ".join(str(problem).split())[:300]
    text = "it does not parse" if type(problem).__name__ == "DecodeError" else text
    shown = name if len(name) <= 200 else "an onnx.ModelProto"
    return errors.error(
        errors.TripyFileError,
        "this is no ONNX model, or a damaged one.",
        received=f"{shown}: {text}" if text else shown,
        expected="a model that onnx.checker accepts",
        fix="export the model again",
        argument="source",
    )


def _read(onnx: Any, source: Any) -> Any:
    if isinstance(source, onnx.ModelProto):
        return source
    if isinstance(source, _BYTES):
        return onnx.load_model_from_string(bytes(source))
    path = file_path(source, "source")
    if os.path.isdir(path):
        raise _damaged(path, "it is a folder")
    return onnx.load(path)


# --- reading ---------------------------------------------------------------------------------


class _Input(NamedTuple):
    name: str
    parameter: str  # the name in Python
    info: InputInfo


def _module(onnx: Any, model: Any) -> Module:
    if not model.ir_version or not model.graph.output:
        raise _damaged("the model", "it has no version or no outputs")
    if len(model.functions):
        model = onnx.inliner.inline_local_functions(model)
    opset = max([v.version for v in model.opset_import if v.domain in _DOMAINS], default=1)
    _check_opset(onnx, opset)
    nodes, needed = _needed(model.graph)
    _check_supported(onnx, model.graph, nodes, needed, opset)
    _check_nodes(onnx, model)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    inputs = _inputs(model.graph, set(arrays))
    steps = [_step(onnx, node, opset, needed) for node in nodes]
    _check_order(steps, [i.name for i in inputs], arrays, model.graph)
    outputs = [(o.name, o.type.tensor_type.elem_type) for o in model.graph.output]
    return OnnxModule(inputs, outputs, steps, arrays)


_DOMAINS = ("", "ai.onnx")
NEWEST = 28  # the last version of the standard that the rows were read against


def _check_opset(onnx: Any, opset: int) -> None:
    known = min(NEWEST, onnx.defs.onnx_opset_version())
    if opset > known:
        raise errors.error(
            errors.TripyUnsupportedError,
            "the model has a newer opset than is known, which may change what operations mean.",
            received=f"opset {opset}",
            expected=f"an opset up to {known}",
            fix=f"export the model with opset {known}",
            argument="source",
        )


def _needed(graph: Any) -> tuple[list[Any], set[str]]:
    """Return the nodes that the outputs need, and the names of all values that are used."""
    used = {output.name for output in graph.output}
    found = []
    for node in reversed(graph.node):
        if not used.isdisjoint(node.output):
            found.append(node)
            used.update(node.input)
    return found[::-1], used


def _attribute(onnx: Any, attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _step(onnx: Any, node: Any, opset: int, needed: Container[str]) -> Any:
    from tripy.onnx.calls import Step

    attributes = {a.name: _attribute(onnx, a) for a in node.attribute}
    name = node.name or (node.output[0] if node.output else node.op_type)
    outputs = tuple(output if output in needed else "" for output in node.output)
    usual = frozenset(_usual(onnx, node, opset))
    return Step(node.op_type, name, tuple(node.input), outputs, attributes, opset, usual)


def _usual(onnx: Any, node: Any, opset: int) -> Iterator[str]:
    """The attributes whose values are the defaults of the standard."""
    if not onnx.defs.has(node.op_type, opset, ""):
        return
    declared = onnx.defs.get_schema(node.op_type, opset, "").attributes
    for attribute in node.attribute:
        default = declared[attribute.name].default_value if attribute.name in declared else None
        is_known = default is not None and default.type
        if is_known and _attribute(onnx, default) == _attribute(onnx, attribute):
            yield attribute.name


def _check_nodes(onnx: Any, model: Any) -> None:
    """Raise where a node lacks what its operation needs."""
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {v.domain: v.version for v in model.opset_import}
    for node in model.graph.node:
        onnx.checker.check_node(node, context)


def _check_order(steps: Sequence[Any], inputs: Sequence[str], arrays: Any, graph: Any) -> None:
    """Raise unless every value is made before it is used."""
    made = {"", *inputs, *arrays}
    for step in steps:
        missing = set(step.inputs) - made
        if missing:
            raise _damaged("the model", f"{step.name} needs {missing.pop()!r}, which nothing makes")
        made |= set(step.outputs)
    for output in graph.output:
        if output.name not in made - {""}:
            raise _damaged("the model", f"nothing makes the output {output.name!r}")


def _check_supported(
    onnx: Any, graph: Any, nodes: Sequence[Any], needed: Container[str], opset: int
) -> None:
    """Raise TripyUnsupportedError with everything that has no translation."""
    found = [*_unsupported_nodes(onnx, nodes, needed, opset)]
    found += _unsupported_types(onnx, graph, nodes)
    if found:
        raise errors.error(
            errors.TripyUnsupportedError,
            "the model has operations or dtypes that tripy lacks:\n" + listed(found),
            received=f"{len(found)} of them",
            expected="operations and dtypes that tripy has",
            fix="export the model without them, or cut them off before it is loaded",
            argument="source",
        )


def _unsupported_nodes(
    onnx: Any, nodes: Sequence[Any], needed: Container[str], opset: int
) -> Iterator[tuple[str, str]]:
    rows, checks = _tables()
    for node in nodes:
        op = node.op_type
        shown = f"{node.domain}.{op}" if node.domain not in _DOMAINS else op
        where = node.name or ", ".join(node.output)
        if shown != op or op not in (*rows, "Constant"):
            yield shown, where
            continue
        check = checks.get(op)
        reason = check(_step(onnx, node, opset, needed)) if check else None
        if reason:
            yield f"{op} with {reason}", where


def _unsupported_types(onnx: Any, graph: Any, nodes: Sequence[Any]) -> Iterator[tuple[str, str]]:
    from tripy.onnx.builder import BY_NUMBER

    yield from (("a sparse initializer", t.values.name) for t in graph.sparse_initializer)
    tensors = [(t.data_type, t.name) for t in graph.initializer]
    tensors += [
        (attribute.t.data_type, node.name or node.output[0])
        for node in nodes
        for attribute in node.attribute
        if attribute.HasField("t") and node.output
    ]
    for value in graph.input:
        if value.type.WhichOneof("value") != "tensor_type":
            yield "an input that is no tensor", value.name
        elif not value.type.tensor_type.HasField("shape"):
            yield "an input of unknown rank", value.name
        else:
            tensors.append((value.type.tensor_type.elem_type, value.name))
    for number, name in tensors:
        if number not in BY_NUMBER:
            yield f"the dtype {_type_name(onnx, number)}", name


@functools.cache
def _tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows, and the checks of what they leave out, by operation."""
    from tripy.onnx import load_elementwise, load_layers, load_movement

    modules = (load_elementwise, load_movement, load_layers)
    rows = {op: row for module in modules for op, row in module.ROWS.items()}
    return rows, {op: check for module in modules for op, check in module.CHECKS.items()}


def _type_name(onnx: Any, number: int) -> str:
    names = {n: name for name, n in onnx.TensorProto.DataType.items()}
    return str(names.get(number, number)).lower()


def _inputs(graph: Any, initializers: set[str]) -> list[_Input]:
    taken: set[str] = set()
    found = []
    for value in graph.input:
        if value.name in initializers:  # files before IR version 4 list them twice
            continue
        parameter = re.sub(r"\W", "_", value.name) or "_"
        parameter = f"_{parameter}" if parameter[0].isdigit() else parameter
        while parameter in taken:
            parameter += "_"
        taken.add(parameter)
        found.append(_Input(value.name, parameter, _info(value.type.tensor_type)))
    return found


def _info(tensor_type: Any) -> InputInfo:
    from tripy.onnx.builder import BY_NUMBER

    any_size = (1, 1, shapes.LARGEST)
    dims: list[Any] = []
    for dim in tensor_type.shape.dim:
        kind = dim.WhichOneof("value")
        named = kind == "dim_param" and dim.dim_param
        size = dim.dim_value if kind == "dim_value" and dim.dim_value >= 0 else any_size
        dims.append(NamedDimension(dim.dim_param, *any_size) if named else size)
    return InputInfo(dims, BY_NUMBER[tensor_type.elem_type])


# --- the module ------------------------------------------------------------------------------


class OnnxModule(Module):
    """A model that was read from a file."""

    def __init__(
        self,
        inputs: Sequence[_Input],
        outputs: Sequence[tuple[str, int]],
        steps: Sequence[Any],
        arrays: dict[str, np.ndarray[Any, Any]],
    ) -> None:
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        constants = [step for step in steps if step.op == "Constant"]
        self._steps = tuple(step for step in steps if step.op != "Constant")
        self._constants = tuple((step.outputs[0], _constant(step)) for step in constants)
        self._weights = {name: Parameter(array) for name, array in arrays.items()}
        for name, weight in self._weights.items():
            weight.name = name

    @property
    def input_infos(self) -> dict[str, InputInfo]:
        """Name of every input in the file → its description, in order."""
        return {i.name: i.info for i in self._inputs}

    def _member_name(self, attribute: str, key: object) -> str:
        return str(key) if attribute == "_weights" else super()._member_name(attribute, key)

    @InstanceSignature
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(i.parameter, kind, annotation=Tensor) for i in self._inputs]
        return inspect.Signature(parameters)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model on its inputs, given in order or by name."""
        given = self._bound(args, kwargs)
        known: dict[str, Any] = {"": None, **self._weights, **dict(self._constants)}
        for i, value in zip(self._inputs, given):
            tensor = value if isinstance(value, Tensor) else Tensor(value)
            _check_input(i, tensor)
            known[i.name] = cast(tensor, i.info.dtype)  # int64 may be given as int32
        for step in self._steps:
            _run(step, known)
        results = [_result(known[name], kind) for name, kind in self._outputs]
        return results[0] if len(results) == 1 else tuple(results)

    def _bound(self, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        names = {i.name: i.parameter for i in self._inputs}
        by_name = {names.get(name, name): value for name, value in kwargs.items()}
        try:
            bound: tuple[Any, ...] = self.__signature__.bind(*args, **by_name).args
            return bound
        except TypeError:
            raise self._wrong_arguments(tuple(args), by_name) from None


def _constant(step: Any) -> Parameter:
    """A Constant node: one attribute, a tensor or numbers."""
    name, value = next(iter(step.attributes.items()))
    kind = {"value_float": "float32", "value_floats": "float32"}.get(name, "int64")
    return Parameter(value if name == "value" else np.array(value, kind))


def _check_input(expected: _Input, tensor: Tensor) -> None:
    info, shape = expected.info, tensor._value.shape
    bounds = zip(shape, info.shape_bounds.min, info.shape_bounds.max)
    accepted = (info.dtype, dtypes.int32) if info.dtype is dtypes.int64 else (info.dtype,)
    is_other = tensor.dtype not in accepted
    if not is_other and len(shape) == info.rank:
        fixed = [(size, low) for size, low, high in bounds if low == high]
        if all(shapes.known_equal(size, low) is not False for size, low in fixed):
            return
    raise errors.error(
        errors.TripyTypeError if is_other else errors.TripyShapeError,
        f"the input {expected.name!r} does not fit the model.",
        received=f"{tensor.dtype} of shape {shape_text(shape)}",
        expected=str(info),
        fix=f"tp.cast({expected.parameter}, tp.{info.dtype})" if is_other else "pass these sizes",
        argument=expected.parameter,
    )


def _run(step: Any, known: dict[str, Any]) -> None:
    from tripy.onnx import size_rows
    from tripy.onnx.calls import Call

    call = Call(step, [known[name] for name in step.inputs])
    try:
        results = size_rows.run(call)
        if results is None:
            results = _tables()[0][step.op](call)
        reason = call.ignored()
        if reason:
            raise call.unsupported(reason)
    except errors.TripyException as problem:
        problem.add_note(f"  in the ONNX node {step.name!r} ({step.op})")
        raise
    except _MALFORMED as problem:
        raise call.unsupported(" ".join(str(problem).split())) from problem
    several = isinstance(results, (list, tuple)) and not hasattr(results, "_fields")
    made = results if several else [results]
    if any(map(step.used, range(len(made), len(step.outputs)))):
        raise call.unsupported(f"only {len(made)} of its {len(step.outputs)} outputs are known")
    known.update(zip(step.outputs, made))
    known[""] = None


# What Python and NumPy raise for inputs and attributes that contradict each other.
_MALFORMED = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)


def _result(value: Any, number: int) -> Tensor:
    """A result in the dtype that the file declares."""
    from tripy.onnx.builder import BY_NUMBER
    from tripy.onnx.calls import to_tensor

    tensor = to_tensor(value)
    kind = BY_NUMBER.get(number, tensor.dtype)
    both = {tensor.dtype, kind} == {dtypes.int32, dtypes.int64}
    return cast(tensor, kind) if both else tensor
