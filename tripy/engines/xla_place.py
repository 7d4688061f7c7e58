"""Where the XLA engine keeps weights, inputs and results: on one device, or over a mesh."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.layout import Format, Layout
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from tripy import errors
from tripy.devices import CPU, device, require
from tripy.engines.base import Options
from tripy.engines.rendezvous import Group, meet
from tripy.engines.xla_memory import FAILURES, PLATFORMS, device_of, devices_of
from tripy.graph import Graph, Spread, Value
from tripy.sharding import Layout as ShardLayout
from tripy.sharding import Spec

_jax: Any = jax  # its types are not complete
_parts: Any = PartitionSpec


class Placement:
    """Where the arrays of a program are: all on one device."""

    def __init__(self, place: device) -> None:
        self._device = device_of(place)
        self._sharding: Any = SingleDeviceSharding(self._device)
        self._is_host = place.kind == "cpu"

    def place(self, value: Value, name: str) -> Any:
        """Return a weight on the device."""
        return jax.device_put(value.data, self._device)

    def weight(self, value: Value, is_first: bool) -> Any:
        """Return how a program takes a weight: the first one in the layout that it likes best."""
        return Format(Layout.AUTO, value.data.sharding) if is_first else value.data.format

    def check(self, graph: Graph) -> None:
        """Raise TripyShapeError for sizes that cannot be placed."""

    def input(self, value: Value, name: str) -> Any:
        """Return where an input is."""
        return self._sharding

    def output(self, position: int) -> Any:
        """Return where a result is."""
        return self._sharding

    def arrays(self, inputs: Sequence[Any], where: Any) -> list[Any]:
        """Return inputs where a program expects them."""
        found: list[Any] = jax.device_put(list(inputs), where)
        return found

    def caller(self, call: Any, weights: Sequence[Any], where: Any) -> Callable[..., Any]:
        """Return a program as a function of its inputs, without work of our own per call."""
        return functools.partial(call, weights)

    def given(self, results: list[Any]) -> list[Any]:
        """Return results as tensors hold them."""
        return [np.asarray(r) for r in results] if self._is_host else results


class MeshPlacement(Placement):
    """Where the arrays of a program are: as the rules of a layout say, over the devices of a mesh.

    Attributes:
        launching: held while a program starts; collectives must start in one order everywhere.
    """

    launching = threading.Lock()

    def __init__(self, layout: ShardLayout, place: device) -> None:
        super().__init__(place)
        self._layout, self._place = layout, place
        self._mesh = mesh_of(layout)

    def _named(self, spec: Spec) -> Any:
        return NamedSharding(self._mesh, _parts(*(axes or None for axes in spec)))

    def place(self, value: Value, name: str) -> Any:
        """Return a weight over the devices, of which each gets only its part."""
        return _spread(value.data, self._named(self._layout.rule(name)[1]))

    def weight(self, value: Value, is_first: bool) -> Any:
        """Return how a program takes a weight; parts of other processes keep their layout."""
        sharding = value.data.sharding
        return super().weight(value, is_first) if sharding.is_fully_addressable else sharding

    def check(self, graph: Graph) -> None:
        """Raise TripyShapeError for sizes that the axes do not divide."""
        for value in graph.inputs:
            name = graph.names.get(id(value), "")
            self._layout.check(name, value.shape, self._layout.rule(name))
        for value, spec in zip(graph.outputs, self._layout.outputs):
            pattern = next((p for p, s in self._layout.rules if s == spec), "")
            self._layout.check("the result", value.shape, (pattern, spec))

    def input(self, value: Value, name: str) -> Any:
        """Return how an input is divided."""
        return self._named(self._layout.rule(name)[1])

    def output(self, position: int) -> Any:
        """Return how a result is divided; whole on every device, unless a rule names it."""
        return self._named(self._layout.outputs[position])

    def arrays(self, inputs: Sequence[Any], where: Any) -> list[Any]:
        """Return inputs divided as a program expects them; those that are do not move."""
        return [_spread(x, sharding) for x, sharding in zip(inputs, where)]

    def caller(self, call: Any, weights: Sequence[Any], where: Any) -> Callable[..., Any]:
        """Return a program as a function of its inputs."""

        def run(inputs: Sequence[Any]) -> Any:
            with jax.enable_x64(True):
                arrays = self.arrays(inputs, where)
            with self.launching:
                return call(weights, arrays)

        return run

    def given(self, results: list[Any]) -> list[Any]:
        """Return whole results on the first device of this process, others where they are."""
        if self._is_host:
            _jax.block_until_ready(results)  # inputs are the caller's memory
        return [self._tensor(r, spec) for r, spec in zip(results, self._layout.outputs)]

    def _tensor(self, result: Any, spec: Spec) -> Any:
        if any(spec):
            return Spread(result, functools.partial(_whole, place=self._place))
        local = _on(result, self._device)
        return np.asarray(local) if self._is_host else local


def placement(options: Options) -> Placement:
    """Return where the arrays of a program are."""
    layout = options.layout
    return Placement(options.device) if layout is None else MeshPlacement(layout, options.device)


def _spread(data: Any, sharding: Any) -> Any:
    """Return elements divided over devices; of the host's, each device gets only its part."""
    data = data.array if type(data) is Spread else data
    if isinstance(data, jax.Array):
        if data.sharding.is_equivalent_to(sharding, data.ndim):
            return data
        if sharding.is_fully_addressable or not data.is_fully_addressable:
            return jax.device_put(data, sharding)
    host = np.asarray(data)
    return jax.make_array_from_callback(host.shape, sharding, lambda i: np.asarray(host[i]))


def _on(array: Any, at: Any) -> Any:
    """Return the part of an array that a device holds."""
    return next(s.data for s in array.addressable_shards if s.device == at)


def _whole(array: Any, is_for_host: bool, place: device) -> Any:
    """Return all elements of a divided array on the host or one device."""
    if not array.is_fully_addressable:
        whole = NamedSharding(array.sharding.mesh, _parts())
        with jax.enable_x64(True), MeshPlacement.launching:
            array = _on(jax.jit(lambda x: x, out_shardings=whole)(array), device_of(place))
    if is_for_host or place is CPU:
        return np.asarray(array)
    return jax.device_put(array, device_of(place))


# --- devices and processes ---------------------------------------------------------------------


def _all_devices(kind: str) -> list[Any]:
    """Return the devices of all processes, process after process."""
    return sorted(jax.devices(PLATFORMS[kind]), key=lambda d: (d.process_index, d.id))


def count(kind: str) -> int:
    """Return how many devices of a kind all processes have together."""
    try:
        return len(_all_devices(kind))
    except RuntimeError:  # there is no such platform
        return 0


@functools.cache
def mesh_of(layout: ShardLayout) -> Any:
    """Return JAX's mesh of a layout."""
    found = _all_devices(layout.kind)
    grid = np.array([found[i] for i in layout.devices], object)
    names = tuple(name for name, _ in layout.axes)
    automatic = (AxisType.Auto,) * len(names)  # XLA works out what tables do not say
    return Mesh(grid.reshape([size for _, size in layout.axes]), names, axis_types=automatic)


def home(layout: ShardLayout) -> device:
    """Return the first device of a mesh that belongs to this process."""
    own = devices_of(layout.kind)
    found = [own.index(d) for d in mesh_of(layout).devices.flat if d in own]
    if not found:
        raise errors.error(
            errors.TripyDeviceError,
            "no device of the mesh belongs to this process.",
            received=f"process {jax.process_index()} of {jax.process_count()}",
            expected="a device of every process that compiles for the mesh",
            fix="make a larger mesh, or leave out what this process compiles",
            argument="mesh",
        )
    return CPU if layout.kind == "cpu" else require(f"{layout.kind}:{found[0]}")


def use_cpu_devices(wanted: int) -> None:
    """Have JAX start with a number of CPU devices."""
    if not _set_cpu_devices(wanted) and len(devices_of("cpu")) != wanted:
        raise _too_late(f"{len(devices_of('cpu'))} CPU devices", "use_cpu_devices")


def _set_cpu_devices(wanted: int) -> bool:
    """Set the number of CPU devices; return False where JAX runs already."""
    try:
        _jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:
        return False
    return True


def _is_running() -> bool:
    """Whether JAX has started: its number of devices cannot change any more."""
    usual = _jax.config.jax_num_cpu_devices
    if not _set_cpu_devices(max(usual, 1) + 1):
        return True
    _set_cpu_devices(usual)
    return False


def _too_late(received: str, name: str) -> errors.TripyRuntimeError:
    return errors.error(
        errors.TripyRuntimeError,
        "JAX runs already in this process.",
        received=received,
        expected=f"tp.distributed.{name} before the first tensor, mesh or compile",
        fix="call it at the start of the program",
    )


def join(group: Group) -> None:
    """Join the processes of a group in JAX's runtime."""
    if jax.distributed.is_initialized():
        raise _too_late("a second call", "initialize")
    if _is_running():
        raise _too_late("devices of this process alone", "initialize")
    seconds = int(meet(group)) + 1
    try:
        jax.distributed.initialize(
            group.address,
            group.size,
            group.number,
            cluster_detection_method="deactivate",
            initialization_timeout=seconds,
            shutdown_timeout_seconds=int(group.timeout) + 1,
        )
    except (*FAILURES, RuntimeError) as problem:
        raise _lost("join the processes", problem) from problem
    devices_of.cache_clear()


def _lost(action: str, problem: BaseException) -> errors.TripyRuntimeError:
    return errors.error(
        errors.TripyRuntimeError,
        f"JAX could not {action}.",
        received=" ".join(str(problem).split())[:500],
        expected="all processes to be there",
        fix="call it at the start of every process, and see what the others say",
    )


def leave() -> None:
    """Leave the processes that were joined."""
    try:
        _jax.distributed.shutdown()
    except (*FAILURES, RuntimeError) as problem:
        raise _lost("leave the other processes", problem) from problem
