"""The NumPy body of every plugin: runs the user's function and checks what it returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tripy import dtypes, errors
from tripy.engines.window_kernels import Array, Attrs, Body, DType, Inputs, Shape
from tripy.graph import Node, shape_text
from tripy.ops.plugin import find, keywords


class _Calls(threading.local):
    """Results that other nodes of the same call will take in this evaluation, with its inputs."""

    def __init__(self) -> None:
        self.made: dict[tuple[Any, ...], tuple[Inputs, dict[int, Array]]] = {}
        self.source: errors.Source = ()  # of the call that runs


_calls = _Calls()


def forget() -> None:
    """Drop what the evaluation that ends now did not take."""
    if _calls.made:
        _calls.made.clear()


def _plugin(inputs: Inputs, attrs: Attrs, shape: Shape, dtype: DType) -> Array:
    """One result; the body runs once for all results of a call."""
    key = (attrs["plugin"], attrs["revision"], attrs["settings"], *map(id, inputs))
    _, results = _calls.made.pop(key, ((), {}))
    if attrs["output"] not in results:
        results = dict(enumerate(_call(inputs, attrs)))
    result = results.pop(attrs["output"])
    if results:  # holding the inputs keeps their ids from being used again
        _calls.made[key] = (inputs, results)
    return result


def _call(inputs: Inputs, attrs: Attrs) -> list[Array]:
    record, types = find(attrs["plugin"]), attrs["results"]
    views = [array.view() for array in inputs]
    for view in views:
        view.flags.writeable = False
    returned = record.body(*views, **keywords(attrs["settings"]))
    made = returned if isinstance(returned, (list, tuple)) else [returned]
    if len(made) != len(types):
        received, expected = f"{len(made)} results", f"{len(types)} results"
        raise _wrong_result(errors.TripyTypeError, record.name, received, expected)
    return [_checked(record.name, array, *kind) for array, kind in zip(made, types)]


def _checked(name: str, result: Any, kind: dtypes.dtype, shape: Shape) -> Array:
    array = np.asarray(result)
    if array.dtype != dtypes.to_numpy(kind):
        expected = f"dtype {kind}"
        raise _wrong_result(errors.TripyTypeError, name, f"dtype {array.dtype}", expected)
    if array.shape != shape:
        received, expected = (f"shape {shape_text(s)}" for s in (array.shape, shape))
        raise _wrong_result(errors.TripyShapeError, name, received, expected)
    return array


def _wrong_result(
    kind: type[errors.ErrorT], name: str, received: str, expected: str
) -> errors.ErrorT:
    return errors.error(
        kind,
        f"the body of the plugin {name!r} did not return what its shape rule says.",
        received=received,
        expected=expected,
        fix="correct the shape rule or the body",
        source=_calls.source,
    )


def noted(
    body: Callable[..., Array],
    node: Node,
    inputs: Sequence[Any],
    attributes: Attrs,
    shape: Any,
) -> Array:
    """Run a plugin; exceptions of the user's body pass with a note that names the call."""
    _calls.source = node.source
    try:
        return body(inputs, attributes, shape, dtypes.to_numpy(node.dtype))
    except Exception as problem:
        where = errors.location(node.source)
        problem.add_note(f"in tp.plugin({attributes['plugin']!r}), called at {where}")
        raise


BODIES: dict[str, Body] = {"plugin": _plugin}
