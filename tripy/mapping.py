"""``Executable.map``: calls on many inputs that run side by side."""

from __future__ import annotations

import contextlib
import functools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any

from tripy import errors
from tripy.engines import base
from tripy.locks import Lock
from tripy.progress import Count, Counter, check_counter

if TYPE_CHECKING:
    from tripy.executable import Executable

_building = Lock()


def mapped(
    executable: Executable, iterable: Any, in_flight: int, progress: bool | Counter
) -> Iterator[Any]:
    """Check the arguments of ``Executable.map`` and return its iterator."""
    _check(iterable, in_flight)
    check_counter(progress)
    program = _program(executable, min(in_flight, _cores(executable._options.threads)))
    results = _results(executable, program, iter(iterable), in_flight)
    return results if progress is False else _counted(results, Count(progress, _length(iterable)))


def _length(iterable: Iterable[Any]) -> int | None:
    """Return how many items there are; what loads data may know only that it does not know."""
    try:
        return len(iterable) if isinstance(iterable, Sized) else None
    except (TypeError, NotImplementedError):
        return None


def _counted(results: Generator[Any, None, None], count: Count) -> Iterator[Any]:
    with contextlib.closing(results), count:
        for result in results:
            count.add()
            yield result


def _check(iterable: Any, in_flight: int) -> None:
    if not isinstance(iterable, Iterable):
        raise errors.error(
            errors.TripyTypeError,
            "map calls the executable on every item of an iterable.",
            received=errors.describe(iterable),
            expected="a list, a generator or another iterable of inputs",
            fix="wrap the inputs of one call in a list, or call the executable",
            argument="iterable",
        )
    if in_flight < 1:
        raise errors.error(
            errors.TripyValueError,
            "in_flight must be the number of calls that run at once.",
            received=errors.describe(in_flight),
            expected="an int, at least 1",
            fix="leave it out for 2, or give the number of cores",
            argument="in_flight",
        )


def _cores(threads: int | None) -> int:
    if threads is not None:
        return threads
    with contextlib.suppress(AttributeError):  # only Linux knows what the process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _program(executable: Executable, streams: int) -> base.Program | None:
    """Return the program for a number of streams; the last one is kept."""
    usual = executable._program
    if streams == 1 or not isinstance(usual, base.Starter):
        return usual
    with _building:
        kept = executable._streams
        if kept is None or kept[0] != streams:
            options = executable._options._replace(streams=streams)
            program = base.load(executable.engine).build(executable._plan.graph, options)
            kept = executable._streams = streams, program
        return kept[1]


def _results(
    executable: Executable, program: base.Program | None, items: Iterator[Any], in_flight: int
) -> Generator[Any, None, None]:
    process, running = os.getpid(), deque[Callable[[], Any]]()
    problem: Exception | None = None
    try:
        while True:
            try:
                while problem is None and len(running) <= in_flight:  # one more waits its turn
                    running.append(_started(executable, program, next(items)))
            except StopIteration as end:
                problem = end
            except Exception as raised:
                problem = raised
            if not running:
                break
            yield running.popleft()()
    finally:
        # Requests and their memory must not go while they run; in a forked process none does.
        while running and os.getpid() == process:
            with contextlib.suppress(errors.TripyException):
                running.popleft()()
    if not isinstance(problem, StopIteration) and problem is not None:
        raise problem


def _started(executable: Executable, program: base.Program | None, item: Any) -> Callable[[], Any]:
    """Start the call on an item and return what waits for its result."""
    buffers = executable._buffers(item if type(item) is tuple else (item,), {})
    buffers = [buffer.copy() for buffer in buffers]  # iterables may use their memory again
    if isinstance(program, base.Starter):
        return functools.partial(_finish, executable, program.start(buffers), buffers)
    return lambda: executable._returned(executable._run(program, buffers))


def _finish(executable: Executable, wait: Callable[[], Any], buffers: list[Any]) -> Any:
    results = wait()
    return executable._returned(
        results if executable._direct else executable._assemble(results, buffers)
    )
