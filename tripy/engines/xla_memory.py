"""JAX's devices and the memory on them: what the XLA engine and tensors on GPUs stand on."""

from __future__ import annotations

import functools
import os
from typing import Any

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # read when JAX starts a GPU

import jax
import numpy as np

from tripy import errors
from tripy.devices import device, require
from tripy.source import hide

hide(os.path.dirname(jax.__file__))

# Kind of device -> JAX's word for it.
PLATFORMS = {"cpu": "cpu", "gpu": "gpu"}

_lost: list[int] = []  # the process that used JAX, in a child forked from it


def check() -> None:
    """Raise TripyRuntimeError in a process that was forked after JAX started: it would hang."""
    if _lost:
        raise errors.error(
            errors.TripyRuntimeError,
            "JAX cannot be used in a process that was forked after it ran.",
            received=f"a process forked from process {_lost[0]}",
            expected="a process that was started afresh, or forked before JAX ran",
            fix="use multiprocessing.get_context('spawn'); executables can be sent to its workers",
        )


def _after_fork() -> None:
    if devices_of.cache_info().currsize:
        _lost[:] = [os.getppid()]


if hasattr(os, "register_at_fork"):  # there is none on Windows, where nothing forks
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def devices_of(kind: str) -> tuple[Any, ...]:
    """Return this process's devices of a kind; RuntimeError where JAX has none."""
    return tuple(jax.local_devices(backend=PLATFORMS[kind]))


def count(kind: str) -> tuple[int, str]:
    """Return how many devices of a kind there are, and why there are not more."""
    try:
        found = len(devices_of(kind))
    except RuntimeError as problem:
        return 0, f"JAX {jax.__version__} found no {kind}: {' '.join(str(problem).split())[:300]}"
    return found, f"JAX found {found} of its kind"


def device_of(place: device) -> Any:
    """Return JAX's device of a tripy device."""
    check()
    return devices_of(place.kind)[place.index]


def put(data: Any, place: device) -> Any:
    """Return elements as an array on a device; they are not copied where they are there."""
    try:
        with jax.enable_x64(True):
            return jax.device_put(data, device_of(place))
    except FAILURES as problem:
        raise failure(f"copy {data.nbytes} bytes to {place}", problem) from problem


def take(data: Any) -> tuple[Any, device]:
    """Return what another library holds on a GPU as an array that shares its memory."""
    detach = getattr(data, "detach", None)  # torch exports nothing that gradients flow through
    data = data if detach is None else detach()
    with jax.enable_x64(True):
        array = data if isinstance(data, jax.Array) else jax.dlpack.from_dlpack(data)
    (at,) = array.devices()
    return array, require(f"gpu:{devices_of('gpu').index(at)}")


def duplicate(data: Any) -> Any:
    """Return a copy of an array, in the same layout on the same device."""
    check()
    try:
        with jax.enable_x64(True):
            return jax.device_put(data, data.format, may_alias=False)
    except FAILURES as problem:
        raise failure(f"copy {data.nbytes} bytes", problem) from problem


def fetch(data: Any) -> Any:
    """Wait for an array and return its elements as a NumPy array."""
    check()
    try:
        return np.asarray(data)
    except FAILURES as problem:
        raise failure("compute a tensor", problem) from problem


def wait(data: Any) -> None:
    """Wait until an array is computed."""
    try:
        data.block_until_ready()
    except FAILURES as problem:
        raise failure("compute a tensor", problem) from problem


@functools.cache
def _marker(place: device) -> tuple[Any, Any]:
    one = put(np.zeros((), np.int32), place)
    return jax.jit(lambda x: x + 1).lower(one).compile(), one


def synchronize(place: device) -> None:
    """Wait for all work queued on a device: work that is queued now comes last."""
    program, one = _marker(place)
    program(one).block_until_ready()


# --- failures ----------------------------------------------------------------------------------

FAILURES = (jax.errors.JaxRuntimeError, ValueError, TypeError, MemoryError, NotImplementedError)
# Words in what JAX raises -> error, what is wrong, what is expected, what to do.
_CAUSES = (
    (
        ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory", "MemoryError"),
        errors.TripyMemoryError,
        ": there is not enough memory on the device",
        "a program and inputs that fit into memory",
        "use smaller batches, or free tensors that are no longer needed",
    ),
    (
        ("Gloo", "NCCL", "oordination service"),
        errors.TripyRuntimeError,
        ": a device or process of the mesh does not answer",
        "all devices and processes of the mesh to work",
        "see what the other processes say, and start all of them again",
    ),
    (
        ("",),
        errors.TripyRuntimeError,
        "",
        "a working program",
        "use another engine, and report this",
    ),
)


def failure(
    action: str, problem: BaseException, source: errors.Source | None = None
) -> errors.TripyRuntimeError:
    """Return the error for what JAX raised."""
    text = " ".join(str(problem).split())
    said = f"{type(problem).__name__} {text}"
    cause = next(row for row in _CAUSES if any(word in said for word in row[0]))
    _, kind, clause, expected, fix = cause
    return errors.error(
        kind,
        f"XLA could not {action}{clause}.",
        received=text[:500],
        expected=expected,
        fix=fix,
        source=source,
    )
