"""Who takes part: tripy, and peers that are given the same weights, input and number of threads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from bench.harness import openvino_settings
from bench.nets import in_torch, in_tripy
from bench.nets.cases import Case
from bench.nets.contests import Builders, CompileTime
from bench.nets.store import OURS
from bench.nets.timing import Contestant, OutOfTimeError, timed

from .int8 import quantized

# Name on the command line -> package.
PEERS = {
    "openvino": "openvino",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "torch.compile": "torch",
    "jax": "jax",
}
EXPORTERS = {"torch": in_torch.onnx_model, "tripy": in_tripy.onnx_model}
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
# ONNX Runtime's kernels for processors know no bfloat16; others do not read the quantized model.
LACKING = {
    "onnxruntime": ("bfloat16",),
    **dict.fromkeys(("torch", "torch.compile", "jax"), ("int8",)),
}
LAYOUT_CALLS = 3
REBUILT, REBUILDS = 2.0, 3  # the median of so many, for those who compile in fewer seconds


@dataclass
class Settings:
    """What the command line says.

    Attributes:
        exporter: who writes the ONNX model for OpenVINO and ONNX Runtime.
        seconds: for the samples of one case, about.
        patience: seconds to wait, before every round, for a machine that nobody else uses.
        call_limit: seconds that one call may take.
        layouts: JAX's faster layout of a network, once it is known.
    """

    peers: list[str]
    threads: int
    engine: str | None
    exporter: str
    quick: bool
    rounds: int
    seconds: float
    patience: float
    call_limit: float
    compile_time: CompileTime
    layouts: dict[tuple[str, str], str] = field(default_factory=dict)


def missing(peers: list[str]) -> list[str]:
    """Peers that are not installed."""
    return [name for name in peers if find_spec(PEERS[name]) is None]


class Model:
    """The ONNX model of a case, written once for all who read it."""

    def __init__(self, case: Case, exporter: str) -> None:
        self.case, self.exporter = case, exporter

    @cached_property
    def bytes(self) -> bytes:
        data = EXPORTERS[self.exporter](self.case)
        return quantized(data, self.case.x) if self.case.arithmetic == "int8" else data


def _first(call: Callable[[], Any], start: float) -> float:
    """Seconds since the start, after one call."""
    call()
    return time.perf_counter() - start


# --- OpenVINO and ONNX Runtime ---------------------------------------------------------------


def openvino(model: Model, threads: int) -> Contestant:
    """OpenVINO's own API, with one input and one output that stay bound."""
    import openvino as ov

    case, data = model.case, model.bytes
    start = time.perf_counter()
    core = ov.Core()
    settings = openvino_settings(threads, PRECISIONS[case.arithmetic])
    request = core.compile_model(core.read_model(data, b""), "CPU", settings).create_infer_request()
    request.set_input_tensor(ov.Tensor(case.x, shared_memory=True))
    call = partial(request.infer, share_outputs=True)
    seconds = _first(call, start)
    return Contestant(call, _done, lambda _: np.array(request.get_output_tensor().data), seconds)


def onnx_session(data: bytes, threads: int) -> Any:
    """A session of ONNX Runtime; its threads must not spin while others are timed."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def onnx_runtime(model: Model, threads: int) -> Contestant:
    """A session with bound arrays."""
    import onnxruntime

    case, data = model.case, model.bytes
    start = time.perf_counter()
    session = onnx_session(data, threads)
    binding = session.io_binding()
    result = np.empty(case.plan.result, np.float32)
    x, y = (onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in (case.x, result))
    binding.bind_ortvalue_input(session.get_inputs()[0].name, x)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, y)
    call = partial(session.run_with_iobinding, binding)
    seconds = _first(call, start)
    return Contestant(call, _done, lambda _: y.numpy().copy(), seconds)


def _done(_: Any) -> None:
    """For calls that return when they are done."""


# --- JAX -------------------------------------------------------------------------------------


def jax(case: Case, settings: Settings) -> Contestant:
    """The faster of both layouts; another batch of the network may have shown which it is."""
    from bench.nets import in_jax

    key = (case.name, case.arithmetic)
    layouts = [settings.layouts[key]] if key in settings.layouts else in_jax.LAYOUTS
    found = {layout: in_jax.contestant(case, "cpu", layout) for layout in layouts}
    times = {layout: timed(c.call, c.wait, LAYOUT_CALLS) for layout, c in found.items()}
    best = settings.layouts[key] = min(times, key=times.__getitem__)
    return replace(found[best], about={"layout": best})


# --- everybody -------------------------------------------------------------------------------


def _ours(case: Case, settings: Settings, model: Model) -> Builders:
    if case.arithmetic == "int8":
        return {OURS: lambda: in_tripy.from_onnx(case, model.bytes, settings.engine)}
    found = {OURS: partial(in_tripy.contestant, case, settings.engine, "cpu")}
    if case.arithmetic == "float32":
        found[f"{OURS} eager"] = partial(in_tripy.eager, case, "cpu")
    return found


def _openvino(case: Case, settings: Settings, model: Model) -> Builders:
    return {"OpenVINO": partial(openvino, model, settings.threads)}


def _onnx_runtime(case: Case, settings: Settings, model: Model) -> Builders:
    return {"ONNX Runtime": partial(onnx_runtime, model, settings.threads)}


def _torch(case: Case, settings: Settings, model: Model) -> Builders:
    found = {"torch": partial(in_torch.eager, case, "cpu", False)}
    if len(case.shape) in in_torch.CHANNELS_LAST:
        found["torch channels_last"] = partial(in_torch.eager, case, "cpu", True)
    return found


def _torch_compile(case: Case, settings: Settings, model: Model) -> Builders:
    make = partial(in_torch.frozen, case)
    return {"torch.compile": partial(settings.compile_time.build, make)}


def _jax(case: Case, settings: Settings, model: Model) -> Builders:
    return {"JAX": partial(jax, case, settings)}


MAKERS = {
    "openvino": _openvino,
    "onnxruntime": _onnx_runtime,
    "torch": _torch,
    "torch.compile": _torch_compile,
    "jax": _jax,
}


def watched(build: Callable[[], Contestant], limit: float) -> Contestant:
    """A contestant with its usual time to compile, if its calls are not too slow."""
    contestant = build()
    compiling = [contestant.compile_seconds]
    while compiling[0] < REBUILT and len(compiling) < REBUILDS:
        contestant = build()
        compiling.append(contestant.compile_seconds)
    contestant = replace(contestant, compile_seconds=statistics.median(compiling))
    seconds = timed(contestant.call, contestant.wait, 1)
    if seconds > limit:
        raise OutOfTimeError(f"SLOW: one call takes {seconds:.0f} s")
    return contestant


def builders(case: Case, settings: Settings) -> Builders:
    """Contestants by name, with ours first."""
    model = Model(case, settings.exporter)
    if case.arithmetic == "int8" or {"openvino", "onnxruntime"} & set(settings.peers):
        with suppress(Exception):  # those who need the model will say what is wrong with it
            _ = model.bytes
    found = dict(_ours(case, settings, model))
    for peer in settings.peers:
        if case.arithmetic in LACKING.get(peer, ()):
            continue
        found |= MAKERS[peer](case, settings, model)
    return {name: partial(watched, build, settings.call_limit) for name, build in found.items()}


def set_threads(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    in_torch.prepare(tf32=False)
    in_tripy.prepare(threads)
