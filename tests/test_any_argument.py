"""Any object in the place of any argument of the public API, drawn at random.

Everything ends in a TripyException or a result, in time, and leaves what the user has as it was.
A failure prints one line; run it after ``from test_any_argument import *`` in this folder.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import fractions
import pathlib
import signal
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_bad_values import BAD, GOOD, NAMES, SLOTS, called, good_arguments

import tripy as tp

ROUNDS = 3000  # of calls; one takes 6 ms
PER_CALL = 20  # seconds

# Objects ----------------------------------------------------------------------------------------


class Trap(Exception):
    """What the objects below raise: it is the user's own, so it may come out."""


def lying(name: str, *protocols: str, result: Any = Trap) -> Any:
    """An object whose protocols raise, or return a given result."""

    def answer(self: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(result, type) and issubclass(result, BaseException):
            raise result(name)
        return result

    return type(name, (), {f"__{protocol}__": answer for protocol in protocols})()


def itself() -> list[Any]:
    members: list[Any] = []
    members.append(members)
    return members


def itself_in_a_dict() -> dict[str, Any]:
    members: dict[str, Any] = {}
    members["a"] = members
    return members


def of(kind: str) -> Any:
    """A small array of an odd dtype."""
    return np.zeros(3, kind)


class Odd(int):
    """A subclass of int."""


class Words(str):
    """A subclass of str."""


class Color(enum.IntEnum):
    RED = 1


class NamedTwo(NamedTuple):
    first: Any = 1
    second: Any = "two"


try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

# Sources of objects, so that a failure can be shown as code.
OBJECTS = """
None|...|NotImplemented|True|False|0|-1|2|7|2**31|2**63|2**70|-2**70|10**400|Odd(1)|Color.RED|1.5
-0.0|1e308|float("nan")|float("inf")|-float("inf")|1j|complex("nan")|""|"a"|"ij,jk->ik"|"float32"
"int32"|"cpu"|"gpu:7"|"cpu:99999999999999999999"|"\\0"|"\\ud800"|"x" * 100000|"("|"%s{}"|"->"
"...,...->"|"tp.float32"|Words("linear")|b""|b"ij"|bytearray(3)|memoryview(b"abc")|()|[]|{}|set()
frozenset([1])|(1,)|(1, -1)|[1.5]|[None]|["a", 1]|[[1], [2, 3]]|[[]]|[[], [1]]|[2**70]
[float("nan")]|((1, 2), (3, 4))|((1, -1), 2)|[True, 2]|itself()|itself_in_a_dict()|{"a": 1}|{1: 2}
{None: []}|{(): {}}|{1, "a"}|range(3)|range(10**18)|iter([1])|(n for n in range(2))|map(int, "12")
zip()|slice(1)|slice(None, None, 0)|slice("a")|slice(2**70)|object()|object|type|int|float|str
Exception|Exception("a")|len|print|lambda: 1|lambda *a, **k: 1|lambda x: x|np|tp|np.float32
np.dtype("f4")|np.dtype("O")|np.float32(1)|np.int64(-5)|np.uint64(2**63)|np.bool_(True)
np.str_("a")|np.datetime64("2020")|np.timedelta64(1)|np.longdouble(1)|np.void(b"ab")|np.array(1)
np.array([])|np.array("a")|np.array(None)|np.array([1, "a"], object)|np.ones((2, 3))
np.ones((2, 3), np.float32)|np.array([np.nan, np.inf])|np.ones((0, 3))|np.ma.ones(3)
np.matrix("1 2")|of("O")|of("U5")|of("S2")|of("M8[s]")|of("m8[D]")|of("V3")|of("c8")|of("g")
of("u4")|of("u8")|of("i4,f4")|of(">f4")|of("?")|of("i1")|np.ones((1,) * 32, np.int8)|np.array(2)
np.array([1, 2])|tp.float32|tp.int4|tp.float8|tp.bool|tp.floating|tp.dtype|tp.device("cpu")
tp.device|tp.ones(())|tp.ones((0, 3))|tp.ones((2, 3), tp.int64)|tp.ones((2, 3), tp.bool)
tp.ones((3,), tp.int4)|tp.ones|tp.Tensor|tp.Tensor([[1.0, 2.0, 3.0]])|tp.DimensionSize(2)
tp.Linear(3, 2)|tp.Linear|tp.Parameter|tp.Sequential(tp.relu)|tp.config|tp.random
tp.InputInfo((2,), tp.float32)|tp.InputInfo|tp.NamedDimension("n", 1, 2, 3)
tp.DimensionInputInfo((1, 2, 3))|tp.Bounds(1, 2, 3)|[tp.ones((2,))]|(tp.ones((2,)), None)
{"weight": tp.ones((2,))}|tp.ones((2**20, 2**20))|tp.TripyTypeError|pathlib.Path("none/such")
pathlib.Path(".")|datetime.date(2020, 1, 1)|decimal.Decimal("1.5")|fractions.Fraction(1, 3)
NamedTwo()|NamedTwo|lying("Repr", "repr", "str")|lying("Bool", "bool")
lying("Len", "len", "getitem")|lying("Iter", "iter")|lying("Index", "index")|lying("Hash", "hash")
lying("Index", "index", result="a")|lying("Index", "index", result=2**70)|lying("Eq", "eq", "ne")
lying("Int", "int", "float", "index")|lying("Array", "array")|lying("Array", "array", result="a")
lying("Array", "array", result=np.array("a"))|lying("DL", "dlpack")
lying("DL", "dlpack", result=1)|lying("DL", "dlpack", "dlpack_device")
lying("DL", "dlpack", "dlpack_device", result=(1, 0))
lying("DL", "dlpack", "dlpack_device", result=None)|lying("Path", "fspath")
lying("Path", "fspath", result=3)|lying("Call", "call")|lying("Call", "call", result=1)
lying("Len", "len", result=-1)|lying("Iter", "iter", result=3)|lying("Attr", "getattribute")
lying("Attr", "getattr")|lying("Attr", "getattr", result=1)|lying("Contains", "contains", "eq")
lying("Float", "float", result="a")|lying("All", "repr", "len", "iter", "index", "eq", "array")
"""
TORCH = "torch.ones(2)|torch.ones(2, 3).half()|torch.ones(2).cfloat()|torch.float32|torch.nn.ReLU()"
NAMESPACE = {**globals(), "datetime": datetime, "decimal": decimal, "fractions": fractions}
POOL = [source for line in OBJECTS.strip().splitlines() for source in line.split("|")]
POOL += TORCH.split("|") if torch is not None else []
WRAPPED = ("{}", "{}", "{}", "{}", "[{}]", "({}, {})", "[1, {}]", "{{'a': {}}}", "[[{}]]")


def drawn(rng: np.random.Generator) -> str:
    """The source of an object, sometimes inside a container."""
    outer = WRAPPED[int(rng.integers(len(WRAPPED)))]
    return outer.format(*[POOL[int(rng.integers(len(POOL)))] for _ in range(outer.count("{}"))])


# What is called ---------------------------------------------------------------------------------

matrix = tp.Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
image = tp.ones((1, 4, 5, 5)).eval()
sequence = tp.ones((2, 3, 4)).eval()
dim = tp.NamedDimension("n", 1, 2, 4)
executable = tp.compile(
    lambda x, size: tp.relu(x) + tp.cast(size, tp.float32),
    args=[tp.InputInfo((dim, 3), tp.float32), tp.DimensionInputInfo((1, 2, 4))],
)
nested = tp.compile(
    lambda batch: batch["a"] + batch["b"][0],
    args=[{"a": tp.InputInfo((2,), tp.float32), "b": [tp.InputInfo((2,), tp.float32)]}],
    engine="reference",
)
eager = tp.Sequential(tp.Linear(3, 2), tp.relu)


def _quantized() -> tp.Linear:
    made = tp.Linear(3, 2, quant_dtype=tp.int8)
    made.weight_scale = made.input_scale = tp.Tensor(0.5)  # type: ignore[assignment]
    return made


MODULES: dict[str, tuple[Any, Any]] = {
    "Linear": (tp.Linear(3, 2), matrix),
    "Linear int8": (_quantized(), matrix),
    "Embedding": (tp.Embedding(4, 2), tp.Tensor([1, 2])),
    "Conv": (tp.Conv(4, 2, (3, 3)), image),
    "ConvTranspose": (tp.ConvTranspose(4, 2, (3, 3)), image),
    "BatchNorm": (tp.BatchNorm(4), image),
    "LayerNorm": (tp.LayerNorm(3), matrix),
    "GroupNorm": (tp.GroupNorm(2, 4), image),
    "InstanceNorm": (tp.InstanceNorm(4), image),
    "RMSNorm": (tp.RMSNorm(3), matrix),
    "MultiHeadAttention": (tp.MultiHeadAttention(4, 2), sequence),
    "MaxPool": (tp.MaxPool((2, 2)), image),
    "AvgPool": (tp.AvgPool((2, 2)), image),
    "Sequential": (tp.Sequential(tp.Linear(3, 2), tp.relu), matrix),
    "Identity": (tp.Identity(), matrix),
}


class Target(NamedTuple):
    """Something to call with arguments by name; ``x`` and ``y`` where it has no names."""

    call: Callable[..., Any]
    good: dict[str, Any]


def _method(owner: Any, name: str, /, **good: Any) -> Target:
    return Target(lambda **given: getattr(owner, name)(**given), good)


def _run(found: Any) -> Any:
    return list(found) if isinstance(found, Iterator) else found


NAMES_OF_OPERATORS = """add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow
    rpow matmul rmatmul lt le gt ge eq ne and or xor getitem contains"""
OPERATORS = {
    name: Target(lambda x, name=name: getattr(matrix, f"__{name}__")(x), {"x": 2.0})
    for name in NAMES_OF_OPERATORS.split()
}
INTEGERS = {
    f"int {name}": Target(
        lambda x, name=name: getattr(tp.Tensor([3, 4]), f"__{name}__")(x), {"x": 2}
    )
    for name in ("add", "floordiv", "mod", "pow", "and", "eq", "lt", "getitem")
}
SIZES = {
    f"size {name}": Target(
        lambda x, name=name: getattr(tp.DimensionSize(3), f"__{name}__")(x), {"x": 2}
    )
    for name in ("add", "radd", "mul", "floordiv", "mod", "sub", "lt", "eq", "pow", "truediv")
}


def _assigned(x: Any, y: Any) -> Any:
    module = tp.Linear(3, 2)
    setattr(module, x if isinstance(x, str) else "weight", y)
    return None if y is None else module(matrix)


def _set(x: Any, y: Any) -> None:
    with tp.config.override(num_threads=1):
        before = copy.copy(tp.config.__dict__["_values"])
        try:
            setattr(tp.config, x if isinstance(x, str) else "cache_size", y)
        finally:
            tp.config.__dict__["_values"].update(before)


def _overridden(x: Any, y: Any) -> None:
    with tp.config.override(**{x if isinstance(x, str) else "shapes_kept": y}):
        repr(tp.ones((2,)))


def _compiled(x: Any, y: Any) -> Any:
    return tp.compile(lambda a, b: tp.relu(a), args=[x, y], engine="reference")


def _returned(x: Any) -> Any:
    return tp.compile(lambda a: (a, x), args=[tp.InputInfo((2,), tp.float32)], engine="reference")(
        np.ones(2, np.float32)
    )


METHODS: dict[str, Target] = {
    **{f"tensor.{n}": _method(matrix, n, **good) for n, good in {
        "cast": {"dtype": tp.int32}, "copy": {"device": "cpu"}, "permute": {"perm": (1, 0)},
        "flatten": {"start_dim": 0, "end_dim": 1}, "reshape": {"shape": (3, 2)},
        "squeeze": {"dims": None}, "transpose": {"dim0": 0, "dim1": 1}, "unsqueeze": {"dim": 0},
        "__array__": {"dtype": None, "copy": None}, "__deepcopy__": {"memo": {}},
    }.items()},
    "tensor[x, y]": Target(lambda x, y: matrix[x, y], {"x": 0, "y": slice(None)}),
    "tensor[x:y]": Target(lambda x, y: matrix[x:y], {"x": 0, "y": 1}),
    "tensor[x] = y": Target(lambda x, y: matrix.__setitem__(x, y), {"x": 0, "y": 1}),
    "tensor.name": Target(lambda x: setattr(tp.ones((2,)), "name", x), {"x": "name"}),
    "setattr(tensor)": Target(
        lambda x, y: setattr(tp.ones((2,)), x if isinstance(x, str) else "name", y),
        {"x": "name", "y": "a"}),
    "executable": Target(executable, {"x": matrix, "size": 2}),
    "executable by position": Target(lambda x, y: executable(x, y), {"x": matrix, "y": 2}),
    "nested": Target(nested, {"batch": {"a": tp.ones((2,)), "b": [tp.ones((2,))]}}),
    "nested members": Target(
        lambda x, y: nested({"a": x, "b": y}), {"x": tp.ones((2,)), "y": [tp.ones((2,))]}),
    "map": Target(
        lambda x, **o: _run(executable.map(x, **o)),
        {"x": [(matrix, 2)], "in_flight": 2, "progress": False}),
    "map items": Target(lambda x, y: _run(executable.map([(x, y)])), {"x": matrix, "y": 2}),
    "verify": Target(
        lambda x, y, **o: executable.verify(x, y, **o),
        {"x": matrix, "y": 2, "rtol": None, "atol": None}),
    "profile": Target(
        lambda x, y, **o: executable.profile(x, y, **o), {"x": matrix, "y": 2, "repeat": 1}),
    "save": _method(executable, "save", path="any.tripy", engine_blob=False),
    "load": _method(tp.Executable, "load", path="good.tripy"),
    "stream": Target(lambda x: setattr(nested, "stream", x), {"x": tp.default_stream()}),
    "call of a module": Target(lambda x: eager(x), {"x": matrix}),
    "setattr(module)": Target(_assigned, {"x": "bias", "y": tp.ones((2,))}),
    "load_state_dict": Target(
        lambda **o: tp.Linear(3, 2).load_state_dict(**o),
        {"state_dict": tp.Linear(3, 2).state_dict(), "strict": True}),
    "state dict members": Target(
        lambda x, y: tp.Linear(3, 2).load_state_dict({"weight": x, "bias": y}),
        {"x": tp.ones((2, 3)), "y": tp.ones((2,))}),
    "sequential[x]": Target(lambda x: eager[x], {"x": 0}),
    "Sequential(x, y)": Target(lambda x, y: tp.Sequential(x, y), {"x": tp.relu, "y": abs}),
    "config": Target(_set, {"x": "print_precision", "y": 3}),
    "config.override": Target(_overridden, {"x": "print_precision", "y": 3}),
    "config.print_precision": Target(lambda x: _set("print_precision", x), {"x": 3}),
    "config.memory_limit": Target(lambda x: _set("memory_limit", x), {"x": "8GiB"}),
    "config.default_device": Target(lambda x: _set("default_device", x), {"x": "cpu"}),
    "config.cache_dir": Target(lambda x: _set("cache_dir", x), {"x": "cache"}),
    "compile args": Target(_compiled, {"x": tp.InputInfo((2,), tp.float32), "y": 1}),
    "compile result": Target(_returned, {"x": 1}),
    "InputInfo dims": Target(lambda x, y: tp.InputInfo((x, y), tp.float32), {"x": 2, "y": 3}),
    "onnx.load": Target(lambda x: tp.onnx.load(x), {"x": "good.onnx"}),
    "onnx.export": Target(
        lambda x, **o: tp.onnx.export(x, **o),
        {"x": tp.relu, "path": "any.onnx", "args": [tp.InputInfo((2,), tp.float32)]}),
    "Mesh": Target(tp.distributed.Mesh, {"shape": (1,), "axes": ("a",)}),
}  # fmt: skip


def _module_targets() -> dict[str, Target]:
    calls = {}
    for name, (module, x) in MODULES.items():
        first = "query" if name == "MultiHeadAttention" else "x"
        calls[f"{name}.forward"] = Target(lambda x, module=module: module(x), {"x": x})
        if first == "query":
            options = {"key": x, "value": x, "attn_mask": None, "is_causal": False}
            calls[name] = Target(lambda module=module, x=x, **o: module(x, **o), options)
    return calls


def _function(name: str) -> Target:
    return Target(lambda **given: called(name, given), good_arguments(name))


TARGETS = {
    **{name: _function(name) for name in NAMES},
    **METHODS,
    **OPERATORS,
    **INTEGERS,
    **SIZES,
    **_module_targets(),
}
WITHOUT_SLOTS = ("setattr(tensor)", "setattr(module)")  # hidden names get a short message
OWN_CODE = ("compile", "Sequential", "Sequential(x, y)", "register_plugin", "map")  # they call it


def outcome(name: str, /, **given: Any) -> str:
    """Call a target with some arguments replaced, and use the result; say what is wrong."""
    target = TARGETS[name]
    try:
        result = target.call(**{**target.good, **given})
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, tp.Tensor):
                tensor.eval()
                repr(tensor)
    except tp.TripyException as problem:
        lacks = [slot for slot in SLOTS if f"\n  {slot}: " not in str(problem)]
        return f"lacks {lacks}" if lacks and name not in WITHOUT_SLOTS else ""
    except Exception as problem:
        if isinstance(problem, Trap) and (problem.args == ("Attr",) or name in OWN_CODE):
            return ""  # nothing can be done with an object whose every attribute raises
        return f"{type(problem).__name__}: {problem}"
    return ""


def state() -> Any:
    """What a call must leave as it is."""
    tensors = [v for v in (*GOOD.values(), *BAD, matrix, image) if isinstance(v, tp.Tensor)]
    arrays = [t.numpy().tobytes() for t in tensors]
    parameters = [p.numpy().tobytes() for m, _ in MODULES.values() for p in m.state_dict().values()]
    return repr(tp.config), np.geterr(), arrays, parameters, pathlib.Path.cwd()


class TooLong(BaseException):
    """A call did not end in time."""


def _stop(*_: Any) -> None:
    raise TooLong


def tried(seed: int) -> str:
    """Make one random call; return what is wrong with it as a line to run, or nothing."""
    rng = np.random.default_rng(seed)
    name = list(TARGETS)[int(rng.integers(len(TARGETS)))]
    parameters = list(TARGETS[name].good)
    if not parameters:
        return ""
    count = min(len(parameters), 1 + int(rng.random() < 0.3))
    chosen = [str(p) for p in rng.choice(parameters, count, replace=False)]
    sources = {parameter: drawn(rng) for parameter in chosen}
    given = ", ".join(f"{k!r}: {v}" for k, v in sources.items())
    line = f"outcome({name!r}, **{{{given}}})  # seed {seed}"
    values = {k: eval(v, NAMESPACE) for k, v in sources.items()}
    signal.setitimer(signal.ITIMER_REAL, PER_CALL)
    try:
        wrong = outcome(name, **values)
    except TooLong:
        wrong = f"no end after {PER_CALL} s"
    except BaseException as problem:
        wrong = f"{type(problem).__name__}: {problem}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return f"{line}\n    {wrong}" if wrong else ""


@pytest.fixture(autouse=True)
def _folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    tp.save_safetensors({"a": matrix}, "good.safetensors")
    nested.save("good.tripy", engine_blob=False)
    previous = signal.signal(signal.SIGALRM, _stop)
    with tp.config.override(memory_limit="16MiB"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's of odd operands
        yield
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("part", range(4))
def test_any_argument_gives_a_result_or_a_tripy_exception(part: int) -> None:
    before = state()
    each = ROUNDS // 4
    found = [wrong for seed in range(part * each, (part + 1) * each) if (wrong := tried(seed))]
    assert not found, f"{len(found)} of {each}:\n" + "\n".join(found[:20])
    assert state() == before
