"""Programs for any batch, called with three batches in turn, and ours for each of these alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

import tripy as tp
from bench.harness import openvino_settings
from bench.nets import in_torch, in_tripy
from bench.nets.cases import Case
from bench.nets.contests import Builders
from bench.nets.plans import Array
from bench.nets.store import OURS
from bench.nets.timing import Contestant

from .peers import Settings, onnx_session, watched

LONGER = (2, 1, 0)  # than the batch of the case, which comes last
LARGEST = 64


class Inputs:
    """What is called with, and an ONNX model for any batch."""

    def __init__(self, case: Case) -> None:
        self.case = case
        whole = np.concatenate([case.x] * (1 + max(LONGER)))
        self.arrays = [whole[: len(case.x) + extra] for extra in LONGER]

    @cached_property
    def model(self) -> bytes:
        return in_torch.onnx_model(self.case, self.arrays[0])

    def contestant(self, calls: Sequence[Callable[[], Any]], read: Any, start: float) -> Contestant:
        """One that makes a call for every input; the last result is compared."""

        def call() -> Any:
            for one in calls:
                result = one()
            return result

        call()
        return Contestant(call, lambda _: None, read, time.perf_counter() - start)


def _read(result: Any) -> Array:
    return np.array(result)


def _executable(inputs: Inputs, engine: str | None, batch: Any) -> tp.Executable:
    case = inputs.case
    info = tp.InputInfo((batch, *case.shape[1:]), getattr(tp, case.input_dtype))
    return tp.compile(in_tripy.network(case), args=[info], engine=engine)


def ours(inputs: Inputs, settings: Settings) -> Contestant:
    start = time.perf_counter()
    exe = _executable(inputs, settings.engine, (1, len(inputs.case.x), LARGEST))
    calls = [partial(exe, tp.Tensor(x)) for x in inputs.arrays]
    return inputs.contestant(calls, lambda result: result.numpy(), start)


def ours_alone(inputs: Inputs, settings: Settings) -> Contestant:
    """A program for every batch."""
    start = time.perf_counter()
    exes = [_executable(inputs, settings.engine, len(x)) for x in inputs.arrays]
    calls = [partial(exe, tp.Tensor(x)) for exe, x in zip(exes, inputs.arrays)]
    return inputs.contestant(calls, lambda result: result.numpy(), start)


def openvino(inputs: Inputs, settings: Settings) -> Contestant:
    import openvino as ov

    data, start = inputs.model, time.perf_counter()
    core = ov.Core()
    model = core.read_model(data, b"")
    compiled = core.compile_model(model, "CPU", openvino_settings(settings.threads, "f32"))
    request = compiled.create_infer_request()

    def call(x: ov.Tensor) -> Any:
        request.set_input_tensor(x)
        return request.infer(share_outputs=True)[0]

    calls = [partial(call, ov.Tensor(x, shared_memory=True)) for x in inputs.arrays]
    return inputs.contestant(calls, _read, start)


def onnx_runtime(inputs: Inputs, settings: Settings) -> Contestant:
    data, start = inputs.model, time.perf_counter()
    session = onnx_session(data, settings.threads)
    calls = [partial(session.run, None, {"x": x}) for x in inputs.arrays]
    return inputs.contestant(calls, lambda results: results[0], start)


def eager(inputs: Inputs, settings: Settings) -> Contestant:
    net, start = in_torch.network(inputs.case), time.perf_counter()
    calls = [partial(net, torch.from_numpy(x)) for x in inputs.arrays]
    return inputs.contestant(calls, lambda result: result.numpy(), start)


def compiled(inputs: Inputs, settings: Settings) -> Contestant:
    def make() -> Contestant:
        torch.compiler.reset()
        net, start = in_torch.network(inputs.case), time.perf_counter()
        call = torch.compile(net, dynamic=True, options={"freezing": True})
        calls = [partial(call, torch.from_numpy(x)) for x in inputs.arrays]
        return inputs.contestant(calls, lambda result: result.numpy(), start)

    return settings.compile_time.build(make)


# Name -> peer on the command line, and who builds it; JAX compiles for every batch anew.
PARTS: dict[str, tuple[str, Callable[[Inputs, Settings], Contestant]]] = {
    OURS: ("", ours),
    f"{OURS}, one program each": ("", ours_alone),
    "OpenVINO": ("openvino", openvino),
    "ONNX Runtime": ("onnxruntime", onnx_runtime),
    "torch": ("torch", eager),
    "torch.compile": ("torch.compile", compiled),
}


def builders(case: Case, settings: Settings) -> Builders:
    """Contestants by name, with ours first."""
    inputs = Inputs(case)
    wanted = {name: make for name, (peer, make) in PARTS.items() if peer in ("", *settings.peers)}
    return {
        name: partial(watched, partial(make, inputs, settings), settings.call_limit)
        for name, make in wanted.items()
    }


def work(case: Case) -> int:
    """Operations of the three calls."""
    return sum(case.plan.flops * (len(case.x) + extra) // len(case.x) for extra in LONGER)
