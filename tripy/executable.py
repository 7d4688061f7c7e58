"""``Executable``: calling, checking and printing a compiled function."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tripy import dtypes, errors, shapes, structure
from tripy.config import config
from tripy.devices import device
from tripy.engines.base import Options, Program
from tripy.graph import Graph, Value, bind, shape_text
from tripy.host import from_array, is_tensor_like
from tripy.inputs import DimensionInputInfo, InputInfo
from tripy.signature import InstanceSignature
from tripy.structure import Slot
from tripy.tensor import DimensionSize, Tensor, wrap
from tripy.verify import Report, compare, tolerances


class InputLeaf(NamedTuple):
    """One described input: its path, such as ``x`` or ``batch.images[0]``, and description."""

    path: str
    info: InputInfo | DimensionInputInfo


class Parameters(NamedTuple):
    """The parameters of an Executable: name → template with numbered slots."""

    templates: dict[str, Any]

    @property
    def is_flat(self) -> bool:
        """Whether every parameter is one tensor."""
        return all(isinstance(t, Slot) for t in self.templates.values())


class OutputPlan(NamedTuple):
    """Where each result comes from: the program, an input, or a constant."""

    graph: Graph  # the graph with only the outputs that the program computes
    sources: list[tuple[str, Any]]  # ("program", position), ("input", position), ("constant", data)


def output_plan(graph: Graph) -> OutputPlan:
    """Split results into what must be computed and what is known already."""
    inputs = {id(value): i for i, value in enumerate(graph.inputs)}
    computed = list(dict.fromkeys(v for v in graph.outputs if not v.is_leaf))
    positions = {id(value): i for i, value in enumerate(computed)}
    sources: list[tuple[str, Any]] = []
    for value in graph.outputs:
        if id(value) in inputs:
            sources.append(("input", inputs[id(value)]))
        elif value.is_leaf:
            sources.append(("constant", value.data))
        else:
            sources.append(("program", positions[id(value)]))
    inner = Graph.build(graph.inputs, computed, graph.conditions, graph.names, graph.symbols)
    return OutputPlan(inner, sources)


class _Check:
    """The expected dtype and sizes of one input."""

    __slots__ = ("dtype", "info", "numpy", "path", "shape", "symbols")

    def __init__(self, leaf: InputLeaf, value: Value) -> None:
        self.path, self.info = leaf
        self.dtype = value.dtype
        self.numpy = dtypes.to_numpy(value.dtype)
        self.shape = value.shape if shapes.is_static(value.shape) else None
        names = [next(iter(shapes.symbols(s)), None) for s in value.shape]
        self.symbols = [(i, name) for i, name in enumerate(names) if name]


class Executable:
    """A compiled function; made by :func:`tripy.compile`.

    Calls take Tensors, NumPy arrays or DLPack objects by position or by name and return what the
    function returned, with evaluated tensors that own their memory. Calls from several threads at
    once are allowed.

    Attributes:
        engine: name of the engine that runs it.
        device: where it runs and where results are.
        precision: lowest arithmetic used inside for float32 work.
        input_infos: leaf name → InputInfo or DimensionInputInfo.
        output_infos: leaf path → InputInfo (of sizes: DimensionInputInfo) of the results.

    Raises:
        TripyTypeError: when called with wrong arguments, containers or dtypes.
        TripyShapeError: when called with ranks or sizes that the description does not allow.
        TripyDeviceError: when called with a tensor on another device.
        TripyRuntimeError: when the engine fails.

    Example:
        >>> batch = tp.NamedDimension("batch", 1, 2, 8)
        >>> exe = tp.compile(tp.relu, args=[tp.InputInfo((batch, 2), tp.float32)])
        >>> exe
        Executable(input: Tensor) -> Tensor
            engine=openvino, device=cpu:0, precision=float32
            input: float32 (batch, 2), 1 <= batch <= 8
            output: float32 (batch, 2)
        >>> exe(np.array([[-1.0, 1.0]], np.float32)).tolist()
        [[0.0, 1.0]]
    """

    def __init__(
        self,
        *,
        parameters: Parameters,
        leaves: Sequence[InputLeaf],
        template: Any,
        paths: Sequence[str],
        graph: Graph,
        plan: OutputPlan,
        program: Program | None,
        engine: str,
        options: Options,
    ) -> None:
        self._parameters = parameters
        self._leaves = list(leaves)
        self._template = template
        self._paths = list(paths)
        self._graph = graph
        self._plan = plan
        self._program = program
        self._options = options
        self.engine = engine
        self._checks = [_Check(leaf, value) for leaf, value in zip(leaves, graph.inputs)]
        self._names = list(parameters.templates)
        in_order = [t.index for t in parameters.templates.values() if isinstance(t, Slot)]
        self._is_flat = parameters.is_flat and in_order == list(range(len(leaves)))
        self._dynamic = bool(graph.symbols) or bool(graph.conditions)
        self._outputs = [(v.dtype, v.device) for v in graph.outputs]
        kinds = [position for kind, position in plan.sources if kind == "program"]
        self._direct = kinds == list(range(len(plan.sources)))

    @property
    def device(self) -> device:
        """The device that it runs on."""
        return self._options.device

    @property
    def precision(self) -> str:
        """The lowest arithmetic used inside for float32 work."""
        return self._options.precision

    @property
    def input_infos(self) -> dict[str, InputInfo | DimensionInputInfo]:
        """Leaf name → description, in the order of the parameters."""
        return {leaf.path: leaf.info for leaf in self._leaves}

    @property
    def output_infos(self) -> dict[str, InputInfo | DimensionInputInfo]:
        """Leaf path → dtype and bounds of the sizes of the results."""
        return {p: _info_of(v) for p, v in zip(self._paths, self._graph.outputs)}

    @InstanceSignature
    def __signature__(self) -> inspect.Signature:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [
            inspect.Parameter(name, kind, annotation=self._annotation(template))
            for name, template in self._parameters.templates.items()
        ]
        returns = Tensor if isinstance(self._template, Slot) else type(self._template)
        return inspect.Signature(parameters, return_annotation=returns)

    def _annotation(self, template: Any) -> type:
        if not isinstance(template, Slot):
            return type(template)
        is_size = isinstance(self._leaves[template.index].info, DimensionInputInfo)
        return DimensionSize if is_size else Tensor

    def _call_parameters_(self) -> tuple[str, ...]:
        return tuple(self._names)

    def _call_text(self) -> str:
        parameters = self.__signature__.parameters.values()
        return f"Executable({', '.join(f'{p.name}: {p.annotation.__name__}' for p in parameters)})"

    def __repr__(self) -> str:
        lines = [f"{self._call_text()} -> {self.__signature__.return_annotation.__name__}"]
        settings = f"engine={self.engine}, device={self.device}, precision={self.precision}"
        lines.append(f"    {settings}")
        shown: set[str] = set()
        for leaf, value in zip(self._leaves, self._graph.inputs):
            lines.append(f"    {leaf.path}: {_value_text(leaf.info, value, shown)}")
        for path, value in zip(self._paths, self._graph.outputs):
            lines.append(f"    {path}: {value.dtype} {shape_text(value.shape)}")
        return "\n".join(lines)

    __str__ = __repr__

    # --- calling -----------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on inputs given by position or by name."""
        buffers = self._buffers(args, kwargs)
        tensors = [
            wrap(Value(kind, data.shape, place, None, data))
            for data, (kind, place) in zip(self._run(self._program, buffers), self._outputs)
        ]
        template = self._template
        return tensors[0] if type(template) is Slot else structure.rebuild(template, tensors)

    def verify(self, *inputs: Any, rtol: float | None = None, atol: float | None = None) -> Report:
        """Run the same graph on the reference engine too, and compare.

        Args:
            inputs: as in a call, by position.
            rtol: relative tolerance; None takes that of the dtype and precision.
            atol: absolute tolerance; None takes that of the dtype and precision.

        Returns:
            A report whose truth value is ``ok``, with one row per result. A difference is
            reported, not raised.

        Raises:
            TripyTypeError, TripyShapeError: for wrong inputs, as in a call.

        Example:
            >>> exe = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)])
            >>> exe.verify(np.array([0.5, 1.0, 2.0], np.float32)).ok
            True
        """
        from tripy.engines.reference import ReferenceProgram

        buffers = self._buffers(inputs, {})
        results = self._run(self._program, buffers)
        expected = self._run(ReferenceProgram(self._plan.graph), buffers)
        rows = []
        for path, value, x, y in zip(self._paths, self._graph.outputs, results, expected):
            limits = tolerances(value, self.precision, rtol, atol)
            rows.append(compare(path, x, y, limits))
        return Report(rows)

    def _buffers(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the checked buffers of a call, one per input of the graph."""
        if self._is_flat and not kwargs and len(args) == len(self._checks):
            leaves: Sequence[Any] = args
        else:
            leaves = self._bind(args, kwargs)
        buffers = []
        for check, leaf in zip(self._checks, leaves):
            if (
                type(leaf) is np.ndarray
                and leaf.shape == check.shape
                and leaf.dtype is check.numpy
                and leaf.flags.c_contiguous
            ):
                buffers.append(leaf)
            else:
                buffers.append(self._buffer(check, leaf))
        if self._dynamic:
            self._check_sizes(buffers)
        return buffers

    def _run(self, program: Program | None, buffers: Sequence[Any]) -> list[Any]:
        results = program(buffers) if program is not None else []
        return results if self._direct else self._assemble(results, buffers)

    def _assemble(self, results: Sequence[Any], buffers: Sequence[Any]) -> list[Any]:
        """Return one array of its own per result."""
        taken: set[int] = set()
        assembled = []
        for kind, source in self._plan.sources:
            if kind == "program" and source not in taken:
                taken.add(source)
                assembled.append(results[source])
            else:
                data = {"program": results, "input": buffers}.get(kind)
                assembled.append(np.array(source if data is None else data[source]))
        return assembled

    def _bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the input leaves of a call in order."""
        given = dict(zip(self._names, args))
        self._check_names(args, kwargs)
        given |= kwargs
        leaves: list[Any] = [None] * len(self._leaves)
        for name, template in self._parameters.templates.items():
            _extract(template, given[name], name, leaves)
        return leaves

    def _check_names(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Raise TripyTypeError with everything that is wrong with the names of a call."""
        names = self._names
        taken, surplus = names[: len(args)], args[len(names) :]
        problems: list[tuple[str, errors.ArgumentPath | None]] = []
        if surplus:
            text = f"too many arguments ({len(args)}, at most {len(names)})"
            problems.append((text, (len(names),)))
        for name in kwargs:
            if name not in names:
                problems.append((f"there is no parameter {name!r}", name))
            elif name in taken:
                problems.append((f"{name!r} is given twice", name))
        missing = [name for name in names if name not in taken and name not in kwargs]
        problems += [(f"the argument {name!r} is missing", None) for name in missing]
        if not problems:
            return
        raise errors.error(
            errors.TripyTypeError,
            "; ".join(text for text, _ in problems) + ".",
            received=errors.given(args, kwargs),
            expected=self._call_text(),
            fix=f"add {' and '.join(missing)}" if missing else "remove what is too much",
            argument=next((place for _, place in problems if place), None),
        )

    def _buffer(self, check: _Check, leaf: Any) -> Any:
        """Return the checked host buffer of one input."""
        if isinstance(leaf, Tensor):
            if leaf.device != self.device:
                raise errors.error(
                    errors.TripyDeviceError,
                    f"the input {check.path!r} is on another device.",
                    received=str(leaf.device),
                    expected=str(self.device),
                    fix=f"tp.copy(tensor, {str(self.device)!r})",
                    argument=structure.keys_of(check.path),
                )
            array = leaf._elements()
        elif isinstance(check.info, DimensionInputInfo) and shapes.as_size(leaf) is not None:
            array = np.array(leaf, np.int32)
        elif is_tensor_like(leaf) and not isinstance(leaf, (bool, int, float, list, tuple)):
            array = from_array(leaf)
        else:
            raise errors.error(
                errors.TripyTypeError,
                f"the input {check.path!r} is no {_noun(check)}.",
                received=errors.describe(leaf),
                expected=_EXPECTED[_noun(check)],
                fix=_FIX[_noun(check)],
                argument=structure.keys_of(check.path),
            )
        if config.enable_input_validation:
            self._check_leaf(check, array)
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def _check_leaf(self, check: _Check, array: Any) -> None:
        if array.dtype != check.numpy:
            raise errors.error(
                errors.TripyTypeError,
                f"the input {check.path!r} has another dtype.",
                received=str(dtypes.from_numpy(array.dtype) or array.dtype),
                expected=str(check.dtype),
                fix=f"convert it first: tp.cast({check.path}, tp.{check.dtype})",
                argument=structure.keys_of(check.path),
            )
        bounds = _bounds_of(check.info)
        if array.ndim != len(bounds):
            received = f"shape {array.shape} of rank {array.ndim}"
            raise _wrong_size(check, array, received, f"rank {len(bounds)}")
        for dim, (low, high) in enumerate(bounds):
            if not low <= array.shape[dim] <= high:
                received = f"size {array.shape[dim]} in dim {dim} of shape {array.shape}"
                expected = str(low) if low == high else f"{low} … {high}"
                raise _wrong_size(check, array, received, expected)
        if isinstance(check.info, DimensionInputInfo):
            b = check.info.value_bounds
            if not b.min[0] <= int(array) <= b.max[0]:
                raise _wrong_size(check, array, str(int(array)), f"{b.min[0]} … {b.max[0]}")

    def _check_sizes(self, buffers: Sequence[Any]) -> None:
        """Check equal names and the conditions that tracing left open."""
        seen: dict[str, tuple[int, str]] = {}
        for check, array in zip(self._checks, buffers):
            for dim, name in check.symbols:
                size = array.shape[dim]
                if seen.setdefault(name, (size, check.path))[0] != size:
                    raise errors.error(
                        errors.TripyShapeError,
                        f"the dimension {name!r} has two sizes in one call.",
                        received=f"{seen[name][0]} in {seen[name][1]!r}, {size} in {check.path!r}",
                        expected="one size",
                        fix=f"pass inputs whose {name} agrees, or compile with two names",
                        argument=structure.keys_of(check.path),
                    )
        if not self._graph.conditions:
            return
        values = bind(self._graph.symbols, [a.shape for a in buffers], buffers)
        for condition in self._graph.conditions:
            if not condition.holds(values):
                raise _broken_condition(condition, values)


_EXPECTED = {
    "size": "an int or a tp.DimensionSize",
    "tensor": "a Tensor, a NumPy array or a DLPack object",
}
_FIX = {"size": "pass an int", "tensor": "wrap numbers and lists in tp.Tensor(…)"}


def _noun(check: _Check) -> str:
    return "size" if isinstance(check.info, DimensionInputInfo) else "tensor"


def _extract(template: Any, value: Any, path: str, leaves: list[Any]) -> None:
    """Put the leaves of an argument into ``leaves`` as its template says."""
    if isinstance(template, Slot):
        leaves[template.index] = value
        return
    if not structure.is_container(template):
        return
    _check_container(template, value, path)
    members = {key: member for _, key, member in structure.children(value)}
    for member_path, key, member in structure.children(template, path):
        needed = [leaf for _, leaf in structure.leaves(member, "") if isinstance(leaf, Slot)]
        if key in members:
            _extract(member, members[key], member_path, leaves)
        elif needed:
            raise _bad_container(path, f"no {member_path!r}", template)


def _check_container(template: Any, value: Any, path: str) -> None:
    is_sequence = isinstance(template, (list, tuple))
    fits = isinstance(value, (list, tuple)) if is_sequence else isinstance(value, type(template))
    if not fits:
        raise _bad_container(path, errors.describe(value), template)
    known = {key for _, key, _ in structure.children(template)}
    unknown = [key for _, key, _ in structure.children(value) if key not in known]
    if unknown:
        raise _bad_container(path, f"the unknown member {unknown[0]!r}", template)


def _bad_container(path: str, problem: str, template: Any) -> errors.TripyTypeError:
    members = [member_path for member_path, _ in structure.leaves(template, path)]
    return errors.error(
        errors.TripyTypeError,
        f"the argument {path!r} has another structure.",
        received=problem,
        expected=f"a {type(template).__name__} with {', '.join(members) or 'no members'}",
        fix="pass the structure that args described to tp.compile",
        argument=structure.keys_of(path),
    )


def _wrong_size(check: _Check, array: Any, received: str, expected: str) -> errors.TripyShapeError:
    return errors.error(
        errors.TripyShapeError,
        f"the input {check.path!r} does not fit its description.",
        received=received,
        expected=expected,
        fix=f"pass such a {_noun(check)}, or compile with other bounds than {check.info}",
        argument=structure.keys_of(check.path),
    )


def _broken_condition(
    condition: shapes.Condition, values: dict[str, int]
) -> errors.TripyShapeError:
    left, right = (shapes.evaluate(s, values) for s in (condition.left, condition.right))
    sizes = {str(condition.left): left, str(condition.right): right} | values
    shown = (f"{size} = {value}" for size, value in sizes.items() if size != str(value))
    return errors.error(
        errors.TripyShapeError,
        f"{condition.message}.",
        received=", ".join(shown),
        expected=f"{condition.left} {condition.relation} {condition.right}",
        fix="pass inputs whose sizes fit together",
        source=condition.source,
    )


def _bounds_of(info: InputInfo | DimensionInputInfo) -> list[tuple[int, int]]:
    if isinstance(info, DimensionInputInfo):
        return []
    return list(zip(info.shape_bounds.min, info.shape_bounds.max))


def _info_of(value: Value) -> InputInfo | DimensionInputInfo:
    node = value.node
    if node is not None and node.primitive.name == "size":  # a DimensionSize
        return DimensionInputInfo(_possible(node.attributes["size"]))
    return InputInfo([_possible(size) for size in value.shape], value.dtype)


def _possible(size: shapes.Size) -> tuple[int, ...]:
    """Return (min, opt, max) of a size."""
    low, high = shapes.bounds(size)
    return tuple(sorted(max(bound, 0) for bound in (low, shapes.optimum(size), high)))


def _value_text(info: InputInfo | DimensionInputInfo, value: Value, shown: set[str]) -> str:
    if isinstance(info, DimensionInputInfo):
        b = info.value_bounds
        return f"size, {b.min[0]} … {b.max[0]}"
    text = f"{value.dtype} {shape_text(value.shape)}"
    for size in value.shape:
        for name, symbol in shapes.symbols(size).items():
            if name not in shown:
                shown.add(name)
                text += f", {symbol.minimum} <= {name} <= {symbol.maximum}"
    return text
