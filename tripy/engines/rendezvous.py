"""Processes find each other before JAX joins them: JAX would end a process that waits in vain."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

from tripy import errors

_GO = "go"
_GREETING = "tripy"
_PAUSE = 0.1  # seconds between attempts to reach process 0
_PATIENCE = 5.0  # seconds for the first line of a connection


class Group(NamedTuple):
    """The processes to join: where process 0 is, which one this is, and how long to wait."""

    host: str
    port: int
    size: int
    number: int
    timeout: float

    @property
    def address(self) -> str:
        """Where process 0 is."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- arguments ---------------------------------------------------------------------------------

_COUNTS = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
_NUMBERS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")


def described(
    coordinator: str | None, count: int | None, number: int | None, timeout: float
) -> Group:
    """Return the group that arguments, or the variables of launchers, describe."""
    host, port = _address(coordinator or _from_launcher())
    count = _given("num_processes", count, _COUNTS)
    number = _given("process_id", number, _NUMBERS)
    for name, value, limit in (("num_processes", count, None), ("process_id", number, count)):
        low = 1 if limit is None else 0
        if value < low or (limit is not None and value >= limit):
            raise _wrong(name, str(value), f"{low} … {'' if limit is None else limit - 1}")
    if not timeout > 0:
        raise _wrong("timeout", str(timeout), "seconds, more than 0")
    return Group(host, port, count, number, float(timeout))


def _wrong(name: str, received: str, expected: str) -> errors.TripyValueError:
    return errors.error(
        errors.TripyValueError,
        f"{name} does not describe a process.",
        received=f"{name} = {received}",
        expected=expected,
        fix='write initialize("host:port", num_processes=2, process_id=0)',
        argument=name,
    )


def _from_launcher() -> str:
    own, *torch = (os.environ.get(n) for n in ("JAX_COORDINATOR_ADDRESS", *_TORCH))
    return own or (":".join(map(str, torch)) if all(torch) else "")


_TORCH = ("MASTER_ADDR", "MASTER_PORT")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        expected = '"host:port" of process 0, which all others can reach'
        raise _wrong("coordinator", repr(text) if text else "None", expected)
    return host.strip("[]"), int(port)


def _given(name: str, value: int | None, variables: Sequence[str]) -> int:
    found = next((os.environ[v] for v in variables if v in os.environ), "")
    if value is None and not found.isdigit():
        expected = f"an int, or one of the variables {', '.join(variables)}"
        raise _wrong(name, found or "None", expected)
    return int(found if value is None else value)


# --- meeting -----------------------------------------------------------------------------------


def meet(group: Group) -> float:
    """Wait until all processes are there; return the seconds that are left for JAX."""
    deadline = time.monotonic() + group.timeout
    (_gather if group.number == 0 else _report)(group, deadline)
    return max(deadline - time.monotonic(), _PATIENCE)


def _failed(group: Group, problem: str, received: str) -> errors.TripyRuntimeError:
    return errors.error(
        errors.TripyRuntimeError,
        f"the processes could not be joined: {problem}.",
        received=received,
        expected=f"{group.size} processes with the numbers 0 … {group.size - 1}, within "
        f"{group.timeout:g} s, and process 0 at {group.address}",
        fix="start all of them, and check the address, firewalls and the numbers",
        argument="coordinator",
    )


def _gather(group: Group, deadline: float) -> None:
    """Wait for the others, as process 0, and tell all of them how it went."""
    came: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as connections:
        try:
            with _listening(group) as server:
                while len(came) < group.size - 1:
                    server.settimeout(max(deadline - time.monotonic(), 0.001))
                    link = connections.enter_context(server.accept()[0])
                    _welcome(group, came, link)
        except OSError as problem:
            missing = [n for n in range(1, group.size) if n not in came]
            text = f"process {', '.join(map(str, missing))} did not come"
            if not isinstance(problem, TimeoutError):
                text = f"process 0 cannot listen ({problem})"
            _tell(came, text)
            here = ", ".join(map(str, [0, *sorted(came)]))
            raise _failed(group, text, f"processes {here}") from problem
        _tell(came, _GO)


def _listening(group: Group) -> socket.socket:
    """Return a server on all addresses, as JAX's own will be."""
    is_dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual else socket.AF_INET
    return socket.create_server(
        ("", group.port), family=family, backlog=group.size, dualstack_ipv6=is_dual
    )


def _welcome(group: Group, came: dict[int, socket.socket], link: socket.socket) -> None:
    """Note who came; strangers are ignored, and a wrong number is answered."""
    words = _line(link, time.monotonic() + _PATIENCE).split()
    if len(words) != 3 or words[0] != _GREETING or not all(map(str.isdecimal, words[1:])):
        return
    number, count = int(words[1]), int(words[2])
    if count != group.size:
        _tell({number: link}, f"process 0 expects {group.size} processes, not {count}")
    elif number in came or not 0 < number < count:
        _tell({number: link}, f"there is another process {number}")
    else:
        came[number] = link


def _tell(links: dict[int, socket.socket], text: str) -> None:
    for link in links.values():
        with contextlib.suppress(OSError):
            link.sendall(f"{text}\n".encode())


def _line(link: socket.socket, deadline: float) -> str:
    """Return the next line of a connection; '' where none comes."""
    found = b""
    with contextlib.suppress(OSError):
        while not found.endswith(b"\n") and len(found) < 1000:
            link.settimeout(max(deadline - time.monotonic(), 0.001))
            part = link.recv(1)
            if not part:
                return ""
            found += part
    return found.decode(errors="replace").strip() if found.endswith(b"\n") else ""


def _report(group: Group, deadline: float) -> None:
    """Tell process 0 that this one is there, and wait for its answer."""
    answer = ""
    while not answer and time.monotonic() < deadline:
        try:
            left = max(deadline - time.monotonic(), 0.001)
            with socket.create_connection((group.host, group.port), timeout=left) as link:
                link.sendall(f"{_GREETING} {group.number} {group.size}\n".encode())
                answer = _line(link, deadline + _PATIENCE)  # process 0 says what is missing
        except OSError:
            pass
        if not answer:
            time.sleep(_PAUSE)
    if answer != _GO:
        problem = answer or f"process 0 was not reached at {group.address}"
        raise _failed(group, problem, f"process {group.number}")
