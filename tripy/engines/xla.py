"""The XLA engine: graphs become JAX functions, compiled for the sizes of the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax.experimental.layout import Format

from tripy import dtypes, errors, memory, passes, shapes
from tripy.engines.base import Kernel, Options, Refusal
from tripy.engines.kept import Kept
from tripy.engines.xla_attention import fuse_attention
from tripy.engines.xla_memory import FAILURES, PLATFORMS, check, failure
from tripy.engines.xla_ops import ROWS, refusal
from tripy.engines.xla_place import Placement, placement
from tripy.engines.xla_types import Context
from tripy.graph import Graph, Node, Value, bind, renewed, replaced, rewritten, specialise
from tripy.ops.convolution import flops

_LITERAL = 2**14  # bytes; smaller constants are part of a program, others are its arguments
_EMBEDDED = 2**28  # bytes; up to here all weights of a static graph are part of its program
# Options of XLA for programs on GPUs that launches bound: convolutions become parts of CUDA graphs.
LAUNCH_OPTIONS: dict[str, Any] = {"xla_gpu_experimental_enable_conv_fusion": True}
SMALL_CONVOLUTION = 2e9  # operations that an H100 does in the time of a launch
_PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
_LAZY = ("dequantize", "expand")  # these make constants larger, so every call computes them
_LAZY_ARGUMENTS = (*_LAZY, "permute")  # which the layout of an argument does, without a copy


# --- tracing ---------------------------------------------------------------------------------


def _is_weight(value: Value) -> bool:
    return value.data is not None and value.data.nbytes > _LITERAL


def run_node(node: Node, inputs: Sequence[Any], context: Context) -> Any:
    """Trace one node of known sizes; what JAX cannot do is an error at the node's line."""
    row = ROWS[node.primitive.name]
    kind: Any = dtypes.to_numpy(node.dtype)
    try:
        with jax.named_scope(context.scopes.get(id(node.source), node.label)):
            context = context._replace(source=node.source)
            return row(context, inputs, node.attributes, node.shape, kind)  # type: ignore[arg-type]
    except errors.TripyException:
        raise
    except FAILURES as problem:
        raise failure(f"compute {node.label}", problem, node.source) from problem


def traceable(graph: Graph, weights: Sequence[Value], context: Context) -> Callable[..., Any]:
    """Return a function of (weights, inputs) that computes the outputs of a static graph."""

    def run(arguments: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        known = {id(value): array for value, array in zip(weights, arguments)}
        known |= {id(value): array for value, array in zip(graph.inputs, inputs)}
        for value in graph.values:
            if id(value) in known:
                continue
            node = value.node
            if value.data is not None or node is None:
                known[id(value)] = jax.numpy.asarray(np.asarray(value.data))
            else:
                known[id(value)] = run_node(node, [known[id(i)] for i in node.inputs], context)
        return [known[id(value)] for value in graph.outputs]

    return run


# --- what is computed once -------------------------------------------------------------------


def _fixed(graph: Graph, lazy: Sequence[str]) -> list[Value]:
    """Return the values that calls need and that weights alone determine.

    Args:
        graph: where to look.
        lazy: names of the primitives that every call computes.
    """
    known = {id(value) for value in graph.constants}
    derived = {id(value) for value in graph.constants if _is_weight(value)}
    found: dict[int, Value] = {}
    needed = {id(value) for value in graph.outputs}
    for value in graph.operations:
        node = value.node
        sources = [] if node is None else [id(i) for i in node.inputs]
        is_lazy = node is None or node.primitive.name in lazy or bool(_symbols([value]))
        if is_lazy or not known.issuperset(sources):
            needed.update(sources)
            continue
        known.add(id(value))
        if not derived.isdisjoint(sources):
            derived.add(id(value))
            found[id(value)] = value
    return [value for key, value in found.items() if key in needed]


def prepared(graph: Graph, context: Context, placement: Placement, lazy: Sequence[str]) -> Graph:
    """Return the graph with its weights, and what they determine, on the device."""
    fixed = _fixed(graph, lazy)
    part = Graph.build((), fixed, names=graph.names)
    weights = [value for value in part.constants if _is_weight(value)]
    placed = {id(v): placement.place(v, graph.names.get(id(v), "")) for v in weights}
    if fixed:
        function = jax.jit(traceable(part, weights, context))
        computed = function([placed[id(v)] for v in weights], ())
        placed |= {id(value): array for value, array in zip(fixed, computed)}
    inside = {id(value) for value in part.values}
    others = [v.node for v in graph.operations if v.node is not None and id(v) not in inside]
    needed = {id(i) for node in others for i in node.inputs} | {id(v) for v in fixed}

    def moved(value: Value, inputs: tuple[Value, ...]) -> Value:
        is_known = id(value) in placed or value.data is not None
        if id(value) not in needed or not is_known:
            return renewed(value, inputs)
        constant = replaced(value, None)
        constant.data = placed.get(id(value))
        if constant.data is None and _is_weight(value):
            constant.data = placement.place(value, graph.names.get(id(value), ""))
        elif constant.data is None:
            constant.data = np.asarray(value.data)
        return constant

    return rewritten(graph, moved)


def _is_embedded(graph: Graph) -> bool:
    """Whether all weights are part of the program: there is but one, and they are not large.

    A weight that is an argument costs about 3 µs per call; larger ones would slow down compiling.
    """
    names = {v.node.primitive.name for v in graph.operations if v.node is not None}
    size: int = sum(value.data.nbytes for value in graph.constants)
    return not graph.symbols and "dequantize" not in names and size <= _EMBEDDED


def _options(graph: Graph, platform: str) -> dict[str, Any]:
    """Options of XLA that were faster where they were measured (see ARCHITECTURE.md)."""
    nodes = [v.node for v in graph.operations if v.node is not None]
    work = [flops(n) for n in nodes if n.primitive.name in ("conv", "conv_transpose")]
    is_bound = platform == "gpu" and len(work) > 1 and sum(work) / len(work) < SMALL_CONVOLUTION
    return LAUNCH_OPTIONS if is_bound else {}


# --- programs --------------------------------------------------------------------------------


def _spec(value: Value) -> Any:
    kind: Any = dtypes.to_numpy(value.dtype)
    return jax.ShapeDtypeStruct(value.shape, kind)  # type: ignore[no-untyped-call]


def _in_64_bits(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is called with 64-bit types on; JAX takes arrays of the host for it."""

    def call(*arguments: Any) -> Any:
        with jax.enable_x64(True):
            return function(*arguments)

    return call


class _Compiled:
    """The program for one set of sizes; weights are its first arguments."""

    def __init__(
        self, graph: Graph, context: Context, placement: Placement, is_first: bool
    ) -> None:
        weights = [v for v in graph.constants if isinstance(v.data, jax.Array)]
        self._options = _options(graph, context.platform)
        self._specs = [_spec(v) for v in weights], [_spec(v) for v in graph.inputs]
        self._function = traceable(graph, weights, context)
        self._inputs = [placement.input(v, graph.names.get(id(v), "")) for v in graph.inputs]
        self._is_wide = any(spec.dtype.itemsize == 8 for spec in self._specs[1])
        self._outputs = [placement.output(i) for i in range(len(graph.outputs))]
        self._placement = placement
        self._ranks = [len(value.shape) for value in graph.outputs]
        self._others: dict[tuple[Any, ...], Any] = {}  # programs for inputs in these layouts
        if any(v.dtype is dtypes.int4 for v in (*weights, *graph.inputs)):
            # Compiled ahead, programs refuse int4 arrays for the layouts that JAX itself gave them.
            call: Any = _in_64_bits(jax.jit(self._function, out_shardings=self._outputs))
        else:
            wanted = [placement.weight(v, is_first) for v in weights]
            call = self._built(wanted, self._inputs, self._outputs)
            if context.platform == "cpu":  # a GPU's own allocator refuses in time
                _check_memory(graph, call)
            (formats, usual), _ = call.input_formats
            for value, layout in zip(weights, formats):
                value.data = jax.device_put(value.data, layout)
            self._others[tuple(usual)] = call
        self._weights = [value.data for value in weights]
        self._use(call)

    def _built(self, weights: Any, inputs: Any, outputs: Any) -> Any:
        jitted: Any = jax.jit(self._function, in_shardings=(weights, inputs), out_shardings=outputs)
        lowered = jitted.lower(*self._specs)
        try:
            return lowered.compile(compiler_options=self._options)
        except FAILURES:
            if not self._options:
                raise
        return lowered.compile()  # another version of XLA, or what the options cannot do

    def text(self) -> str:
        """Return the program that ran last, as XLA prints it."""
        compiled: str = self._call.as_text()
        return compiled

    def __call__(self, inputs: Sequence[Any]) -> Any:
        """Run on arrays; results lie in memory as the inputs of their rank do."""
        try:
            return self._run(inputs)
        except ValueError as problem:
            if "layouts" not in str(problem):
                raise
        with jax.enable_x64(True):
            arrays = self._placement.arrays(inputs, self._inputs)
            formats = tuple(x.format for x in arrays)
            if formats not in self._others:
                weights = [x.format for x in self._weights]
                layouts = {x.ndim: x.format.layout for x in reversed(arrays)}
                outputs = [
                    Format(layouts[rank], at) if rank in layouts else at
                    for rank, at in zip(self._ranks, self._outputs)
                ]
                self._others[formats] = self._built(weights, list(formats), outputs)
        self._use(self._others[formats])
        return self._run(arrays)

    def _use(self, call: Any) -> None:
        wanted = call if not self._is_wide else _in_64_bits(call)
        self._call = call
        self._run = self._placement.caller(wanted, self._weights, self._inputs)


def _check_memory(graph: Graph, compiled: Any) -> None:
    """Raise TripyMemoryError for what XLA would ask for in vain."""
    needs = compiled.memory_analysis()
    if needs is not None:  # not every platform knows
        memory.check_program(graph, needs.temp_size_in_bytes + needs.output_size_in_bytes)


class XLAProgram:
    """A graph on its devices, and programs for the sizes of past calls."""

    def __init__(
        self, graph: Graph, options: Options, scopes: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        platform = PLATFORMS[options.device.kind]
        self._context = Context(options.precision, platform, scopes=scopes)
        self._placement = placement(options)
        self._programs: Kept[_Compiled] = Kept(options.shapes_kept)
        try:
            with jax.enable_x64(True):
                graph = passes.fold_normalisation(graph)
                if platform == "gpu":
                    graph = fuse_attention(graph, options.layout is None)
                is_embedded = options.layout is None and _is_embedded(graph)
                lazy = _LAZY if is_embedded else _LAZY_ARGUMENTS
                self._graph = prepared(graph, self._context, self._placement, lazy)
                if is_embedded:
                    for value in self._graph.constants:
                        value.data = np.asarray(value.data)
        except FAILURES as problem:
            raise failure("place the weights", problem) from problem
        self._symbols = self._graph.symbols
        usual = _usual_sizes(self._graph)
        if all(condition.holds(usual) for condition in graph.conditions):
            self._only = self._program(usual)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        check()
        if self._symbols:
            program = self._program(bind(self._symbols, [x.shape for x in inputs], inputs))
        else:
            program = self._only
        try:
            return self._placement.given(program(inputs))
        except FAILURES as problem:
            raise failure("run the program", problem) from problem

    def text(self, inputs: Sequence[Any]) -> str:
        """Return the compiled program that runs on inputs, as XLA prints it."""
        sizes = bind(self._symbols, [x.shape for x in inputs], inputs)
        return self._program(sizes).text()

    def export(self) -> None:
        """Return nothing: JAX's own form of programs holds pickled objects."""

    def _program(self, sizes: Mapping[str, int]) -> _Compiled:
        return self._programs.get(tuple(sizes.values()), lambda: self._compiled(sizes))

    def _compiled(self, sizes: Mapping[str, int]) -> _Compiled:
        graph = specialise(self._graph, sizes) if self._symbols else self._graph
        self._placement.check(graph)
        try:
            with jax.enable_x64(True):
                return _Compiled(graph, self._context, self._placement, not self._programs)
        except errors.TripyException:
            raise
        except FAILURES as problem:
            raise failure("build the program", problem) from problem


def _symbols(values: Iterable[Value]) -> dict[str, shapes.Symbol]:
    """Return the dynamic sizes in shapes and attributes, by name."""
    found: dict[str, shapes.Symbol] = {}

    def collect(item: Any) -> None:
        if isinstance(item, tuple):
            for member in item:
                collect(member)
        else:
            found.update(shapes.symbols(item))

    for value in values:
        collect((value.shape, () if value.node is None else (*value.node.attributes.values(),)))
    return found


def _usual_sizes(graph: Graph) -> dict[str, int]:
    """Return the opt value of every symbol."""
    found = _symbols((*graph.inputs, *graph.values))
    return {name: found[name].optimum if name in found else 1 for name in graph.symbols}


class XLAEngine:
    """XLA through JAX, on CPUs and GPUs."""

    name = "xla"

    def precisions(self, kind: str) -> Sequence[str]:
        """Return what products may be computed in; only GPUs have tf32."""
        return _PRECISIONS if kind == "gpu" else [p for p in _PRECISIONS if p != "tf32"]

    def refusals(self, graph: Graph) -> list[Refusal]:
        """Return the nodes that have no exact form here."""
        found = [refusal(v.node) for v in graph.operations if v.node is not None]
        return [refused for refused in found if refused is not None]

    def profile(
        self, graph: Graph, options: Options, inputs: Sequence[Any], repeat: int
    ) -> list[Kernel]:
        """Trace calls of a program of its own."""
        from tripy.engines.xla_profile import measure

        return measure(graph, options, inputs, repeat)

    def build(self, graph: Graph, options: Options) -> XLAProgram:
        """Compile a graph for the opt sizes; other sizes are compiled when they are first met."""
        return XLAProgram(graph, options)

    def fingerprint(self, options: Options) -> str:
        """Return nothing: no program is exported."""
        return ""

    def restore(self, graph: Graph, options: Options, exported: Any) -> XLAProgram:
        """Compile the graph."""
        return XLAProgram(graph, options)


ENGINE = XLAEngine()
