"""Models spread over many devices and hosts: meshes, and which parts of tensors are where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tripy import devices as places
from tripy import errors
from tripy.sharding import Layout, rules_of
from tripy.signature import is_integer, public

__all__ = [
    "Mesh",
    "initialize",
    "process_count",
    "process_index",
    "shutdown",
    "use_cpu_devices",
]

# --- meshes ------------------------------------------------------------------------------------


class Mesh:
    """Devices in a grid with named axes, for :func:`tripy.compile`.

    Args:
        axes: name → size of every axis. One size may be -1: as many as there are devices for.
        devices: the devices, the last axis running fastest; as many as the axes have places.
            Indices count the devices of all processes, those of process 0 first. None takes the
            first devices of all processes, of the default device's kind.

    Attributes:
        axes: name → size.
        devices: the devices in order.
        size: how many devices there are.

    Raises:
        TripyTypeError: for axes or devices of another type.
        TripyValueError: for sizes below 1, names that are no strings, or devices that do not fit.
        TripyDeviceError: when there are fewer devices than the axes have places.
        TripyImportError: where JAX is not installed.

    Example:
        >>> mesh = tp.distributed.Mesh({"data": 1, "model": 1}, devices=["cpu:0"])
        >>> mesh
        Mesh(data=1, model=1, devices=cpu:0)
        >>> exe = tp.compile(
        ...     tp.Linear(4, 2),
        ...     args=[tp.InputInfo((3, 4), tp.float32)],
        ...     mesh=mesh,
        ...     sharding={"input": ("data",), "weight": ("model",)},
        ... )
        >>> exe(np.ones((3, 4), np.float32)).shape
        (3, 2)
    """

    __slots__ = ("axes", "devices")
    axes: dict[str, int]
    devices: tuple[places.device, ...]

    @public("tp.distributed.Mesh")
    def __init__(self, axes: Mapping[str, Any], devices: Sequence[Any] | None = None) -> None:
        sizes = _checked_sizes(axes)
        given = None if devices is None else _checked_devices(devices)
        kind = places.default_device().kind if given is None else given[0].kind
        count = _engine().count(kind)
        sizes = _filled(sizes, count if given is None else len(given), axes)
        wanted = math.prod(sizes.values())
        if given is None:
            given = tuple(places.device(f"{kind}:{i}") for i in range(wanted))
        _check_presence(given, wanted, kind, count)
        object.__setattr__(self, "axes", sizes)
        object.__setattr__(self, "devices", given)

    def __setattr__(self, name: str, value: object) -> None:
        raise errors.error(
            errors.TripyAttributeError,
            f"the attribute {name!r} of a Mesh is frozen.",
            received=f"{name} = {errors.describe(value)}",
            expected="no assignment",
            fix="make another tp.distributed.Mesh",
        )

    def __reduce__(self) -> Any:
        return Mesh, (self.axes, self.devices)

    @property
    def size(self) -> int:
        """How many devices there are."""
        return len(self.devices)

    @property
    def layout(self) -> Layout:
        """The mesh in the form that engines take."""
        numbers = tuple(place.index for place in self.devices)
        return Layout(self.devices[0].kind, tuple(self.axes.items()), numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mesh):
            return NotImplemented
        return self.layout == other.layout

    def __hash__(self) -> int:
        return hash(self.layout)

    def __repr__(self) -> str:
        axes = "".join(f"{name}={size}, " for name, size in self.axes.items())
        shown = [str(place) for place in self.devices]
        text = f"{shown[0]} … {shown[-1]}" if _is_run(self.devices) else ", ".join(shown)
        return f"Mesh({axes}devices={text})"


def _is_run(found: Sequence[places.device]) -> bool:
    first = found[0].index
    return len(found) > 2 and [d.index for d in found] == [*range(first, first + len(found))]


def _checked_sizes(axes: Mapping[str, Any]) -> dict[str, int]:
    for name, size in axes.items() or [("", 0)]:
        is_size = is_integer(size) and (size >= 1 or size == -1)
        if not isinstance(name, str) or not name or not is_size:
            raise errors.error(
                errors.TripyValueError,
                "an axis has a name, and a size from 1.",
                received=f"{errors.brief(name)}: {errors.describe(size)}",
                expected='such as {"data": 2, "model": 4}; -1 stands for the rest',
                fix="change this axis",
                argument=("axes", name),
            )
    return {name: int(size) for name, size in axes.items()}


def _checked_devices(given: Sequence[Any]) -> tuple[places.device, ...]:
    found = tuple(places.device(place) for place in given)
    if not found or len(set(found)) < len(found) or len({d.kind for d in found}) > 1:
        raise errors.error(
            errors.TripyValueError,
            "a mesh needs different devices of one kind.",
            received=errors.brief(list(map(str, found))),
            expected='such as ["gpu:0", "gpu:1"]',
            fix="leave out devices for all that are there",
            argument="devices",
        )
    return found


def _filled(sizes: dict[str, int], count: int, axes: Mapping[str, Any]) -> dict[str, int]:
    """Return sizes with a number in place of -1."""
    open_axes = [name for name, size in sizes.items() if size == -1]
    others = math.prod(size for size in sizes.values() if size != -1)
    if len(open_axes) > 1 or (open_axes and (count < others or count % others)):
        raise errors.error(
            errors.TripyValueError,
            "the size -1 cannot be worked out.",
            received=f"{errors.brief(dict(axes))} for {count} devices",
            expected="one -1, and other sizes that divide the number of devices",
            fix="write the sizes",
            argument="axes",
        )
    return sizes | dict.fromkeys(open_axes, count // others)


def _check_presence(given: Sequence[places.device], wanted: int, kind: str, count: int) -> None:
    if len(given) != wanted:
        raise errors.error(
            errors.TripyValueError,
            "the mesh and the list of devices have different sizes.",
            received=f"{len(given)} devices for {wanted} places",
            expected=f"{wanted} devices",
            fix="leave out devices, or change the axes",
            argument="devices",
        )
    if all(place.index < count for place in given):
        return
    last = max(given, key=lambda place: place.index)
    cpus = f"; tp.distributed.use_cpu_devices({last.index + 1}) at the start of the program "
    cpus += "divides the CPU into more"
    raise errors.error(
        errors.TripyDeviceError,
        f"the mesh is larger than what is there: it needs {last}, and there are {count} devices.",
        received=f"{wanted} devices, {given[0]} … {given[-1]}",
        expected=f"{count} devices of kind {kind!r}, those of {process_count()} process(es)",
        fix="use smaller axes" + (cpus if kind == "cpu" else ", or join more hosts"),
        argument="axes",
    )


def _engine() -> Any:
    """Return what knows JAX's devices; TripyImportError where JAX is not installed."""
    from tripy.engines import base

    base.load("xla")
    from tripy.engines import xla_place

    return xla_place


def use(mesh: Any, sharding: Any, engine: str | None, device: Any) -> places.device:
    """Return the device of an Executable on a mesh; what ``tp.compile`` was given is checked."""
    wrong = next(
        (
            row
            for row in (
                (mesh is None, errors.TripyValueError, "sharding", "needs a mesh", "add mesh=…"),
                (not isinstance(mesh, Mesh), errors.TripyTypeError, "mesh", *_NO_MESH),
                (device is not None, errors.TripyValueError, "device", *_NO_DEVICE),
                (engine not in (None, "xla"), errors.TripyUnsupportedError, "engine", *_NO_ENGINE),
            )
            if row[0]
        ),
        None,
    )
    if wrong is not None:
        _, kind, argument, problem, fix = wrong
        given = {"mesh": mesh, "sharding": sharding, "device": device, "engine": engine}
        raise errors.error(
            kind,
            f"{argument} {problem}.",
            received=f"{argument} = {errors.describe(given[argument])}",
            expected="mesh=tp.distributed.Mesh(…), which XLA runs on its own devices",
            fix=fix,
            argument=argument,
        )
    rules_of(mesh.axes, sharding or {})
    return _engine().home(mesh.layout)  # type: ignore[no-any-return]


_NO_MESH = ("must be a tp.distributed.Mesh", 'write tp.distributed.Mesh({"data": -1})')
_NO_DEVICE = ("cannot be given beside a mesh, which has devices", "leave out device")
_NO_ENGINE = ("must be xla, the only one that spreads models over a mesh", 'use engine="xla"')


def found(layout: Layout) -> tuple[places.device, Layout]:
    """Return the first device of this process and the layout, or raise TripyDeviceError."""
    wanted, count = len(layout.devices), _engine().count(layout.kind)
    if count < wanted:
        raise errors.error(
            errors.TripyDeviceError,
            f"the executable is spread over {wanted} devices, and there are {count}.",
            received=f"{count} of kind {layout.kind!r}",
            expected=f"{wanted} devices for the mesh {layout}",
            fix='load it onto one device with engine="xla" or device=…',
        )
    return _engine().home(layout), layout


# --- processes ---------------------------------------------------------------------------------

_joined: list[int] = [0, 1]  # number of this process, and how many there are


@public("tp.distributed.use_cpu_devices")
def use_cpu_devices(count: int) -> None:
    """Divide the CPU into several devices, to try meshes on a machine without accelerators.

    To be called before anything else starts JAX. The environment variable
    ``XLA_FLAGS=--xla_force_host_platform_device_count=8`` does the same.

    Args:
        count: how many devices this process gets.

    Raises:
        TripyValueError: for a count below 1.
        TripyRuntimeError: when JAX runs already, with another number of devices.
        TripyImportError: where JAX is not installed.

    Example:
        >>> tp.distributed.use_cpu_devices(1)
    """
    if count < 1:
        raise errors.error(
            errors.TripyValueError,
            "a process has at least one device.",
            received=f"count = {count}",
            expected="an int from 1",
            fix="write, for example, count=8",
            argument="count",
        )
    _engine().use_cpu_devices(int(count))


@public("tp.distributed.initialize")
def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout: float = 300,
) -> None:
    """Join the processes of several hosts; a :class:`Mesh` then spans the devices of all.

    Every process calls this before it makes tensors, and afterwards compiles and calls the same
    Executables in the same order with the same inputs. A process alone is nothing to join.

    Args:
        coordinator: ``"host:port"`` of process 0, which all others can reach. None reads
            JAX_COORDINATOR_ADDRESS, or MASTER_ADDR and MASTER_PORT.
        num_processes: how many processes there are. None reads WORLD_SIZE, SLURM_NTASKS or
            OMPI_COMM_WORLD_SIZE.
        process_id: the number of this one, from 0. None reads RANK, SLURM_PROCID or
            OMPI_COMM_WORLD_RANK.
        timeout: seconds to wait for the others.

    Raises:
        TripyValueError: when an argument is missing or out of range.
        TripyRuntimeError: when a process does not come in time, two have one number, or JAX runs
            already.
        TripyImportError: where JAX is not installed.

    Example:
        >>> tp.distributed.initialize("localhost:5000", num_processes=1, process_id=0)
        >>> tp.distributed.process_count()
        1
    """
    from tripy.engines import rendezvous

    group = rendezvous.described(coordinator, num_processes, process_id, timeout)
    if group.size > 1:
        _engine().join(group)
        _joined[:] = group.number, group.size


@public("tp.distributed.shutdown")
def shutdown() -> None:
    """Leave the processes that :func:`initialize` joined; waits until all of them leave.

    Where another one is gone, JAX ends this process after the timeout of :func:`initialize`.

    Raises:
        TripyRuntimeError: when JAX cannot leave them.

    Example:
        >>> tp.distributed.shutdown()
    """
    if process_count() > 1:
        _joined[:] = 0, 1
        _engine().leave()


@public("tp.distributed.process_index")
def process_index() -> int:
    """Return the number of this process, 0 without :func:`initialize`.

    Raises:
        TripyTypeError: for any argument.

    Example:
        >>> tp.distributed.process_index()
        0
    """
    return _joined[0]


@public("tp.distributed.process_count")
def process_count() -> int:
    """Return how many processes there are, 1 without :func:`initialize`.

    Raises:
        TripyTypeError: for any argument.

    Example:
        >>> tp.distributed.process_count()
        1
    """
    return _joined[1]


def __dir__() -> Iterable[str]:
    return __all__
