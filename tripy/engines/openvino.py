"""The OpenVINO engine: builds a model of a graph, and runs it with pooled infer requests."""

from __future__ import annotations

import functools
import os
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tripy import dtypes, errors, shapes
from tripy.engines import border, remote
from tripy.engines import openvino_forks as forks
from tripy.engines.base import Kernel, Options, Program, Refusal
from tripy.engines.kept import Kept
from tripy.engines.kernels import ELEMENTWISE
from tripy.engines.openvino_fusions import apart, level, with_dims
from tripy.engines.openvino_import import op, ov
from tripy.engines.openvino_memory import Request, to_tensor, writable
from tripy.engines.openvino_nodes import divided_integers, divided_small, unfused
from tripy.engines.openvino_ops import DTYPES, ROWS, refusal
from tripy.engines.openvino_processor import adds_bytes_exactly
from tripy.engines.openvino_quantize import CARRIERS, Tracker
from tripy.engines.openvino_random import Threefry
from tripy.engines.openvino_repairs import kept_slices, repaired
from tripy.engines.openvino_sizes import misfits
from tripy.graph import Graph, Node, Value, bind, specialise
from tripy.shapes import Dim, Size

LACKING = (dtypes.int64, dtypes.float64)  # computed as int32 and float32
_IDLE = max(16, os.cpu_count() or 1)  # requests of a program that wait for their next call
_LONGEST = 128  # elementwise operations in a row that OpenVINO may fuse
_KERNELS = 16  # for one set of sizes; each takes 0.1 to 0.4 MiB
_FORM = "exported once"  # before, some files had programs that were imported and exported again
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def _divided(divide: Callable[[Any, Any], Any], part: int) -> Callable[[Any, Any], Any]:
    return lambda a, b: divide(*(op.convert(x, "i32").output(0) for x in (a, b)))[part]


def _if(condition: Any, amount: Any) -> Any:
    """The amount or 0; a select would go through float32, which is inexact for large sizes."""
    return op.multiply(op.convert(condition, "i64"), amount)


# How functions of symbolic sizes are computed on rank-0 i64 nodes.
_SIZE_ROWS: dict[str, Callable[[Any, Any], Any]] = {
    "floordiv": _divided(divided_integers, 0),
    "mod": _divided(divided_integers, 1),
    "min": op.minimum,
    "max": op.maximum,
    "wrap": lambda a, b: op.add(a, _if(op.less(a, op.constant(np.int64(0))), b)),
    "broadcast": lambda a, b: op.add(
        a, _if(op.equal(a, op.constant(np.int64(1))), op.subtract(b, a))
    ),
}
# The same where floats hold all operands: OpenVINO's own time grows with the square of the nodes.
_SMALL_SIZE_ROWS = {"floordiv": _divided(divided_small, 0), "mod": _divided(divided_small, 1)}


def _size_row(atom: shapes.Function) -> Callable[[Any, Any], Any]:
    (low, high), (least, most) = shapes.bounds(atom.left), shapes.bounds(atom.right)
    is_small = low >= 0 and least >= 1 and max(high, most) < 2**24
    rows = _SMALL_SIZE_ROWS if is_small and atom.name in _SMALL_SIZE_ROWS else _SIZE_ROWS
    return rows[atom.name]


def core() -> Any:
    """Return the one OpenVINO core of the process."""
    forks.begin()
    return _core()


@functools.lru_cache(maxsize=1)
def _core() -> Any:
    result = ov.Core()
    result.add_extension(Threefry)  # for exported programs that draw numbers
    forks.keep(result)
    return result


# --- building --------------------------------------------------------------------------------


class Builder:
    """Builds the nodes of one model; also the context that rows see."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: dict[int, Any] = {}
        self.sizes: dict[Size, Any] = {}
        self.made: dict[Any, list[Any]] = {}
        self.tracker = Tracker(graph, not graph.symbols and not _has_long_chain(graph))
        self.apart = apart(graph)
        self.parameters = [self._parameter(value) for value in graph.inputs]
        self.keep: list[Any] = []  # memory that constants share

    def _parameter(self, value: Value) -> Any:
        parameter = op.parameter(_bounds(value), DTYPES[value.dtype.name])
        self.nodes[id(value)] = parameter.output(0)
        return parameter

    def constant(self, value: Value) -> Any:
        """Return a constant that shares the value's memory."""
        array = np.ascontiguousarray(value.data).reshape(value.data.shape)
        tensor = to_tensor(array, value.dtype)
        self.keep.append(array)
        return op.constant(tensor, shared_memory=True).output(0)

    def size(self, size: Size) -> Any:
        """Return a rank-0 i64 node of a size."""
        if size not in self.sizes:
            self.sizes[size] = self._size(size)
        return self.sizes[size]

    def _size(self, size: Size) -> Any:
        if not isinstance(size, Dim):
            return op.constant(np.int64(size)).output(0)
        total: Any = None
        for monomial, coefficient in size.terms:
            factors = [self._atom(atom) for atom in monomial]
            if coefficient != 1 or not factors:
                factors.append(self.size(coefficient))
            term = functools.reduce(op.multiply, factors)
            total = term if total is None else op.add(total, term)
        return total if isinstance(total, ov.Output) else total.output(0)

    def _atom(self, atom: shapes.Atom) -> Any:
        if isinstance(atom, shapes.Symbol):
            return self._symbol(atom.name)
        left, right = self.size(atom.left), self.size(atom.right)
        return op.convert(_size_row(atom)(left, right), "i64").output(0)

    def _symbol(self, name: str) -> Any:
        index, dim = self.graph.symbols[name]
        parameter = self.parameters[index]
        if dim is None:
            return op.convert(parameter, "i64").output(0)
        sizes = op.shape_of(parameter, "i64")
        return op.gather(sizes, op.constant(np.int64(dim)), op.constant(np.int64(0))).output(0)

    def shape(self, dims: Sequence[Any]) -> Any:
        """Return a 1-D i64 node of sizes."""
        if shapes.is_static(dims):
            return op.constant(np.array(dims, np.int64)).output(0)
        zero = op.constant(np.int64(0))  # shape inference wants to see that no size is negative
        sizes = [op.maximum(self.size(d), zero) for d in dims]
        return op.concat([op.unsqueeze(size, zero) for size in sizes], 0).output(0)

    def build(self) -> Any:
        """Return the model of the whole graph."""
        for value in self.graph.values:
            if id(value) not in self.nodes:
                self.nodes[id(value)] = self._node(value)
        results = [op.result(self._computed(value)) for value in self.graph.outputs]
        return kept_slices(ov.Model(results, self.parameters))

    def _computed(self, value: Value) -> Any:
        """Return the node of a result; rows may pass an input on, which a result cannot take."""
        output = self.nodes[id(value)]
        if output.get_node().get_type_name() != "Parameter":
            return output
        return op.reshape(output, self.shape(value.shape), False).output(0)

    def _node(self, value: Value) -> Any:
        node, data = value.node, value.data
        if data is not None or node is None:
            self.tracker.add_constant(value)
            return self.constant(value)
        inputs = self.tracker.operands(node, [self.nodes[id(i)] for i in node.inputs])
        row = ROWS[node.primitive.name]
        attributes = {k: _plain(v) for k, v in node.attributes.items()}
        attributes |= self.tracker.attributes(node)
        if node.primitive.name == "slice":
            attributes["before"] = node.inputs[0].shape
        output = row(self, inputs, attributes, node.shape, node.dtype.name)
        if id(value) in self.apart:
            output = unfused(output)
        return self.tracker.result(value, node, output)


def _bounds(value: Value) -> Any:
    """Return the shape that OpenVINO is told."""
    bounds = [shapes.bounds(size) for size in value.shape]
    return ov.PartialShape([a if a == b else ov.Dimension(a, b) for a, b in bounds])


def _plain(attribute: Any) -> Any:
    return attribute.name if isinstance(attribute, dtypes.dtype) else attribute


# --- running ---------------------------------------------------------------------------------


# What OpenVINO and NumPy raise for sizes and values that they cannot handle.
FAILURES = (RuntimeError, ValueError, OverflowError, TypeError, IndexError, MemoryError)


class OpenVINOProgram:
    """A compiled model and its infer requests; each call has a request of its own."""

    def __init__(self, graph: Graph, options: Options, exported: Any = None) -> None:
        self._source = weakref.ref(graph)  # not the graph, because it would keep weights alive
        self._remote: remote.RemoteProgram | None = None  # in a process that was forked later
        self._border = border.drawn(graph, LACKING)
        if self._border is not None:
            graph = self._border.graph
        self._inputs = [value.dtype for value in graph.inputs]
        self._outputs = [(v.dtype, dtypes.to_numpy(v.dtype), v.shape) for v in graph.outputs]
        self._dynamic = graph if graph.symbols else None
        self._is_misfit = misfits(graph)
        self._options = options
        self._exported = exported  # kept, because OpenVINO exports imported programs wrong
        self._static: Kept[OpenVINOProgram] = Kept(options.shapes_kept)  # for misfits
        try:
            self._compiled, self._keep = _compiled(graph, options, exported)
        except errors.TripyException:
            raise
        except FAILURES as problem:
            raise failure("build the program", problem) from problem
        self._requests: deque[Request] = deque(maxlen=_IDLE)
        forks.keep(self)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        if forks.lost:
            return self._elsewhere()(inputs)
        if self._border is None:
            return self._call(inputs)
        return self._border.leave(self._call(self._border.enter(inputs)))

    def export(self) -> Any:
        """Return the compiled model, with its weights."""
        if self._exported is not None:
            return self._exported
        if forks.lost:
            return self._elsewhere().export()
        return self._compiled.export_model().getvalue()

    def _elsewhere(self) -> remote.RemoteProgram:
        """Return an equal program that runs in a helper process."""
        if self._remote is None:
            graph = self._source()
            assert graph is not None  # whoever calls has it
            self._remote = remote.RemoteProgram("openvino", graph, self._options)
        return self._remote

    def _call(self, inputs: Sequence[Any]) -> list[Any]:
        sizes = self._sizes(inputs)
        if sizes and self._is_misfit(sizes):
            return self._specialised(inputs, sizes)
        request = self._request()
        try:
            results = self._bind(request, inputs, sizes)
            request.infer.infer(share_outputs=True)  # results are bound; nothing is to be copied
        except FAILURES as problem:
            raise failure("run the program", problem) from problem
        self._requests.append(request)
        return results

    def start(self, given: Sequence[Any]) -> Callable[[], list[Any]]:
        """Start a call; what is returned waits for it."""
        if forks.lost:
            return lambda: self(given)
        inputs = given if self._border is None else self._border.enter(given)
        sizes = self._sizes(inputs)
        if sizes and self._is_misfit(sizes):
            return functools.partial(self._left, self._specialised(inputs, sizes))
        request = self._request()
        try:
            results = self._bind(request, inputs, sizes)
            request.infer.start_async()
        except FAILURES as problem:
            raise failure("run the program", problem) from problem
        return lambda: self._finish(request, results, given)

    def _finish(self, request: Request, results: list[Any], given: Sequence[Any]) -> list[Any]:
        if forks.lost:  # the process was forked since the start
            return self(given)
        try:
            request.infer.wait()
        except FAILURES as problem:
            raise failure("run the program", problem) from problem
        self._requests.append(request)
        return self._left(results)

    def _left(self, results: list[Any]) -> list[Any]:
        return results if self._border is None else self._border.leave(results)

    def _request(self) -> Request:
        """Take an idle request, or make one; a program never has more than calls at once."""
        try:
            return self._requests.pop()
        except IndexError:
            made = self._compiled.create_infer_request()
            return Request(made, len(self._inputs), len(self._outputs))

    def _bind(self, request: Request, inputs: Sequence[Any], sizes: Mapping[str, int]) -> list[Any]:
        """Bind the memory of a call and return the arrays of its results."""
        for index, (array, kind) in enumerate(zip(inputs, self._inputs)):
            request.give(index, array, kind)
        results = []
        for index, (kind, numpy, shape) in enumerate(self._outputs):
            if sizes:
                shape = shapes.substitute(shape, sizes)
            results.append(request.bind(index, shape, numpy, kind))
        return results

    def _sizes(self, inputs: Sequence[Any]) -> dict[str, int]:
        if self._dynamic is None:
            return {}
        return bind(self._dynamic.symbols, [array.shape for array in inputs], inputs)

    def _specialised(self, inputs: Sequence[Any], sizes: Mapping[str, int]) -> list[Any]:
        """Run on sizes that kernels of dynamic shapes do not get right."""
        assert self._dynamic is not None
        graph = self._dynamic
        return self._static.get(
            tuple(sizes.values()),
            lambda: OpenVINOProgram(specialise(graph, sizes), self._options),
        )(inputs)


def _compiled(graph: Graph, options: Options, exported: Any) -> tuple[Any, Any]:
    """Return a compiled model and the memory that it shares."""
    chosen = settings_for(graph, options)
    if exported is None:
        builder = Builder(level(with_dims(repaired(graph, options.precision))))
        return core().compile_model(builder.build(), "CPU", chosen), builder.keep
    memory = writable(np.frombuffer(exported, np.uint8))
    tensor = ov.Tensor(memory, shared_memory=True)
    compiled = core().import_model(tensor, "CPU", chosen)
    _check_ends(compiled, graph)
    return compiled, exported


def _check_ends(compiled: Any, graph: Graph) -> None:
    """Raise TripyRuntimeError for a model that takes or gives something else than the graph."""
    inputs = [(port.element_type, port.partial_shape) for port in compiled.inputs]
    results = [(port.element_type, port.partial_shape.rank) for port in compiled.outputs]
    ranks = [(DTYPES[v.dtype.name], ov.Dimension(len(v.shape))) for v in graph.outputs]
    if inputs != [(DTYPES[v.dtype.name], _bounds(v)) for v in graph.inputs] or results != ranks:
        raise errors.error(
            errors.TripyRuntimeError,
            "the exported program is another graph's.",
            received=f"a program from {inputs} to {results}",
            expected="the inputs and results of the graph",
            fix="export the program again",
        )


def _has_long_chain(graph: Graph) -> bool:
    """Whether elementwise operations follow each other for so long that fusing them takes seconds.

    OpenVINO's time for that grows with the square of their number; it fuses pairs of them anyway.
    """
    lengths: dict[int, int] = {}
    for value in graph.operations:
        node = value.node
        if node is not None and node.primitive.name in ELEMENTWISE:
            lengths[id(value)] = 1 + max(lengths.get(id(i), 0) for i in node.inputs)
    return max(lengths.values(), default=0) > _LONGEST


def _kernels(graph: Graph, options: Options) -> int:
    """Return how many kernels for past sizes are kept; a call must never push out its own."""
    return max(_KERNELS * options.shapes_kept, 4 * len(graph.operations))


def settings_for(graph: Graph, options: Options) -> dict[str, Any]:
    """Return what OpenVINO is told for a graph."""
    chosen = settings(options)
    if graph.symbols:
        chosen["CPU_RUNTIME_CACHE_CAPACITY"] = _kernels(graph, options)
    if _has_long_chain(graph):
        chosen["SNIPPETS_MODE"] = "DISABLE"
    return chosen


def settings(options: Options) -> dict[str, Any]:
    """Return what OpenVINO is told for options."""
    chosen: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[options.precision],
        "PERFORMANCE_HINT": "LATENCY",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",  # float32 products stay float32
    }
    if not adds_bytes_exactly():
        chosen["LP_TRANSFORMS_MODE"] = "NO"  # products of quantized values are those of floats
    if options.threads is not None:  # a thread count turns pinning on; processes then collide
        chosen |= {"INFERENCE_NUM_THREADS": options.threads, "ENABLE_CPU_PINNING": False}
    if options.streams > 1:
        chosen |= {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": options.streams}
        chosen["ENABLE_CPU_PINNING"] = False
    return chosen


def failure(action: str, problem: Exception) -> errors.TripyRuntimeError:
    """Return the error for what OpenVINO raised."""
    memory = "alloc" in str(problem).lower()
    kind = errors.TripyMemoryError if memory else errors.TripyRuntimeError
    return errors.error(
        kind,
        f"OpenVINO could not {action}.",
        received=" ".join(str(problem).split())[:500],
        expected="a program that runs",
        fix="use engine='reference', and report this" if not memory else "use smaller batches",
    )


class OpenVINOEngine:
    """OpenVINO on the CPU."""

    name = "openvino"

    def precisions(self, kind: str) -> Sequence[str]:
        """Return what the plugin may be told to compute in."""
        return tuple(_PRECISIONS)

    def refusals(self, graph: Graph) -> list[Refusal]:
        """Return the nodes that the CPU plugin would not compute exactly."""
        inside = border.drawn(graph, LACKING)
        graph = graph if inside is None else inside.graph
        carried = _carried(graph)
        found = []
        for value in graph.operations:
            if value.node is not None:
                reason = _refusal(value, value.node, carried)
                if reason:
                    found.append(Refusal(value.node, reason))
        return found

    def build(self, graph: Graph, options: Options) -> Program:
        """Compile a graph for the CPU."""
        if forks.lost:
            return remote.RemoteProgram(self.name, graph, options)
        return OpenVINOProgram(graph, options)

    def fingerprint(self, options: Options) -> str:
        """Return the version of OpenVINO, what the processor has, and the settings."""
        if forks.lost:
            return remote.fingerprint(self.name, options)
        names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
        processor = [core().get_property("CPU", name) for name in names]
        return f"OpenVINO {ov.__version__}, {processor}, {settings(options)}, {_FORM}"

    def profile(
        self, graph: Graph, options: Options, inputs: Sequence[Any], repeat: int
    ) -> list[Kernel]:
        """Time the kernels of a program that counts; the usual ones do not."""
        from tripy.engines.openvino_profile import measure

        return measure(graph, options, inputs, repeat)

    def restore(self, graph: Graph, options: Options, exported: Any) -> Program:
        """Import a compiled model of the graph."""
        if forks.lost:
            return remote.RemoteProgram(self.name, graph, options, exported)
        return OpenVINOProgram(graph, options, exported)


def _carried(graph: Graph) -> set[int]:
    """Values of packed types between quantize and dequantize."""
    outputs = {id(value) for value in graph.outputs}
    found = set()
    for value in graph.operations:
        name = value.node.primitive.name if value.node is not None else ""
        if name == "quantize" and value.dtype in dtypes.PACKED and id(value) not in outputs:
            found.add(id(value))
        if name != "dequantize" and value.node is not None:
            found -= {id(i) for i in value.node.inputs}
    return found


def _refusal(value: Value, node: Node, carried: set[int]) -> str | None:
    names = [v.dtype.name for v in (*node.inputs, value)]
    *inputs, kind = (
        CARRIERS[name] if id(v) in carried else name
        for name, v in zip(names, (*node.inputs, value))
    )
    return refusal(
        node.primitive.name,
        inputs,
        kind,
        {k: _plain(v) for k, v in node.attributes.items()},
        [v.shape for v in node.inputs],
        node.shape,
    )


ENGINE = OpenVINOEngine()
