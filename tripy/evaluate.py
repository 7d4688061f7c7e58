"""The eager policy: interpret small work at once, compile and keep big work."""

from __future__ import annotations

import functools
import math
import os
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tripy import dtypes, errors, memory
from tripy.config import config
from tripy.devices import CPU, device
from tripy.engines import base
from tripy.graph import Graph, Spread, Value, gather, shape_text, topological
from tripy.locks import Lock
from tripy.tensor import HOOKS

_ENGINES = {"cpu": "openvino", "gpu": "xla"}  # kind of device -> what compiles big work
_MAX_PROGRAMS = 128
_MAX_CONSTANT_BYTES = 4 * 2**30
_SMALL = 1 << 20  # operations that no result takes beyond memory: each gives at most one element


class _Program:
    """A cached eager program: how to run it and which weights it holds."""

    def __init__(self, program: base.Program | None, constants: Sequence[Value]) -> None:
        self.program = program  # None: no engine takes the graph; interpret it
        self.bytes = sum(v.data.nbytes for v in constants)
        self.guards: list[weakref.ref[Value]] = []


_programs: OrderedDict[tuple[Any, ...], _Program] = OrderedDict()
_lock = Lock()


def evaluate(values: Sequence[Value]) -> None:
    """Compute values and everything they need; results are kept in ``Value.data``."""
    for value in values:
        if value.traced:
            raise _traced_error(value)
    if len(values) > 1 and len({value.device for value in values}) > 1:
        for place in {value.device for value in values}:
            evaluate([value for value in values if value.device == place])
        return
    order = topological(values)
    pending = []
    for value in order:
        if value.data is None and value.parameter and value.node is not None:
            _evaluate_weight(value)
        if value.data is None:
            pending.append(value)
        elif type(value.data) is Spread:
            gather((value,))
    if not pending:
        return
    threshold = math.inf if config.eager_threshold is None else config.eager_threshold
    work = _work(pending, threshold)
    if work >= _SMALL and order[-1].device.kind == "cpu":
        memory.check(pending)
    if work >= threshold:
        _run_compiled(values, order)
    else:
        del pending
        _interpret(order)


def _evaluate_weight(value: Value) -> None:
    """Compute a lazy weight, which is otherwise a leaf."""
    value.parameter = False
    try:
        evaluate((value,))
    finally:
        value.parameter = True


def _work(values: Sequence[Value], enough: float) -> float:
    """Return the estimated work (adding up stops at ``enough``)."""
    work = 0.0
    try:
        for value in values:
            if value.node is not None:
                work += value.node.primitive.work(value.node)
                if work >= enough:
                    break
    except OverflowError:  # more than a float can tell
        return math.inf
    return work


@functools.cache  # an import in every evaluation would take as long as an operation
def _forget() -> Callable[[], None]:
    from tripy.engines.plugin_kernels import forget

    return forget


def _interpret(order: list[Value]) -> None:
    """Compute in order. Nodes are cut on the way, so what nobody else holds is freed at once."""
    compute = base.interpreter(order[-1].device.kind)
    order.reverse()
    try:
        with np.errstate(all="ignore"):
            while order:
                compute(order.pop())
    finally:
        _forget()()


def _run_compiled(wanted: Sequence[Value], order: list[Value]) -> None:
    if _check_values(order):
        order = topological(wanted)
    outputs = _outputs([v for v in order if v.data is None], wanted)
    inputs = [v for v in order if v.data is not None and not (v.parameter or v.literal)]
    program = _program_for(Graph(inputs, outputs, order))
    if program is None:
        _interpret(order)
        return
    for value, data in zip(outputs, program([_buffer(v) for v in inputs])):
        value.settle(data)


def _buffer(value: Value) -> Any:
    """Return the elements as programs want them; a view is copied once."""
    if value.device is not CPU:
        if isinstance(value.data, np.ndarray):
            value.data = base.put(value.data, value.device)
    elif not value.data.flags.c_contiguous:
        value.data = np.ascontiguousarray(value.data)
    return value.data


def _check_values(order: Sequence[Value]) -> bool:
    """Raise what eager mode raises about elements; a program would take the nearest valid ones.

    Returns:
        Whether something was computed.
    """
    from tripy.engines.reference import VALUE_CHECKS

    nodes = [v.node for v in order if v.data is None and v.node is not None]
    checked = [node for node in nodes if node.primitive.name in VALUE_CHECKS]
    for node in checked:
        evaluate((node.inputs[1],))
        VALUE_CHECKS[node.primitive.name](node, np.asarray(node.inputs[1].data))
    return bool(checked)


def _outputs(pending: Sequence[Value], wanted: Sequence[Value]) -> list[Value]:
    """Return what is wanted, and interior values that the user or other nodes still hold."""
    inside: dict[int, int] = {}
    for value in pending:
        for source in value.node.inputs if value.node is not None else ():
            inside[id(source)] = inside.get(id(source), 0) + 1
    chosen = {id(value): value for value in wanted}
    for value in pending:
        if value.is_alive or value.uses > inside.get(id(value), 0):
            chosen[id(value)] = value
    return list(chosen.values())


def _program_for(graph: Graph) -> base.Program | None:
    place = graph.outputs[0].device
    key = (os.getpid(), config.num_threads, place, *graph.key())  # forked processes build their own
    with _lock:
        found = _programs.get(key)
        if found is not None:
            _programs.move_to_end(key)
            return found.program
    constants = [v for v in graph.constants if not v.literal]
    entry = _Program(_build(graph, place), constants)
    forget = _forgetting(key)
    entry.guards = [weakref.ref(v, forget) for v in constants]
    with _lock:
        _programs[key] = entry
        _shrink()
    return entry.program


def _forgetting(key: tuple[Any, ...]) -> Callable[[Any], None]:
    """Programs know weights by identity, so they go when a weight goes."""
    programs = _programs  # the module's globals are gone when the interpreter ends

    def forget(_: object) -> None:
        programs.pop(key, None)

    return forget


def _shrink() -> None:
    total = sum(entry.bytes for entry in _programs.values())
    while len(_programs) > _MAX_PROGRAMS or (total > _MAX_CONSTANT_BYTES and len(_programs) > 1):
        total -= _programs.popitem(last=False)[1].bytes


def _build(graph: Graph, place: device) -> base.Program | None:
    name = _ENGINES[place.kind]
    if not base.is_installed(name):
        return None
    engine = base.load(name)
    if engine.refusals(graph):
        return None
    return engine.build(graph, base.options_now(place))


def _traced_error(value: Value) -> errors.TripyCompileError:
    owner = value.owner() if value.owner is not None else None
    name = f"{owner.name!r}" if owner is not None else "a tensor"
    return errors.error(
        errors.TripyCompileError,
        f"the elements of {name} are not known while a function is being compiled.",
        received=f"{name}, shape {shape_text(value.shape)}, {value.dtype}, which depends on inputs",
        expected="a tensor that depends on no input",
        fix="use tp.where for choices, a static dim or tp.DimensionInputInfo for sizes, or leave "
        "this line out of the compiled function",
        made_at={name: value.source},
    )


def _cast_array(array: Any, kind: dtypes.dtype) -> Any:
    from tripy.engines.kernels import cast

    return cast(array, dtypes.to_numpy(kind))


def _graph_to_parts(graph: Graph) -> tuple[list[Any], list[Any]]:
    from tripy import portable  # later in the import order, and rarely needed

    return portable.graph_to_parts(graph, with_sources=False)


HOOKS["evaluate"] = evaluate
HOOKS["graph_to_parts"] = _graph_to_parts
HOOKS["cast_array"] = _cast_array
