"""``tp.onnx.export``: a traced function as an ONNX model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tripy import errors, passes
from tripy.compile import traced_function
from tripy.devices import default_device
from tripy.executable import Executable
from tripy.graph import Graph, Value
from tripy.onnx.package import file_path, listed, require
from tripy.signature import public

if TYPE_CHECKING:
    from tripy.onnx.builder import Builder, Ref

OLDEST, NEWEST = 18, 23
#: Protocol buffers end at 2 GiB; larger weights are kept in a file beside the model.
_LARGEST_FILE = 2**31 - 2**24


@public("tp.onnx.export")
def export(
    func: Any,
    path: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    opset: int | None = None,
) -> None:
    """Trace a function or module once and write what it did as an ONNX model.

    Weights become initializers under their state-dict names. Dynamic sizes stay dynamic, under the
    names of their :class:`tripy.NamedDimension`. Indices are not limited to what exists: runtimes
    of ONNX may refuse others.

    Args:
        func: a function, bound method or Module; or an Executable, without ``args`` and ``kwargs``.
        path: the file to write. Weights beyond 2 GiB go to a second file, ``<path>.data``.
        args: positional arguments of ``func``, as in :func:`tripy.compile`.
        kwargs: keyword arguments of ``func``, in the same way.
        opset: version of the ONNX operations, 18 … 23; None is the newest.

    Raises:
        TripyTypeError: when arguments do not fit, or the function returns no tensor.
        TripyValueError: for an unknown opset.
        TripyCompileError: when the function needs the elements of a traced tensor.
        TripyUnsupportedError: for what ONNX cannot express; lists all of it with source lines.
        TripyFileError: when the file cannot be written.
        TripyImportError: when the package onnx is not installed.

    Example:
        >>> import os, tempfile
        >>> batch = tp.NamedDimension("batch", 1, 2, 8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.onnx")
        ...     tp.onnx.export(tp.Linear(2, 1), path, args=[tp.InputInfo((batch, 2), tp.float32)])
        ...     tp.onnx.load(path).input_infos
        {'input': InputInfo(shape=(batch=(1, 1, 2147483647), 2), dtype=float32)}
    """
    version = _opset(opset)
    target = Path(file_path(path, "path"))
    onnx = require()
    graph, paths = _graph_of(func, args, kwargs or {})
    _write(onnx, _model(graph, paths, version), target)


def _opset(opset: int | None) -> int:
    if opset is None or OLDEST <= opset <= NEWEST:
        return NEWEST if opset is None else int(opset)
    raise errors.error(
        errors.TripyValueError,
        f"models of opset {opset} are not written.",
        received=f"opset={opset}",
        expected=f"{OLDEST} … {NEWEST}",
        fix=f"leave it out for opset {NEWEST}",
        argument="opset",
    )


def _graph_of(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Graph, list[str]]:
    if not isinstance(func, Executable):
        trace = traced_function(func, args, kwargs, default_device())
        return passes.load_weights(trace.graph), trace.paths
    if args or kwargs:
        raise errors.error(
            errors.TripyTypeError,
            "an Executable has its inputs already.",
            received=errors.given(args, kwargs),
            expected="no args and kwargs beside an Executable",
            fix="leave out args and kwargs, or export the function itself",
            argument="args" if args else "kwargs",
        )
    return func._graph, func._paths


# --- the model -------------------------------------------------------------------------------


def _model(graph: Graph, paths: Sequence[str], opset: int) -> Any:
    from onnx import helper

    from tripy.onnx.builder import TYPES

    names = graph.value_names()
    builder, refs = _translated(graph, names, opset)
    outputs = _named_outputs(builder, graph, refs, paths)

    def described(name: str, value: Value) -> Any:
        sizes = [size if isinstance(size, int) else str(size) for size in value.shape]
        return helper.make_tensor_value_info(name, TYPES[value.dtype.name][0], sizes)

    body = helper.make_graph(
        builder.nodes,
        "tripy",
        [described(names[id(value)], value) for value in graph.inputs],
        [described(name, value) for name, value in zip(outputs, graph.outputs)],
        builder.initializers,
    )
    versions = [helper.make_opsetid("", opset)]
    oldest = helper.find_min_ir_version_for(versions)
    return helper.make_model(body, opset_imports=versions, ir_version=oldest, producer_name="tripy")


def _translated(graph: Graph, names: dict[int, str], opset: int) -> tuple[Builder, dict[int, Ref]]:
    """Translate every value; TripyUnsupportedError lists all that have no translation."""
    from tripy.onnx.builder import Builder, Ref, Refused

    inputs = [Ref(names[id(value)], value.dtype.name) for value in graph.inputs]
    symbols = {name: (inputs[i], dim) for name, (i, dim) in graph.symbols.items()}
    builder = Builder(opset, symbols)
    builder.taken |= {ref.name for ref in inputs} | set(graph.names.values())
    refs = {id(value): ref for value, ref in zip(graph.inputs, inputs)}
    found: list[tuple[str, str]] = []
    for value in dict.fromkeys((*graph.inputs, *graph.values)):
        ref = refs.setdefault(id(value), Ref("", value.dtype.name))
        try:
            builder.check(value.dtype.name)
            if not ref.name:
                refs[id(value)] = _translation(builder, value, refs, names[id(value)], graph)
        except Refused as reason:
            node = None if value.is_leaf else value.node
            what = f"a value of {value.dtype}" if node is None else node.primitive.name
            found.append((f"{what} ({reason})", errors.location(value.source)))
    if found:
        raise _not_exported(found, opset)
    return builder, refs


def _translation(
    builder: Builder, value: Value, refs: dict[int, Ref], name: str, graph: Graph
) -> Ref:
    from tripy.onnx.builder import Refused
    from tripy.onnx.export_rows import ROWS

    node = value.node
    if value.data is None and node is not None:
        if node.primitive.name not in ROWS:
            raise Refused("it has no ONNX form")
        return ROWS[node.primitive.name](builder, node, [refs[id(i)] for i in node.inputs])
    if value.data.ndim == 0 and id(value) not in graph.names:
        return builder.constant(value.data, value.dtype.name)
    builder.taken.discard(name)
    return builder.initializer(value.data, value.dtype.name, name)


def _not_exported(found: list[tuple[str, str]], opset: int) -> errors.TripyUnsupportedError:
    return errors.error(
        errors.TripyUnsupportedError,
        "ONNX cannot express everything that the function does:\n" + listed(found),
        received=f"{len(found)} operation{'s' * (len(found) > 1)} without a form in opset {opset}",
        expected="operations and dtypes that ONNX has",
        fix="compute these outside of the exported function, or in another dtype",
        argument="func",
    )


def _named_outputs(
    builder: Builder, graph: Graph, refs: dict[int, Ref], paths: Sequence[str]
) -> list[str]:
    """Give the results the names of their paths: inputs, constants and repeats by a copy."""
    made = {name: node for node in builder.nodes for name in node.output}
    wanted = [builder.fresh(path) for path in paths]
    renamed: dict[str, str] = {}
    for value, name in zip(graph.outputs, wanted):
        ref = refs[id(value)]
        if ref.name in made and ref.name not in renamed:
            renamed[ref.name] = name
        else:
            copy = builder.node("Identity", ref)
            renamed[copy.name] = name
    for node in builder.nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    return wanted


# --- the file --------------------------------------------------------------------------------


def _write(onnx: Any, model: Any, target: Path) -> None:
    """Write completely or not at all: files appear under their names when they are whole."""
    data = f"{target.name}.data"
    is_large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > _LARGEST_FILE
    options = {"save_as_external_data": True, "location": data} if is_large else {}
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".tripy-") as folder:
            onnx.save_model(model, os.path.join(folder, target.name), **options)
            for name in sorted(os.listdir(folder), reverse=True):  # the data first
                os.replace(os.path.join(folder, name), target.parent / name)
    except (OSError, ValueError) as problem:  # ValueError: a path with a null character
        raise errors.error(
            errors.TripyFileError,
            "the model cannot be written.",
            received=f"{target}: {getattr(problem, 'strerror', None) or problem}",
            expected="a path in a folder that exists, with room for the file",
            fix="make the folder, or choose another path",
            argument="path",
        ) from problem
