"""Times of the kernels of an OpenVINO program, led back to the operations of the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tripy.engines import border
from tripy.engines.base import Kernel, Options
from tripy.engines.openvino import (
    FAILURES,
    LACKING,
    Builder,
    core,
    failure,
    settings_for,
)
from tripy.engines.openvino_memory import to_tensor
from tripy.engines.openvino_repairs import repaired
from tripy.graph import Graph, Value, bind, specialise

_TAG = re.compile(r"@(\d+)\.\d+")  # OpenVINO keeps names through its rewrites, with additions
_RESOLUTION = 10  # how many times the error of one difference every run must take
_NO_WORK = ("Input", "Output", "Const")


class _TaggedBuilder(Builder):
    """Names every node after the number of the value that it was made for."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.results: dict[int, str] = {}  # number of a value -> name of the node that gives it
        self._numbers = {id(value): number for number, value in enumerate(graph.values)}
        self._made = 0

    def _node(self, value: Value) -> Any:
        output, number = super()._node(value), self._numbers[id(value)]
        pending = [output.get_node()]
        while pending:
            node = pending.pop()
            is_input = node.get_type_name() == "Parameter"
            if is_input or _TAG.match(node.get_friendly_name()):
                continue
            self._made += 1
            node.set_friendly_name(f"@{number}.{self._made}")
            pending += [source.get_node() for source in node.input_values()]
        name = output.get_node().get_friendly_name()
        if name.startswith(f"@{number}."):  # otherwise nothing was to be done
            self.results[number] = name
        return output


def measure(graph: Graph, options: Options, inputs: Sequence[Any], repeat: int) -> list[Kernel]:
    """Build the graph with counters, run it on the inputs and return its kernels as they ran."""
    outline = border.drawn(graph, LACKING)
    if outline is not None:
        graph, inputs = outline.graph, outline.enter(inputs)
    graph = repaired(graph, options.precision)
    if graph.symbols and any(array.size == 0 for array in inputs):  # as programs do
        graph = specialise(graph, bind(graph.symbols, [a.shape for a in inputs], inputs))
    builder = _TaggedBuilder(graph)
    counting, used = settings_for(graph, options) | {"PERF_COUNT": True}, core()
    try:
        compiled = used.compile_model(builder.build(), "CPU", counting)
        layers = {layer.get_friendly_name(): layer for layer in _layers(compiled)}
        steps, averages = _counted(compiled, graph, layers, inputs, repeat)
    except FAILURES as problem:
        raise failure("profile the program", problem) from problem
    own = _values(graph, builder.results, {s.node_name: layers[s.node_name] for s in steps})
    served = _served(layers, own)
    times = _times(averages).T.tolist()
    return [_kernel(graph, s, own, served, t) for s, t in zip(steps, times)]


def _layers(compiled: Any) -> list[Any]:
    """Return the steps of the compiled model; profiles list also what was fused into them."""
    layers = compiled.get_runtime_model().get_ops()
    return [x for x in layers if x.get_rt_info()["layerType"].value not in _NO_WORK]


def _counted(
    compiled: Any, graph: Graph, layers: Mapping[str, Any], inputs: Sequence[Any], repeat: int
) -> tuple[list[Any], Any]:
    """Return the steps and, per run and step, the average of all runs until then."""
    request = compiled.create_infer_request()
    for index, (array, value) in enumerate(zip(inputs, graph.inputs)):
        request.set_input_tensor(index, to_tensor(array, value.dtype))
    averages, steps = [], []
    for _ in range(repeat + 1):
        request.infer(share_outputs=True)
        steps = [step for step in request.profiling_info if step.node_name in layers]
        averages.append([step.real_time.total_seconds() * 1e6 for step in steps])
    return steps, np.array(averages)


def _times(averages: Any) -> Any:
    """Return the time of each run but the first; where averages are too coarse, their mean.

    The plugin rounds down to whole microseconds; what shows none most likely took none.
    """
    counts = np.arange(1, len(averages) + 1)[:, None]
    sums = counts * np.where(averages > 0, averages + 0.5, 0.0)
    times = np.diff(sums, axis=0)
    mean = np.maximum((sums[-1:] - sums[:1]) / len(times), 0.0)
    is_fine = times.min(axis=0, initial=np.inf) > _RESOLUTION * len(sums)
    return np.where(is_fine, times, mean)


def _values(
    graph: Graph, results: Mapping[int, str], layers: Mapping[str, Any]
) -> dict[str, set[int]]:
    """Return the numbers of the values that each step computes.

    Operations whose name a fusion lost belong to the step of what uses them.
    """
    infos = {name: layer.get_rt_info()["originalLayersNames"] for name, layer in layers.items()}
    tags = {name: list(_TAG.finditer(info.value)) for name, info in infos.items()}
    found = {name: {int(tag[1]) for tag in shown} for name, shown in tags.items()}
    steps = {tag[0]: name for name, shown in tags.items() for tag in shown}
    at = {number: steps.get(tag) for number, tag in results.items()}
    numbers = {id(value): number for number, value in enumerate(graph.values)}
    for value in reversed(graph.operations):
        step = at.get(numbers[id(value)])
        for source in () if value.node is None else value.node.inputs:
            given = numbers[id(source)]
            if step is not None and source.traced and at.get(given, step) is None:
                at[given] = step
                found[step].add(given)
    return found


def _served(layers: Mapping[str, Any], own: dict[str, set[int]]) -> dict[str, set[int]]:
    """Return which values the work of the engine's own, which computes none, is done for."""
    served: dict[str, set[int]] = {}
    for name in reversed(own):  # they are in the order in which they run
        users = [i.get_node() for o in layers[name].outputs() for i in o.get_target_inputs()]
        names = [user.get_friendly_name() for user in users]
        served[name] = own[name] or set().union(*(served.get(n, set()) for n in names))
    return served


def _kernel(
    graph: Graph,
    step: Any,
    own: Mapping[str, set[int]],
    served: Mapping[str, set[int]],
    times: list[float],
) -> Kernel:
    values = [graph.values[number] for number in sorted(served[step.node_name])]
    nodes = [value.node for value in values if value.node is not None]
    labels = [node.label for node in nodes] if own[step.node_name] else []
    kernel = f"{step.node_type} {step.exec_type}"
    return Kernel("+".join(labels) or step.node_type, nodes, kernel, times)
