"""``tp.compile``: trace a function once, and build an Executable of what it did."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tripy import devices, distributed, dtypes, errors, passes, shapes, structure
from tripy import sharding as tables
from tripy.calls import InputLeaf
from tripy.config import config
from tripy.devices import device
from tripy.dtypes import dtype
from tripy.engines import base
from tripy.executable import Executable, Parameters, output_plan
from tripy.graph import Graph, Value, shape_text
from tripy.inputs import DimensionInputInfo, InputInfo
from tripy.memory import Watch
from tripy.nn.module import Module
from tripy.progress import Progress, check_callback
from tripy.shapes import Size
from tripy.signature import public
from tripy.structure import Slot
from tripy.tensor import DimensionSize, Tensor, is_tensor_like, make_size, wrap

_logger = logging.getLogger("tripy.compile")
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")


class _Trace:
    """Placeholders, symbols and names of the inputs of one compile."""

    def __init__(self, place: device) -> None:
        self.place = place
        self.leaves: list[InputLeaf] = []
        self.values: list[Value] = []
        self.symbols: dict[str, tuple[int, int | None]] = {}
        self.bounds: dict[str, tuple[int, int, int]] = {}

    def placeholder(self, path: str, info: Any) -> Tensor:
        """Return the traced tensor of an input description."""
        if any(leaf.path == path for leaf in self.leaves):
            raise errors.error(
                errors.TripyValueError,
                f"two inputs are called {path!r}.",
                received=", ".join([*(leaf.path for leaf in self.leaves), path]),
                expected="a name of its own for every input",
                fix="rename a parameter of the function",
                argument="args",
            )
        self.leaves.append(InputLeaf(path, info))
        if isinstance(info, DimensionInputInfo):
            return self._size(path, info)
        b = info.shape_bounds
        rows = enumerate(zip(b.min, b.opt, b.max))
        shape = tuple(
            self._dim(info.dimension_names.get(i), f"{path}.shape[{i}]", bounds, i)
            for i, bounds in rows
        )
        value = Value(info.dtype, shape, self.place, traced=True, source=errors.capture())
        self.values.append(value)
        tensor = wrap(value)
        tensor.name = path
        return tensor

    def _dim(
        self, name: str | None, fallback: str, bounds: tuple[int, int, int], dim: int | None
    ) -> Size:
        key = name or fallback
        if self.bounds.setdefault(key, bounds) != bounds:
            raise errors.error(
                errors.TripyValueError,
                f"the dimension {key!r} is described with different bounds.",
                received=f"{self.bounds[key]} and {bounds}",
                expected="equal (min, opt, max) for equal names",
                fix="make one tp.NamedDimension and use it in all inputs",
                argument="args",
            )
        if bounds[0] != bounds[2]:
            self.symbols.setdefault(key, (len(self.values), dim))
        return shapes.symbol(key, *bounds)

    def _size(self, path: str, info: DimensionInputInfo) -> DimensionSize:
        b = info.value_bounds
        size = self._dim(None, path, (b.min[0], b.opt[0], b.max[0]), None)
        self.values.append(Value(dtypes.int32, (), self.place, traced=True))
        return make_size(size)


def _is_description(value: Any) -> bool:
    return isinstance(value, (InputInfo, DimensionInputInfo))


def _bind(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        raise errors.error(
            errors.TripyTypeError,
            "the function to compile has no signature that can be inspected.",
            received=errors.describe(func),
            expected="a function whose parameters are known",
            fix="wrap it in a lambda that names its parameters",
            argument="func",
        ) from None
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as problem:
        raise errors.error(
            errors.TripyTypeError,
            f"args and kwargs do not fit the function: {problem}.",
            received=f"{len(args)} in args, {', '.join(kwargs) or 'nothing'} in kwargs",
            expected=f"{getattr(func, '__name__', type(func).__name__)}{signature}",
            fix="describe inputs with tp.InputInfo(shape, dtype) and give every other argument",
            argument="args",
        ) from None
    bound.apply_defaults()
    return bound


def _trace_argument(trace: _Trace, path: str, value: Any) -> tuple[Any, Any]:
    """Return what the function gets and the template of what the Executable takes."""
    if not any(_is_description(leaf) for _, leaf in structure.leaves(value, path)):
        return value, value
    _check_keys(path, value)

    def slot(leaf_path: str, leaf: Any) -> Any:
        if not _is_description(leaf):
            return leaf
        made[leaf_path] = trace.placeholder(leaf_path, leaf)
        return Slot(len(trace.leaves) - 1)

    made: dict[str, Tensor] = {}
    template = structure.transform(value, path, slot)
    traced = structure.transform(value, path, lambda p, leaf: made.get(p, leaf))
    return traced, template


def _check_keys(path: str, value: Any) -> None:
    if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
        raise errors.error(
            errors.TripyTypeError,
            f"the keys of the dict {path!r} must be strings.",
            received=errors.brief(list(value)),
            expected="strings, which name the inputs",
            fix="use str(key) for the keys",
            culprit=value,
        )
    if structure.is_container(value):
        for member_path, _, member in structure.children(value, path):
            _check_keys(member_path, member)


def _trace_arguments(trace: _Trace, bound: inspect.BoundArguments) -> Parameters:
    """Replace descriptions by placeholders in ``bound``; return the Executable's parameters."""
    templates: dict[str, Any] = {}
    for name, value in list(bound.arguments.items()):
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            pairs = [_trace_argument(trace, f"{name}{i}", item) for i, item in enumerate(value)]
            bound.arguments[name] = tuple(traced for traced, _ in pairs)
            templates.update({f"{name}{i}": template for i, (_, template) in enumerate(pairs)})
        elif kind is inspect.Parameter.VAR_KEYWORD:
            made = {key: _trace_argument(trace, key, item) for key, item in value.items()}
            bound.arguments[name] = {key: traced for key, (traced, _) in made.items()}
            templates.update({key: template for key, (_, template) in made.items()})
        else:
            bound.arguments[name], templates[name] = _trace_argument(trace, name, value)
    return Parameters({n: t for n, t in templates.items() if _has_slot(t)})


def _has_slot(template: Any) -> bool:
    return any(isinstance(leaf, Slot) for _, leaf in structure.leaves(template, ""))


def _flatten_result(result: Any) -> tuple[Any, list[tuple[str, Tensor]]]:
    """Return the template of a result and its tensors by path."""
    found: list[tuple[str, Tensor]] = []

    def slot(path: str, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            found.append((path, leaf))
            return Slot(len(found) - 1)
        if leaf is None or isinstance(leaf, (bool, int, float, str)):
            return leaf
        raise errors.error(
            errors.TripyTypeError,
            f"the result {path!r} of the compiled function is no tensor.",
            received=errors.describe(leaf),
            expected="Tensors, and numbers, strings or None beside them",
            fix=f"return tp.Tensor(…) for {path}"
            if is_tensor_like(leaf)
            else f"leave {path} out of what the function returns",
            argument="func",
        )

    template = structure.transform(result, "output", slot)
    if not found:
        raise errors.error(
            errors.TripyTypeError,
            "the compiled function returned no tensor.",
            received=errors.describe(result),
            expected="a Tensor, or a list, tuple, dict or dataclass with Tensors",
            fix="return the tensors that the Executable is to compute",
            argument="func",
        )
    return template, found


def _run_function(
    func: Callable[..., Any], bound: inspect.BoundArguments
) -> tuple[Any, list[shapes.Condition]]:
    """Call the function once and collect the conditions that it leaves open."""
    conditions: list[shapes.Condition] = []
    token = shapes.open_conditions.set(conditions)
    try:
        return func(*bound.args, **bound.kwargs), conditions
    finally:
        shapes.open_conditions.reset(token)


def _parameter_names(func: Any) -> dict[int, str]:
    owner = func if isinstance(func, Module) else getattr(func, "__self__", None)
    if not isinstance(owner, Module):
        return {}
    return {id(tensor._value): name for name, tensor in owner.state_dict().items()}


def _warn_about_defaults(graph: Graph) -> None:
    names = [graph.names.get(id(v)) or _own_name(v) for v in graph.values if v.default]
    if names:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        _logger.warning(
            "these parameters still hold their default values 0, 1, 2, …: %s. Load weights with "
            "load_state_dict before compiling.",
            shown,
        )


def _check_own(graph: Graph) -> None:
    """Raise TripyCompileError for tensors and sizes that another compile traces."""
    inputs = {id(value) for value in graph.inputs}
    for value in graph.values:
        is_unknown = value.node is None and value.data is None and id(value) not in inputs
        attributes = () if value.node is None else value.node.attributes.values()
        if not is_unknown and _symbols_of((value.shape, *attributes)) <= set(graph.symbols):
            continue
        raise errors.error(
            errors.TripyCompileError,
            f"{_own_name(value)} belongs to another function being compiled.",
            received=f"a traced tensor of shape {shape_text(value.shape)}",
            expected="inputs of this function, and tensors with known elements",
            fix="pass it as an argument that tp.InputInfo describes",
            argument="func",
            made_at={_own_name(value): value.source},
        )


def _symbols_of(attribute: Any) -> set[str]:
    if isinstance(attribute, tuple):
        return set().union(*map(_symbols_of, attribute))
    return set(shapes.symbols(attribute))


def _own_name(value: Value) -> str:
    owner = value.owner() if value.owner is not None else None
    return f"a tensor of shape {shape_text(value.shape)}" if owner is None else str(owner.name)


class TracedFunction(NamedTuple):
    """What one call of a function with placeholders gave: its graph, inputs and results."""

    parameters: Parameters
    leaves: list[InputLeaf]
    template: Any
    paths: list[str]
    graph: Graph


def traced_function(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], place: device
) -> TracedFunction:
    """Call a function once with placeholders and return the graph of what it did."""
    if not callable(func):
        raise errors.error(
            errors.TripyTypeError,
            "only functions and modules can be compiled.",
            received=errors.describe(func),
            expected="a function, a bound method or a tp.Module",
            fix="pass the function itself, not its result",
            argument="func",
        )
    bound = _bind(func, args, kwargs)
    trace = _Trace(place)
    parameters = _trace_arguments(trace, bound)
    result, conditions = _run_function(func, bound)
    template, found = _flatten_result(result)
    names = _parameter_names(func) | {id(v): n.path for v, n in zip(trace.values, trace.leaves)}
    outputs = [tensor._value for _, tensor in found]
    graph = Graph.build(trace.values, outputs, conditions, names, trace.symbols)
    _check_own(graph)
    _warn_about_defaults(graph)
    paths = [path for path, _ in found]
    return TracedFunction(parameters, trace.leaves, template, paths, graph)


def _choose_engine(requested: str | None, graph: Graph, options: base.Options) -> base.Engine:
    """Return the engine to use; a named one must take the whole graph."""
    fitting = tuple(name for name in base.NAMES if base.runs_on(name, options.device.kind))
    names = (requested,) if requested else fitting
    reasons = []
    for name in names:
        if not base.is_installed(name):
            reasons.append(f"the engine {name!r} is not installed")
            continue
        engine = base.load(name)
        if options.precision not in engine.precisions(options.device.kind):
            reasons.append(f"the engine {name!r} has no precision {options.precision!r}")
            continue
        refusals = engine.refusals(graph)
        if not refusals:
            if reasons:
                _logger.warning("the engine %r is used, because %s", name, "; ".join(reasons))
            return engine
        reasons.append(base.describe_refusals(name, refusals))
    able = [name for name in fitting if name not in names and _takes(name, graph, options)]
    problem = "\n  ".join(reasons)
    raise errors.error(
        errors.TripyUnsupportedError,
        problem if "\n" in problem else f"{problem}.",
        received=f"engine={requested!r}, precision={options.precision!r}",
        expected="an engine that takes the whole graph in this precision",
        fix=f"use engine={able[0]!r}" if able else "leave out precision",
        argument="engine" if requested else "precision",
    )


def _takes(name: str, graph: Graph, options: base.Options) -> bool:
    """Whether an engine that was not asked for would do."""
    if not base.is_installed(name):
        return False
    engine = base.load(name)
    is_fit = options.precision in engine.precisions(options.device.kind)
    return is_fit and not engine.refusals(graph)


def _options(
    optimization_level: int, device: Any, engine: str | None, precision: Any
) -> base.Options:
    if not 0 <= optimization_level <= 5:
        raise errors.error(
            errors.TripyValueError,
            "the optimisation level is out of range.",
            received=str(optimization_level),
            expected="0 … 5",
            fix="leave it out for the usual level 3",
            argument="optimization_level",
        )
    name = precision.name if isinstance(precision, dtypes.dtype) else precision
    name = "float32" if name is None else name
    if name not in PRECISIONS:
        raise errors.error(
            errors.TripyValueError,
            f"there is no precision {name!r}.",
            received=repr(precision),
            expected=errors.one_of(map(repr, PRECISIONS)),
            fix=errors.did_you_mean(name, PRECISIONS) or "leave it out for full float32",
            argument="precision",
        )
    place = devices.require(device) if device is not None else devices.default_device()
    if engine is not None:
        base.load(engine)
        if device is None and not base.runs_on(engine, place.kind):
            place = devices.CPU
        if not base.runs_on(engine, place.kind):
            raise errors.error(
                errors.TripyDeviceError,
                f"the engine {engine!r} does not run on {place}.",
                received=f"engine={engine!r} with device {place}",
                expected="an engine and a device that go together",
                fix="leave out engine or device",
                argument="engine",
            )
    return base.options_now(place, name, optimization_level)


def _program(engine: base.Engine, graph: Graph, options: base.Options) -> base.Program | None:
    """Build what is to be computed; the cache is imported with the first such compile."""
    if not graph.outputs:
        return None
    from tripy import cache

    return cache.build(engine, graph, options)


@public()
def compile(
    func: Any,
    optimization_level: int = 3,
    *,
    args: Sequence[Any] = (),
    kwargs: dict[str, Any] | None = None,
    engine: str | None = None,
    device: device | str | None = None,
    precision: dtype | str | None = None,
    mesh: Any = None,
    sharding: Mapping[str, Any] | None = None,
    progress: Callable[..., Any] | None = None,
    check: bool | None = None,
) -> Executable:
    """Trace a function or module once and build an Executable.

    Args:
        func: a function, bound method or Module.
        optimization_level: 0 builds fastest, 5 searches longest.
        args: positional arguments of ``func``. :class:`tripy.InputInfo` and
            :class:`tripy.DimensionInputInfo`, also inside dicts, lists, tuples and dataclasses,
            become inputs of the Executable; everything else is a constant, captured now.
        kwargs: keyword arguments of ``func``, in the same way.
        engine: ``"openvino"``, ``"xla"`` or ``"reference"``; None takes the first of them that
            runs on the device and has everything.
        device: device of the Executable; None is the default device.
        precision: lowest arithmetic allowed inside for float32 work: ``"float32"`` (also None),
            ``"tf32"``, ``"bfloat16"`` or ``"float16"``.
        mesh: a :class:`tripy.distributed.Mesh` whose devices share the work, through XLA.
        sharding: with a mesh, pattern of names → for every leading dim the axis that divides it,
            a tuple of axes, or None. Names are those of inputs (``x``, ``batch.images[0]``), of
            parameters (``layers.0.weight``) and of results (``output``, ``output[0]``); ``*`` is
            any text, and the first pattern that matches counts. Every device has all of the rest.
        progress: called with (stage, seconds since the start) as the stages ``"trace"``,
            ``"passes"`` and ``"build"`` begin. With None, a line on stderr shows the stage of
            compiles that take long, where that is a terminal; ``compile_report`` has the times.
        check: whether the program, built or from the cache, runs on random inputs of the smallest,
            usual and largest sizes, and is compared as :meth:`Executable.verify` does it. Sizes
            that NumPy would need 512 MiB or two seconds for are cut down, with a warning.
            None takes ``config.check``. A ResNet-50 or a MiniLM takes two to five times as long to
            compile with it, and ten to fifteen times with a dynamic batch: seconds of NumPy's.

    Returns:
        An :class:`tripy.Executable` whose parameters are the described inputs.

    Raises:
        TripyTypeError: when arguments do not fit, or the function returns no tensor.
        TripyValueError: for an unknown engine, level or precision, or contradicting bounds.
        TripyCompileError: when the function needs the elements of a traced tensor.
        TripyUnsupportedError: when the engine lacks something that the function uses.
        TripyImportError, TripyDeviceError: when the engine or device is not there.
        TripyShapeError: for a size that the axes of a mesh do not divide.
        TripyRuntimeError: when a checked program fails or is wrong; says which operation.

    Example:
        >>> double = tp.compile(lambda x: x * 2.0, args=[tp.InputInfo((2,), tp.float32)])
        >>> double(np.array([1, 2], np.float32))
        tensor([2.0000, 4.0000], dtype=float32, loc=cpu:0, shape=(2,))
    """
    check_callback(progress)
    if mesh is not None or sharding is not None:
        device, engine = distributed.use(mesh, sharding, engine, device), "xla"
    options = _options(optimization_level, device, engine, precision)
    with Progress(progress) as stages:
        stages.start("trace")
        with config.override(default_device=options.device):
            trace = traced_function(func, args, kwargs or {}, options.device)
        stages.start("passes")
        # on a mesh, weights that were folded on the host would lose their names
        graph = passes.optimise(trace.graph) if mesh is None else passes.load_weights(trace.graph)
        plan = output_plan(graph)
        if mesh is not None:
            layout = tables.layout_of(mesh.layout, sharding, graph, trace.paths)
            layout = tables.with_outputs(layout, plan.graph.outputs, graph, trace.paths)
            options = options._replace(layout=layout)
        stages.start("build")
        chosen = _choose_engine(engine, plan.graph, options)
        Watch(plan.graph, chosen.name, options.device)  # raises for what never fits
        program = _program(chosen, plan.graph, options)
        executable = Executable(
            parameters=trace.parameters,
            leaves=trace.leaves,
            template=trace.template,
            paths=trace.paths,
            graph=graph,
            plan=plan,
            program=program,
            engine=chosen.name,
            options=options,
        )
        if config.check if check is None else check:
            from tripy.check import check as compare

            stages.start("check")
            compare(executable)
    executable._report = stages.report
    seconds = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in stages.report.stages)
    _logger.info("%d operations built for %s: %s", len(graph.operations), chosen.name, seconds)
    return executable
