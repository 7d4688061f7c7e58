"""``Executable``: calling, checking and printing a compiled function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from tripy import devices, errors, mapping, structure
from tripy.calls import InputLeaf, Inputs
from tripy.devices import device
from tripy.engines.base import Options, Program, put
from tripy.graph import Graph, Value, shape_text
from tripy.inputs import DimensionInputInfo, InputInfo, info_of, value_text
from tripy.memory import Watch
from tripy.profile import ProfileReport, check_repeat, profiled
from tripy.progress import CompileReport
from tripy.signature import InstanceSignature, public
from tripy.streams import Stream, check_stream, default_stream
from tripy.structure import Slot
from tripy.tensor import DimensionSize, Tensor, wrap
from tripy.verify import Report
from tripy.views import GraphView, html_table


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


class Executable:
    """A compiled function; made by :func:`tripy.compile`.

    Calls take Tensors, NumPy arrays or DLPack objects by position or by name and return what the
    function returned, with evaluated tensors that own their memory. Calls from several threads at
    once are allowed. In a process that was forked after OpenVINO ran, calls go through a helper
    process, one at a time; processes of ``multiprocessing.get_context("spawn")`` are faster.

    Attributes:
        engine: name of the engine that runs it.
        device: where it runs and where results are.
        precision: lowest arithmetic used inside for float32 work.
        stream: the stream of its calls; may be assigned.
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
        report: CompileReport | None = None,
    ) -> None:
        self._parameters = parameters
        self._template = template
        self._paths = list(paths)
        self._graph = graph
        self._plan = plan
        self._program = program
        self._options = options
        self._report = CompileReport() if report is None else report
        self._stream: Stream | None = None
        self._streams: tuple[int, Program] | None = None  # of ``map``
        self.engine = engine
        watch = Watch(plan.graph, engine, options.device)
        self._inputs = Inputs(leaves, graph, options.device, watch, options.layout is not None)
        self._names = list(parameters.templates)
        in_order = [t.index for t in parameters.templates.values() if isinstance(t, Slot)]
        self._is_flat = parameters.is_flat and in_order == list(range(len(leaves)))
        self._outputs = [(v.dtype, options.device) for v in graph.outputs]
        kinds = [position for kind, position in plan.sources if kind == "program"]
        self._direct = kinds == list(range(len(plan.sources)))

    @property
    def device(self) -> device:
        """The device that it runs on."""
        return self._options.device

    @property
    def stream(self) -> Stream:
        """The stream of its calls; :func:`tripy.default_stream` until another one is assigned.

        Raises:
            TripyTypeError: for a value that is no Stream.
            TripyDeviceError: for a stream of another device.
        """
        return default_stream(self.device) if self._stream is None else self._stream

    @stream.setter
    def stream(self, stream: Stream) -> None:
        check_stream(stream, self.device)
        self._stream = stream

    @property
    def precision(self) -> str:
        """The lowest arithmetic used inside for float32 work."""
        return self._options.precision

    @property
    def input_infos(self) -> dict[str, InputInfo | DimensionInputInfo]:
        """Leaf name → description, in the order of the parameters."""
        return {leaf.path: leaf.info for leaf in self._inputs.leaves}

    @property
    def output_infos(self) -> dict[str, InputInfo | DimensionInputInfo]:
        """Leaf path → dtype and bounds of the sizes of the results."""
        return {p: info_of(v) for p, v in zip(self._paths, self._graph.outputs)}

    @property
    def compile_report(self) -> CompileReport:
        """How long each stage of the compile took; ``print`` shows a table.

        Example:
            >>> exe = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)])
            >>> [stage.name for stage in exe.compile_report.stages]
            ['trace', 'passes', 'build']
        """
        return self._report

    @property
    def graph(self) -> GraphView:
        """The operations as text (``str``), and as diagrams (``mermaid()``, ``dot()``).

        Example:
            >>> print(tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)]).graph)
            graph(input: float32(3,))
                v0: float32(3,) = exp(input)
                return v0
        """
        return GraphView(self._graph, self._paths)

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
        is_size = isinstance(self._inputs.leaves[template.index].info, DimensionInputInfo)
        return DimensionSize if is_size else Tensor

    def _call_parameters_(self) -> tuple[str, ...]:
        return tuple(self._names)

    def _call_text(self) -> str:
        parameters = self.__signature__.parameters.values()
        return f"Executable({', '.join(f'{p.name}: {p.annotation.__name__}' for p in parameters)})"

    def _title(self) -> str:
        settings = f"engine={self.engine}, device={self.device}, precision={self.precision}"
        settings += f", mesh={self._options.layout}" if self._options.layout else ""
        returned = self.__signature__.return_annotation.__name__
        return f"{self._call_text()} -> {returned}\n    {settings}"

    def _described(self) -> Iterator[tuple[str, str, str]]:
        """Yield (input or output, path, text) of every leaf."""
        shown: set[str] = set()
        for leaf, value in zip(self._inputs.leaves, self._graph.inputs):
            yield "input", leaf.path, value_text(leaf.info, value, shown)
        for path, value in zip(self._paths, self._graph.outputs):
            yield "output", path, f"{value.dtype} {shape_text(value.shape)}"

    def __repr__(self) -> str:
        lines = [f"    {path}: {text}" for _, path, text in self._described()]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        return html_table(self._title(), ("", "name", "type"), self._described())

    __str__ = __repr__

    # --- calling -----------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on inputs given by position or by name."""
        buffers = self._buffers(args, kwargs)
        return self._returned(self._run(self._program, buffers))

    def _returned(self, results: Sequence[Any]) -> Any:
        """Return arrays as what the function returned."""
        tensors = [
            wrap(Value(kind, data.shape, place, None, data))
            for data, (kind, place) in zip(results, self._outputs)
        ]
        template = self._template
        return tensors[0] if type(template) is Slot else structure.rebuild(template, tensors)

    @public("Executable.verify")
    def verify(
        self,
        *inputs: Any,
        rtol: float | None = None,
        atol: float | None = None,
        locate: bool = False,
    ) -> Report:
        """Run the same graph on the reference engine too, and compare.

        Elements that are outside are given more room by what their graph amplifies: the reference
        engine runs up to three times more, each result moved by the roundings that engines are
        free in (a step of the grid where something is quantized), and an element may differ by
        one and a half times what it moves then. With ``rtol`` or ``atol`` there is no such room.

        Args:
            inputs: as in a call, by position.
            rtol: relative tolerance; None takes that of the dtype and precision.
            atol: absolute tolerance; None takes that of the dtype and precision.
            locate: whether to look for the first operation that differs, by building parts of
                the graph: one for each of up to 64 operations, fewer than that for longer graphs.

        Returns:
            A report whose truth value is ``ok``, with one row per result, what the engine raised
            (``failure``), and the operation (``location``). A difference is reported, not raised.

        Raises:
            TripyTypeError, TripyShapeError: for wrong inputs, as in a call.
            TripyTypeError: for tolerances that are no numbers, or a ``locate`` that is no bool.
            TripyUnsupportedError: for ``locate`` on a mesh.

        Example:
            >>> exe = tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)])
            >>> exe.verify(np.array([0.5, 1.0, 2.0], np.float32), locate=True).ok
            True
        """
        from tripy.locate import verified

        return verified(self, self._buffers(inputs, {}), rtol, atol, locate)

    @public("Executable.map")
    def map(
        self, iterable: Any, in_flight: int = 2, *, progress: bool | Callable[..., Any] = False
    ) -> Iterator[Any]:
        """Call on every item, several at once, and yield the results in order.

        The cores are divided among the calls, which is faster than one call after the other where
        a call alone cannot keep all cores busy (measure it); the first use with two or more builds
        a program for that, which is kept. Results are those of calls, except that a sum which
        cores share may be rounded in another order. Items are taken as they are needed, at most
        ``in_flight + 1`` ahead, and copied. An error is raised at its item's place, after all
        results before it, and ends the iteration.

        Args:
            iterable: what to call on: a tuple gives the inputs by position, anything else is the
                one input.
            in_flight: how many calls run at once; one more is kept ready.
            progress: True shows a line on stderr meanwhile, where that is a terminal. A function
                is called with (done, total), before each result is given; the total is None
                where ``iterable`` has no ``len``.

        Returns:
            An iterator over the results; closing it early waits for what runs.

        Raises:
            TripyTypeError: when ``iterable``, ``in_flight`` or ``progress`` is something else.
            TripyValueError: for an ``in_flight`` below 1.
            TripyTypeError, TripyShapeError: for wrong items, as in a call.

        Example:
            >>> exe = tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)])
            >>> items = (np.array([-n, n], np.float32) for n in range(3))
            >>> [result.tolist() for result in exe.map(items)]
            [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]
        """
        return mapping.mapped(self, iterable, in_flight, progress)

    @public("Executable.save")
    def save(self, path: str | PathLike[str], engine_blob: bool = True) -> None:
        """Write a file that :meth:`load` makes an equal Executable of, on any machine.

        The file holds the graph, its weights and the engine's program, but no code; the suffix
        ``.tripy`` is customary. It appears only when it is complete.

        Args:
            path: the file.
            engine_blob: whether the engine's program is added, which makes loading faster on the
                same kind of machine.

        Raises:
            TripyFileError: when the file cannot be written.

        Example:
            >>> import tempfile
            >>> exe = tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     exe.save(folder + "/relu.tripy")
            ...     tp.Executable.load(folder + "/relu.tripy")(np.array([-1, 1], np.float32))
            tensor([0.0000, 1.0000], dtype=float32, loc=cpu:0, shape=(2,))
        """
        from tripy import saved

        saved.save(self, path, engine_blob)

    @staticmethod
    @public("Executable.load")
    def load(
        path: str | PathLike[str],
        device: devices.device | str | None = None,
        engine: str | None = None,
    ) -> Executable:
        """Return the Executable of a file that :meth:`save` wrote.

        The engine's program is used where it fits the machine, the engine's version and the
        settings, and built again, with a warning, where it does not.

        Args:
            path: the file.
            device: where it runs; None is the saved device.
            engine: which engine runs it; None is the saved one.

        Returns:
            An Executable with equal signature, infos and precision.

        Raises:
            TripyFileNotFoundError: when there is no such file.
            TripyFileError: for a file that is damaged, foreign or of a newer format.
            TripyUnsupportedError: when the engine lacks something that the graph has, or a plugin
                is not registered.
            TripyImportError, TripyDeviceError: when the engine or device is not there.
        """
        from tripy import saved

        return saved.load(path, device, engine)

    def __reduce__(self) -> tuple[Any, ...]:
        """Hand the saved form over to other processes."""
        from tripy import saved

        return saved.from_bytes, (saved.to_bytes(self),)

    def __copy__(self) -> Executable:
        """Return an executable with a stream of its own; what never changes is shared."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Executable:
        return self.__copy__()

    def profile(self, *inputs: Any, repeat: int = 10) -> ProfileReport:
        """Measure how long each operation of a call takes.

        An engine that fuses operations reports one row per fused kernel. OpenVINO and XLA build
        the graph once more for this, with counters or names that calls do without; times near a
        microsecond are at the limit of OpenVINO's clock.

        Args:
            inputs: as in a call, by position.
            repeat: how many calls are measured; one more comes first to warm up.

        Returns:
            A report with ``rows`` in the order in which they first run (``name``, ``op``,
            ``source``, ``calls``, ``time_us``, ``percent``, ``kernel``) and ``total_us``. Its
            text is a table, slowest first; ``chrome_trace()`` returns it for a viewer.

        Raises:
            TripyTypeError, TripyShapeError: for wrong inputs, as in a call.
            TripyTypeError, TripyValueError: for a ``repeat`` that is no int from 1.
            TripyUnsupportedError: when the engine cannot time its kernels.

        Example:
            >>> info = tp.InputInfo((9, 9), tp.float32)
            >>> exe = tp.compile(lambda x: tp.exp(x) @ x, args=[info], engine="reference")
            >>> report = exe.profile(np.ones((9, 9), np.float32), repeat=3)
            >>> [(row.op, row.calls) for row in report.rows]
            [('exp', 3), ('matmul', 3)]
        """
        buffers, count = self._buffers(inputs, {}), check_repeat(repeat)
        return profiled(self.engine, self._plan.graph, self._options, buffers, count)

    def _buffers(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the checked buffers of a call, one per input of the graph."""
        if self._is_flat and not kwargs and len(args) == len(self._names):
            leaves: Sequence[Any] = args
        else:
            leaves = self._bind(args, kwargs)
        return self._inputs.buffers(leaves)

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
                assembled.append(self._copied(source if data is None else data[source]))
        return assembled

    def _copied(self, data: Any) -> Any:
        """Return elements that no caller can change, on the device."""
        return np.array(data) if self.device.kind == "cpu" else put(data, self.device)

    def _bind(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Return the input leaves of a call in order."""
        given = dict(zip(self._names, args))
        self._check_names(args, kwargs)
        given |= kwargs
        leaves: list[Any] = [None] * len(self._inputs.leaves)
        for name, template in self._parameters.templates.items():
            structure.extract(template, given[name], name, leaves)
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
