"""Any value for any parameter of any public function or class: a result, or a TripyException."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp

matrix = tp.Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
image = tp.ones((1, 2, 5, 5)).eval()
flags = tp.Tensor([[True, False, True], [False, False, True]])

# Good values by the name of the parameter, and those of single functions.
GOOD: dict[str, Any] = {
    "input": matrix, "other": matrix, "lhs": matrix, "rhs": matrix, "tensors": [matrix, matrix],
    "dim": 0, "dim0": 0, "dim1": 1, "start_dim": 0, "end_dim": -1, "keepdim": False, "perm": (1, 0),
    "dims": None, "dtype": tp.float32, "device": "cpu", "shape": (2, 3), "sizes": (2, 2, 3),
    "value": 1, "start": 0, "stop": 5, "step": 1, "condition": flags, "approximate": "none",
    "index": tp.Tensor([[0, 1, 0]]), "vec1": tp.ones((2,)), "vec2": tp.ones((3,)), "mode": "edge",
    "pad": [(0, 1), (1, 0)], "num_split_or_sizes": 2, "rtol": 1e-5, "atol": 0.0, "equal_nan": False,
    "kernel_dims": (2, 2), "stride": 1, "padding": 0, "ceil_mode": False, "count_include_pad": True,
    "weight": tp.ones((4, 2, 3, 3)), "bias": True, "groups": 1, "dilation": 1, "output_padding": 0,
    "data": [1, 2], "tensor": [1.0], "name": "name", "in_channels": 2, "out_channels": 4,
    "in_features": 2, "out_features": 3, "num_features": 2,
    "num_embeddings": 4, "embedding_dim": 3, "scale": 0.5, "quant_dtype": tp.int8,
    "weight_quant_dim": 0, "eps": 1e-5, "min": 1, "opt": 2,
    "max": 3, "value_bounds": (1, 2, 3), "kind": "cpu", "func": tp.relu, "optimization_level": 3,
    "args": [tp.InputInfo((2,), tp.float32)], "kwargs": {}, "engine": "reference",
    "precision": "float32", "modules": tp.relu,
    "mask": tp.Tensor([True, False, True]),
    "negative_slope": 0.1, "alpha": 1.0, "beta": 1.0, "diagonal": 0, "num": 3, "n": 2, "m": 3,
    "num_classes": 3, "indexing": "ij", "correction": 1, "ord": 2, "repeats": 2, "reps": 2,
    "shifts": 1, "upscale_factor": 2,
    "low": 0, "high": 9, "mean": 0.0, "std": 1.0,
    "seed": 1,
    "descending": True, "k": 1, "largest": False,
    "return_index": True, "return_inverse": True, "return_counts": True, "updates": 2.0,
    "reduction": "add", "output_size": 2, "output_shape": (4, 6), "align_corners": False,
    "scales": None, "equation": "ij,jk->ik", "operands": [tp.ones((2, 3)), tp.ones((3, 2))],
    "path": "good.safetensors", "metadata": {"a": "b"},
    "infer": lambda *x: ((2,), tp.float32), "attrs": {}, "replace": True, "inputs": [matrix],
    "query": image, "key": image, "attn_mask": None,
    "is_causal": False, "enable_gqa": False, "embed_dim": 4, "num_heads": 2,
    "num_kv_heads": 1, "num_groups": 1, "num_channels": 2, "normalized_shape": (2, 3),
    "progress": lambda stage, elapsed: None, "mesh": None, "sharding": None,
    "check": False,
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    **{name: {"input": flags} for name in ("all", "any", "logical_not")},
    **{name: {"lhs": flags, "rhs": flags} for name in ("logical_and", "logical_or", "logical_xor")},
    "clip": {"min": 0.0, "max": 1.0},
    "meshgrid": {"tensors": [tp.ones((2,)), tp.ones((3,))]},
    "one_hot": {"input": tp.Tensor([0, 2])},
    "pixel_shuffle": {"input": tp.ones((4, 2, 2))},
    **{name: {"tensor": matrix} for name in ("tril", "triu")},
    **{name: {"input": image} for name in ("maxpool", "avgpool", "adaptive_avgpool")},
    "resize": {"mode": "linear"},
    "conv": {"input": image, "bias": None},
    "conv_transpose": {"input": image, "weight": tp.ones((2, 4, 3, 3)), "bias": None},
    "random.randint": {"dtype": tp.int32},
    "quantize": {"dtype": tp.int8, "dim": None},
    "dequantize": {"input": tp.ones((2, 3), tp.int8), "dim": None},
    "matmul": {"other": tp.ones((3, 2))},
    "scaled_dot_product_attention": {"value": image},
    "DimensionSize": {"data": 3},
    "save_safetensors": {"tensors": {"a": matrix}},
    "register_plugin": {"name": "bad::values"},
    "plugin": {"name": "good::values"},
    "Bounds": {"min": 1, "opt": 2, "max": 3},
}
BAD: list[Any] = [
    None, "text", "", 1.5, -1, 0, True, 2**31, b"bytes", 1j, object(), object, [], (), [None],
    ["text"], [1, "text"], [1.5], [-1], [2**70], [[1], [2, 3]], {}, {"key": 1}, {1, 2}, range(3),
    np.array(["text"]), np.ones((2, 3)), np.float32(1), np.int64(-5), np.bool_(True), np.float32,
    tp.float16, tp.floating, tp.int4, matrix, flags, image, tp.ones(()), tp.ones((0, 3)),
    tp.ones((2, 3), tp.float8), tp.DimensionSize(2), tp.device("gpu"), slice(1, 2), ...,
    NotImplemented, (1, -1), ((1, -1), (0, 0)), [matrix, None], [matrix, flags], lambda x: x,
]  # fmt: skip
# Made by other calls, or of functions of NumPy and the user.
SKIPPED = {"Executable", "Module", "dtype", "Identity"}
HUGE = {("split", "num_split_or_sizes"), ("arange", "start"), ("arange", "stop")}


SLOTS = ("received", "expected", "how to fix")


def public(name: str) -> Any:
    return attrgetter(name)(tp)


def is_tested(name: str) -> bool:
    value = public(name)
    if isinstance(value, type):
        return not isinstance(value, tp.dtype) and not issubclass(value, Exception)
    return inspect.isfunction(value)


EVERYTHING = [*dir(tp), *(f"random.{name}" for name in dir(tp.random))]
NAMES = [name for name in EVERYTHING if is_tested(name) and name not in SKIPPED]


def good_arguments(name: str) -> dict[str, Any]:
    known = GOOD | OWN.get(name, {})
    parameters = inspect.signature(public(name)).parameters.values()
    return {p.name: known[p.name] for p in parameters if p.kind is not p.VAR_KEYWORD}


def called(name: str, arguments: dict[str, Any]) -> Any:
    """Call by name; what a variadic parameter takes is given one by one."""
    function, rest = public(name), dict(arguments)
    parameters = list(inspect.signature(function).parameters.values())
    kinds = [p.kind for p in parameters]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return function(**rest)
    *before, several = [
        rest.pop(p.name) for p in parameters[: kinds.index(inspect.Parameter.VAR_POSITIONAL) + 1]
    ]
    return function(*before, *(several if isinstance(several, list) else [several]), **rest)


def calls(name: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(description, call) with one bad value each."""
    good = good_arguments(name)
    for parameter in good:
        for bad in BAD:
            if type(bad) is int and bad > 100 and (name, parameter) in HUGE:
                continue
            arguments = good | {parameter: bad}
            yield f"{name}({parameter}={type(bad).__name__})", lambda a=arguments: called(name, a)


@tp.register_plugin("good::values", infer=GOOD["infer"])
def ones(*x: Any) -> Any:
    return np.ones(2, np.float32)


@pytest.fixture(autouse=True)
def _folder_with_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tp.save_safetensors({"a": matrix}, "good.safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_good_values_are_good(name: str) -> None:
    called(name, good_arguments(name))


@pytest.mark.parametrize("name", NAMES)
def test_bad_values_give_tripy_exceptions(name: str) -> None:
    missing: list[str] = []
    for description, call in calls(name):
        try:
            call()
        except tp.TripyException as problem:
            lacking = [slot for slot in SLOTS if f"\n  {slot}: " not in str(problem)]
            missing += [f"{description} lacks {slot}" for slot in lacking]
        except Exception as problem:
            raise AssertionError(description) from problem
    assert missing == []


def quantized() -> tp.Linear:
    return tp.Linear(3, 2, quant_dtype=tp.int8)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda t, x: t + x,
    "reflected +": lambda t, x: x + t,
    "/": lambda t, x: t / x,
    "//": lambda t, x: t // x,
    "%": lambda t, x: t % x,
    "**": lambda t, x: t**x,
    "@": lambda t, x: t @ x,
    "&": lambda t, x: t & x,
    "<": lambda t, x: t < x,
    "==": lambda t, x: t == x,
    "[x]": lambda t, x: t[x],
    "[0, x]": lambda t, x: t[0, x],
    "[:x]": lambda t, x: t[:x],
    "[::x]": lambda t, x: t[::x],
    "in": lambda t, x: x in t,
    "reshape": lambda t, x: t.reshape(x),
    "name": lambda t, x: setattr(tp.Tensor(t), "name", x),
    "weight": lambda t, x: setattr(tp.Linear(3, 2), "weight", x),
    "weight scale": lambda t, x: setattr(quantized(), "weight_scale", x),
    "input scale": lambda t, x: setattr(quantized(), "input_scale", x),
    "scales": lambda t, x: quantized().load_state_dict({"input_scale": x, "weight_scale": t}),
    "state dict": lambda t, x: tp.Linear(3, 2).load_state_dict({"weight": t, "bias": x}),
    "member": lambda t, x: tp.Sequential(tp.relu)[x],
    "Sequential": lambda t, x: tp.Sequential(x),
    "setting": lambda t, x: tp.config.override(num_threads=x),
}


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("kind", ["float32", "int32", "bool", "int4"])
def test_bad_operands_give_tripy_exceptions(operator: str, kind: str) -> None:
    tensor = tp.cast(matrix, getattr(tp, kind))
    for bad in BAD:
        try:
            OPERATORS[operator](tensor, bad)
        except tp.TripyException:
            continue
        except Exception as problem:
            raise AssertionError(f"{operator} with {type(bad).__name__}") from problem
