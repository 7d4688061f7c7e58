"""Checkpoints of torch: what torch wrote is read, and nothing that a file names is ever run."""

from __future__ import annotations

import collections
import io
import os
import pickle
import resource
import struct
import sys
import zipfile
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.interop.torch_file import load_torch

needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="torch is not installed")
Rng = np.random.Generator

# Opcodes and parts of pickles.
STOP, MARK, REDUCE, BUILD, PERSID, TUPLE = b".", b"(", b"R", b"b", b"Q", b"t"
PROTO, EMPTY_DICT, EMPTY_TUPLE, SETITEM = b"\x80\x02", b"}", b")", b"s"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    size = (value.bit_length() + 8) // 8
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def known(name: str) -> bytes:
    module, _, own = name.rpartition(".")
    return b"c" + module.encode() + b"\n" + own.encode() + b"\n"


def items(*members: bytes) -> bytes:
    return MARK + b"".join(members) + TUPLE


def storage(kind: str = "torch.FloatStorage", key: bytes = text("0"), size: int = 4) -> bytes:
    return items(text("storage"), known(kind), key, text("cpu"), number(size)) + PERSID


def tensor(
    shape: Any = (2, 2), strides: Any = (2, 1), offset: int = 0, of: bytes | None = None
) -> bytes:
    sizes, steps = items(*map(number, shape)), items(*map(number, strides))
    hooks = known("collections.OrderedDict") + EMPTY_TUPLE + REDUCE
    arguments = (storage() if of is None else of, number(offset), sizes, steps, b"\x89", hooks)
    return known("torch._utils._rebuild_tensor_v2") + items(*arguments) + REDUCE


def state(*pairs: tuple[str, bytes]) -> bytes:
    return EMPTY_DICT + b"".join(text(name) + value + SETITEM for name, value in pairs)


def archive(
    pickled: bytes,
    members: dict[str, bytes] | None = None,
    method: int = zipfile.ZIP_STORED,
    root: str = "archive/",
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        made.writestr(root + "data.pkl", PROTO + pickled + STOP)
        made.writestr(root + "byteorder", b"little")
        data = {"data/0": np.arange(4, dtype=np.float32).tobytes()} if members is None else members
        for name, content in data.items():
            made.writestr(root + name, content)
    return file.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], dict[str, tp.Tensor]]:
    def write_and_read(data: bytes) -> dict[str, tp.Tensor]:
        path = tmp_path / "file.pt"
        path.write_bytes(data)
        return load_torch(path)

    return write_and_read


Read = Callable[[bytes], dict[str, tp.Tensor]]


# Files of torch -------------------------------------------------------------------------------


@needs_torch
def test_every_dtype_comes_back(tmp_path: Path) -> None:
    import torch

    kinds = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn")
    kinds += ("int8", "uint8", "int16", "int32", "int64", "bool")
    theirs = {kind: torch.arange(6).reshape(2, 3).to(getattr(torch, kind)) for kind in kinds}
    torch.save(theirs, tmp_path / "x.pt")
    ours = load_torch(tmp_path / "x.pt")
    assert list(ours) == list(theirs)
    for kind, made in ours.items():
        assert str(made.dtype) == kind.removesuffix("_e4m3fn")
        assert tp.cast(made, tp.float64).tolist() == theirs[kind].double().tolist()


@needs_torch
def test_views_keep_their_layout_without_a_copy(tmp_path: Path) -> None:
    import torch

    base = torch.arange(24.0).reshape(4, 6)
    theirs = {
        "whole": base,
        "transposed": base.T,
        "part": base[1:3, ::2],
        "repeated": torch.tensor([2.0]).expand(3),
        "one": torch.tensor(3.0),
        "nothing": torch.ones(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "column": base[:, 5],
    }
    torch.save(theirs, tmp_path / "x.pt")
    ours = load_torch(tmp_path / "x.pt")
    assert list(ours) == list(theirs)
    for name, made in ours.items():
        array = made.numpy()
        assert array.size == 0 or not array.flags.owndata
        assert not array.flags.writeable
        assert made.tolist() == theirs[name].tolist()
        assert (made + 1.0).tolist() == (theirs[name] + 1).tolist()
    first, second = ours["whole"].numpy(), ours["transposed"].numpy()
    assert first.ctypes.data == second.ctypes.data


@needs_torch
@pytest.mark.parametrize("engine", ["reference", "openvino"])
def test_strided_weights_work_on_every_engine(engine: str, tmp_path: Path, rng: Rng) -> None:
    import torch

    weight = torch.from_numpy(rng.standard_normal((3, 2)).astype(np.float32)).T
    torch.save({"weight": weight}, tmp_path / "x.pth")
    layer = tp.Linear(3, 2, bias=False)
    assert layer.load_state_dict(str(tmp_path / "x.pth")) == (set(), set())
    x = rng.standard_normal((4, 3)).astype(np.float32)
    exe = tp.compile(layer, args=[tp.InputInfo((4, 3), tp.float32)], engine=engine)
    expected = x.astype(float) @ weight.numpy().T.astype(float)
    assert np.allclose(exe(x).numpy(), expected, atol=1e-5)
    assert np.allclose(layer(tp.Tensor(x)).numpy(), expected, atol=1e-5)


@needs_torch
def test_whole_modules_are_loaded_from_files(tmp_path: Path, rng: Rng) -> None:
    import torch

    theirs = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    ours = tp.Sequential(tp.Conv(2, 4, (3, 3)), tp.BatchNorm(4))
    path = tmp_path / "pytorch_model.bin"
    torch.save(theirs.state_dict(), path)
    with pytest.raises(tp.TripyStateDictError) as caught:
        ours.load_state_dict(path)
    assert caught.value.unexpected == ["1.num_batches_tracked"]
    assert ours.load_state_dict(path, strict=False) == (set(), {"1.num_batches_tracked"})
    x = rng.standard_normal((1, 2, 5, 5)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.double()(torch.from_numpy(x).double()).numpy()
    assert np.allclose(ours(tp.Tensor(x)).numpy(), expected, atol=1e-5)


@needs_torch
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_state_dict_inside_a_checkpoint_is_found(key: str, tmp_path: Path) -> None:
    import torch

    module = torch.nn.Linear(3, 2)
    adam = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    adam.step()
    whole = {key: module.state_dict(), "optimizer": adam.state_dict(), "epoch": 3, "lr": 0.1}
    torch.save(whole, tmp_path / "x.pt")
    assert load_torch(tmp_path / "x.pt")["weight"].tolist() == module.weight.tolist()


@needs_torch
def test_numbers_and_texts_are_left_out(tmp_path: Path) -> None:
    import torch

    whole = {"x": torch.ones(2), "epoch": 3, "name": "net", "lr": 1e-3, "big": 2**80, "no": None}
    torch.save(whole | {"ok": True, "nan": float("nan")}, tmp_path / "x.pt")
    assert list(load_torch(tmp_path / "x.pt")) == ["x"]


@needs_torch
def test_pickles_of_newer_protocols_are_read(tmp_path: Path) -> None:
    import torch

    theirs = collections.OrderedDict(a=torch.arange(3), b=torch.ones(2, 2))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        torch.save(theirs, tmp_path / "x.pt", pickle_protocol=protocol)
        ours = load_torch(tmp_path / "x.pt")
        assert {name: made.tolist() for name, made in ours.items()} == {
            "a": [0, 1, 2],
            "b": [[1, 1], [1, 1]],
        }


@needs_torch
def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "x.pt"
    two = torch.ones(2)
    refused: list[tuple[Any, str]] = [
        (torch.nn.Linear(2, 3), "refers to 'torch.nn.modules.linear.Linear'"),
        ([two], "holds a list"),
        (two, "holds a tensor and no state dict"),
        ({"a": two, "b": [1]}, "the value of 'b' is no tensor"),
        ({"a": two, "b": {"c": two}}, "the value of 'b' is no tensor"),
        ({"net": {"c": two}}, "the value of 'net' is no tensor"),
        ({"model": {"a": two}, "state_dict": {"a": two}}, "several state dicts: state_dict, model"),
        ({1: two}, "the value of '1' is no tensor"),
        ({"a": two.to_sparse()}, "refers to 'torch._utils._rebuild_sparse_tensor'"),
        ({"a": np.float64(1)}, "refers to"),
        ({"a": two.expand(1 << 40, 2)}, "repeats the elements"),
    ]
    for content, words in refused:
        torch.save(content, path)
        with pytest.raises(tp.TripyFileError) as caught:
            load_torch(path)
        assert words in str(caught.value).splitlines()[0]
        assert "save only torch.save(module.state_dict(), path)" in str(caught.value)
    torch.save({"a": two}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(tp.TripyFileError, match=r"format from before 1\.6"):
        load_torch(path)
    for kind in (torch.complex64, torch.uint16):
        torch.save({"good": two, "odd": two.to(kind)}, path)
        with pytest.raises(tp.TripyTypeError, match=f"(?s)'odd'.*{kind}"):
            load_torch(path)


# Handmade files -------------------------------------------------------------------------------


def test_a_handmade_file_is_read(read: Read) -> None:
    loaded = read(archive(state(("a", tensor()), ("b", tensor((2,), (2,), 1)))))
    assert {name: made.tolist() for name, made in loaded.items()} == {
        "a": [[0, 1], [2, 3]],
        "b": [1, 3],
    }
    assert list(read(archive(state(("a", tensor())), root=""))) == ["a"]
    steps = (2**24, 2**18, 2**12, 2**6, 1)
    loaded = read(archive(state(("a", tensor((1, 1, 1, 1, 4), steps)))))
    assert loaded["a"].tolist() == [[[[[0, 1, 2, 3]]]]]


class Executed:
    """What pickle would call when it loads the file."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def evil(path: Path) -> dict[str, bytes]:
    """Pickles that run something when they are unpickled."""
    touch = f"touch {path}"
    protocols = {
        f"{function.__module__}.{function.__name__} {protocol}": pickle.dumps(
            {"a": Executed(function, argument)}, protocol
        )[:-1]
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        for function, argument in (
            (os.system, touch),
            (eval, f"open({str(path)!r}, 'w')"),
            (exec, f"open({str(path)!r}, 'w')"),
            (getattr, "a"),
            (open, str(path)),
        )
    }
    call = known("os.system") + items(text(touch)) + REDUCE
    return protocols | {
        "in a tensor": state(("a", tensor(of=call))),
        "as a key": EMPTY_DICT + call + tensor() + SETITEM,
        "beside a tensor": state(("a", tensor()), ("epoch", call)),
        "INST": MARK + text(touch) + b"ios\nsystem\n",
        "OBJ": MARK + known("os.system") + text(touch) + b"o",
        "NEWOBJ": known("os.system") + items(text(touch)) + b"\x81",
        "EXT1": b"\x82\x01",
        "PERSID": b"Pos.system\n",
        "call of a storage type": known("torch.FloatStorage") + EMPTY_TUPLE + REDUCE,
        "call of a dtype": known("torch.float32") + EMPTY_TUPLE + REDUCE,
        "call of a text": text("os.system") + items(text(touch)) + REDUCE,
        "path of names": known("torch._utils.os.system") + items(text(touch)) + REDUCE,
        "dotted name": b"ctorch._utils\nos.system\n" + items(text(touch)) + REDUCE,
        "stack global": text("os") + text("system") + b"\x93" + items(text(touch)) + REDUCE,
        "stack global of no text": number(1) + EMPTY_DICT + b"\x93",
        "OrderedDict of calls": known("collections.OrderedDict") + items(call) + REDUCE,
    }


def test_nothing_is_executed(read: Read, tmp_path: Path) -> None:
    trap = tmp_path / "executed"
    for name, pickled in evil(trap).items():
        with pytest.raises(tp.TripyFileError):
            read(archive(pickled))
        assert not trap.exists(), name


def test_the_state_of_objects_is_dropped(read: Read) -> None:
    attributes = state(("__class__", text("x")), ("items", text("y")))
    ordered = known("collections.OrderedDict") + EMPTY_TUPLE + REDUCE
    function = known("torch._utils._rebuild_tensor_v2") + attributes + BUILD
    loaded = read(archive(ordered + text("a") + tensor() + SETITEM + attributes + BUILD))
    assert list(loaded) == ["a"]
    with pytest.raises(tp.TripyFileError, match="no state dict"):
        read(archive(function))
    assert list(read(archive(state(("a", tensor()))))) == ["a"]


DAMAGED: dict[str, bytes] = {
    "nothing": b"",
    "empty stack": REDUCE,
    "no mark": TUPLE,
    "no persistent id": PERSID,
    "short persistent id": items(text("storage")) + PERSID,
    "wrong tag": items(text("module"), *[text("x")] * 4) + PERSID,
    "no text for a key": state(("a", tensor(of=storage(key=number(0))))),
    "memo that is empty": b"h\x05",
    "two results": EMPTY_DICT + EMPTY_DICT,
    "dict with half a pair": EMPTY_DICT + MARK + text("a") + b"u",
    "items of no dict": number(1) + text("a") + text("b") + SETITEM,
    "members of no list": number(1) + text("a") + b"a",
    "text beyond the end": b"X\xff\xff\xff\x7fabc",
    "bytes beyond the end": b"\x8e" + b"\xff" * 8,
    "bytearray": b"\x96" + struct.pack("<Q", 1 << 40),
    "frame beyond the end": b"\x95" + b"\xff" * 8 + MARK,
    "unknown opcode": b"\xff",
    "huge number": b"\x8b\xff\xff\xff\x7f",
    "key that cannot be hashed": EMPTY_DICT + EMPTY_DICT + text("a") + SETITEM,
    "key that is a tuple": EMPTY_DICT + EMPTY_TUPLE + text("a") + SETITEM,
    "storage as state": storage(),
    "parameter of a text": known("torch._utils._rebuild_parameter") + items(text("a")) + REDUCE,
    "parameter of nothing": known("torch._utils._rebuild_parameter") + EMPTY_TUPLE + REDUCE,
    "tensor of nothing": known("torch._utils._rebuild_tensor_v2") + EMPTY_TUPLE + REDUCE,
    "tensor of a tensor": state(("a", tensor(of=tensor()))),
    "function as value": state(("a", known("torch._utils._rebuild_tensor_v2"))),
    "missing storage": state(("a", tensor(of=storage(key=text("7"))))),
    "storage elsewhere": state(("a", tensor(of=storage(key=text("../../../../etc/passwd"))))),
    "absolute storage": state(("a", tensor(of=storage(key=text("/etc/passwd"))))),
    "storage too small": state(("a", tensor(of=storage(size=5)))),
    "storage too large": state(("a", tensor(of=storage(size=3)))),
    "negative storage": state(("a", tensor(of=storage(size=-4)))),
    "untyped storage": state(("a", tensor(of=storage("torch.UntypedStorage", size=16)))),
    "offset": state(("a", tensor((2, 2), (2, 1), 1))),
    "negative offset": state(("a", tensor((2, 2), (2, 1), -1))),
    "huge offset": state(("a", tensor((2, 2), (2, 1), 2**62))),
    "stride": state(("a", tensor((2, 2), (3, 1)))),
    "negative stride": state(("a", tensor((2, 2), (-2, 1), 2))),
    "huge stride": state(("a", tensor((2, 2), (2**60, 1)))),
    "rank of the strides": state(("a", tensor((2, 2), (2,)))),
    "negative size": state(("a", tensor((-2, -2)))),
    "huge sizes": state(("a", tensor((2**31, 2**31), (0, 0)))),
    "overflowing sizes": state(("a", tensor((2**62, 2**62), (0, 0)))),
    "terabytes of one element": state(("a", tensor((2**38,), (0,)))),
    "rank": state(("a", tensor([1] * 65, [1] * 65))),
    "stride that is never taken": state(("a", tensor((1,), (2**63,)))),
    "stride of nothing": state(("a", tensor((0,), (2**62,)))),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickles_are_one_error(name: str, read: Read) -> None:
    with pytest.raises(tp.TripyFileError, match="the file cannot be read: ") as caught:
        read(archive(DAMAGED[name]))
    assert "file.pt" in str(caught.value)
    assert len(str(caught.value).splitlines()[0]) < 160


def test_tensors_of_bytes_have_a_dtype(read: Read) -> None:
    def third(kind: str) -> bytes:
        of = storage("torch.storage.UntypedStorage", size=16)
        arguments = (of, number(0), items(number(4)), items(number(1)), b"\x89", b"N", known(kind))
        return known("torch._utils._rebuild_tensor_v3") + items(*arguments) + REDUCE

    assert read(archive(state(("a", third("torch.float32")))))["a"].tolist() == [0, 1, 2, 3]
    for kind in ("torch.FloatStorage", "collections.OrderedDict", "torch.float64"):
        with pytest.raises(tp.TripyFileError):
            read(archive(state(("a", third(kind)))))


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def test_archives_that_torch_did_not_write_are_refused(read: Read) -> None:
    good = state(("a", tensor()))
    data = archive(good)
    refused: dict[str, bytes] = {
        "compressed": archive(good, method=zipfile.ZIP_DEFLATED),
        "bomb": archive(
            state(("a", tensor((1 << 20,), (1,), 0, storage(size=1 << 20)))),
            {"data/0": bytes(4 << 20)},
            zipfile.ZIP_DEFLATED,
        ),
        "big-endian": changed(data, b"little", b"bigbig"),
        "TorchScript": archive(good, {"constants.pkl": b""}),
        "no pickle": changed(data, b"archive/data.pkl", b"archive/date.pkl"),
        "two pickles": archive(good, {"data/data.pkl": b""}),
        "no directory": data[: data.index(b"PK\x01\x02")],
        "local header": changed(data, b"PK\x03\x04", b"PK\x03\x04"[:2] + b"\x00\x00"),
        "empty zip": b"PK\x05\x06" + bytes(18),
        "legacy": PROTO + good + STOP,
        "text": b"no checkpoint",
    }
    for content in refused.values():
        with pytest.raises(tp.TripyFileError):
            read(content)


def test_every_truncation_is_found(read: Read) -> None:
    data = archive(state(("a", tensor()), ("b", tensor((4,), (1,)))))
    for size in range(0, len(data), 3):
        with pytest.raises(tp.TripyFileError):
            read(data[:size])


def test_changed_bytes_never_do_harm(read: Read, rng: Rng) -> None:
    data = archive(state(("a", tensor()), ("b", tensor((2,), (2,), 1)), ("c", text("x"))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded = 0
    for _ in range(1000):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(data))] = rng.integers(256)
        try:
            made = read(bytes(damaged))
        except (tp.TripyFileError, tp.TripyTypeError):
            continue
        loaded += 1
        for found in made.values():
            assert found.numpy().size <= 1 << 24
    assert 10 < loaded < 990
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 200e6


def test_large_and_deep_pickles_take_little(read: Read) -> None:
    doubled = items(text("x")) + b"q\x00" + (b"h\x00h\x00\x86q\x00" * 2000)
    deep = b"(" * 200_000 + b"t" * 200_000
    memo = text("x") + b"r\xff\xff\xff\xff" + EMPTY_TUPLE + b"0"
    colliding = MARK + b"".join(number(i * (2**61 - 1)) + b"N" for i in range(20_000)) + b"u"
    itself = b"]q\x00h\x00a"
    named = doubled + b"h\x00\x93"
    for pickled in (
        doubled,
        deep,
        memo,
        EMPTY_DICT + colliding,
        itself,
        EMPTY_DICT + doubled,
        named,
    ):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(tp.TripyFileError):
            read(archive(pickled))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_pickles_have_a_limit(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    data = archive(state(("a", tensor())))
    read(data)
    monkeypatch.setattr("tripy.interop.torch_file._LARGEST_PICKLE", 100)
    with pytest.raises(tp.TripyFileError, match="larger than that of any state dict"):
        read(data)


def test_modules_stay_as_they_are_when_a_file_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    layer = tp.Linear(2, 2, bias=False)
    before = layer.weight
    wrong: dict[str, tuple[bytes, type[Exception]]] = {
        "name": (archive(state(("weights", tensor()))), tp.TripyStateDictError),
        "shape": (archive(state(("weight", tensor((4,), (1,))))), tp.TripyStateDictError),
        "storage": (archive(state(("weight", tensor(offset=1)))), tp.TripyFileError),
        "cut": (archive(state(("weight", tensor())))[:-30], tp.TripyFileError),
    }
    for name, (data, kind) in wrong.items():
        path.write_bytes(data)
        with pytest.raises(kind) as caught:
            layer.load_state_dict(path)
        assert layer.weight is before, name
        assert isinstance(caught.value, tp.TripyException)
    path.write_bytes(archive(state(("weight", tensor()))))
    assert layer.load_state_dict(path) == (set(), set())
    assert layer.weight.tolist() == [[0, 1], [2, 3]]


def test_suffixes_decide_what_a_file_is(tmp_path: Path) -> None:
    layer = tp.Linear(2, 2, bias=False)
    for name in ("x.pt", "x.PTH", "x.bin", "x.safetensors"):
        with pytest.raises(tp.TripyFileNotFoundError):
            layer.load_state_dict(tmp_path / name)
    for name in ("x", "x.npz", "pt", ""):
        with pytest.raises(tp.TripyValueError, match=r"\.safetensors"):
            layer.load_state_dict(name)
