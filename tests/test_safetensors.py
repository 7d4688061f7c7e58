"""safetensors files: what is written is read again, also by others, and damage is found."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tripy as tp

KINDS = {
    tp.float32: "F32", tp.float16: "F16", tp.bfloat16: "BF16", tp.float64: "F64",
    tp.float8: "F8_E4M3", tp.int4: "U8", tp.int8: "I8", tp.uint8: "U8", tp.int16: "I16",
    tp.int32: "I32", tp.int64: "I64", tp.bool: "BOOL",
}  # fmt: skip
SHAPES = ((), (3,), (2, 3), (0, 2), (1, 1, 5))
Rng = np.random.Generator


def needs(*packages: str) -> pytest.MarkDecorator:
    missing = [name for name in packages if util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{missing} not installed")


def any_tensors(rng: Rng, kinds: Any = KINDS) -> dict[str, tp.Tensor]:
    return {
        f"{kind}.{number}": tp.cast(tp.Tensor(rng.integers(-8, 8, shape)), kind)
        for kind in kinds
        for number, shape in enumerate(SHAPES)
    }


def header_of(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + size])
    return header


def stored(header: Any, body: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if size is None else size).to_bytes(8, "little") + text + body


def entry(kind: Any = "F32", shape: Any = (1,), start: Any = 0, end: Any = 4) -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


# Round trips --------------------------------------------------------------------------------


def test_every_dtype_and_shape_comes_back(tmp_path: Path, rng: Rng) -> None:
    tensors = any_tensors(rng)
    path = tmp_path / "all.safetensors"
    tp.save_safetensors(tensors, path, {"format": "pt"})
    loaded = tp.load_safetensors(str(path))
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype is tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert loaded[name].tolist() == tensor.tolist()
    header = header_of(path)
    assert header["__metadata__"]["format"] == "pt"
    for kind, name in KINDS.items():
        assert header[f"{kind}.1"]["dtype"] == name
        assert header[f"{kind}.1"]["shape"] == ([2] if kind is tp.int4 else [3])


def test_floats_keep_every_bit(tmp_path: Path) -> None:
    values = [np.nan, np.inf, -np.inf, -0.0, 1e-45, 3.4e38]
    for kind in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        with np.errstate(over="ignore"):
            array = np.array(values).astype(kind)
        tp.save_safetensors({"x": array}, tmp_path / "x.safetensors")
        loaded = tp.load_safetensors(tmp_path / "x.safetensors")["x"].numpy()
        assert loaded.tobytes() == array.tobytes()


def test_int4_is_packed_with_the_first_value_in_the_low_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tp.save_safetensors({"x": tp.Tensor([[-8, 7, 0], [1, -1, 3], [2, -2, 5]], tp.int4)}, path)
    assert header_of(path)["__metadata__"] == {"tripy.int4.x": "[3, 3]"}
    assert path.read_bytes()[-5:] == bytes([0x78, 0x10, 0x3F, 0xE2, 0x05])


def test_values_that_become_tensors_are_taken(tmp_path: Path, rng: Rng) -> None:
    path, array = tmp_path / "x.safetensors", rng.standard_normal((4, 3))
    lazy = tp.ones((2,)) + 1.0
    tp.save_safetensors({"a": array.T, "b": [1, 2], "c": 2.5, "d": lazy, "é": True}, path)
    loaded = tp.load_safetensors(path)
    assert np.array_equal(loaded["a"].numpy(), array.T)
    assert loaded["b"].tolist() == [1, 2]
    assert (loaded["c"].item(), loaded["d"].tolist(), loaded["é"].item()) == (2.5, [2, 2], True)


def test_nothing_is_a_file_too(tmp_path: Path) -> None:
    tp.save_safetensors({}, tmp_path / "x.safetensors")
    assert tp.load_safetensors(tmp_path / "x.safetensors") == {}


def test_a_module_comes_back_from_its_file(tmp_path: Path, rng: Rng) -> None:
    first, second = tp.Linear(3, 2), tp.Linear(3, 2)
    first.weight = rng.standard_normal((2, 3)).astype(np.float32)
    path = tmp_path / "layer.safetensors"
    tp.save_safetensors(first.state_dict(), path)
    assert second.load_state_dict(path) == (set(), set())
    x = rng.standard_normal((4, 3)).astype(np.float32)
    exe = tp.compile(second, args=[tp.InputInfo((4, 3), tp.float32)])
    assert np.allclose(exe(x).numpy(), first(tp.Tensor(x)).numpy())


def test_files_may_be_loaded_while_compiling(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tp.save_safetensors({"x": [1.0, 2.0], "n": tp.Tensor([3, -4], tp.int4)}, path)

    def scaled(x: tp.Tensor) -> tp.Tensor:
        loaded = tp.load_safetensors(path)
        return x * loaded["x"] + tp.cast(loaded["n"], tp.float32)

    exe = tp.compile(scaled, args=[tp.InputInfo((2,), tp.float32)], engine="openvino")
    assert exe(np.array([10, 10], np.float32)).tolist() == [13, 16]


# Memory ---------------------------------------------------------------------------------------


def test_elements_stay_in_the_file_until_they_are_used(tmp_path: Path) -> None:
    path, size = tmp_path / "big.safetensors", 1 << 30
    with path.open("wb") as file:  # a sparse file
        header = json.dumps({"x": entry("F32", [size // 4], 0, size)}).encode()
        file.write(stored(header + b" " * (-len(header) % 8)))
        file.truncate(file.tell() + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tensor = tp.load_safetensors(path)["x"]
    part = tp.Tensor(tensor.numpy()[-2:])
    assert part.tolist() == [0.0, 0.0]
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < size // 8


def test_tensors_are_read_only_views_that_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tp.save_safetensors({"x": np.arange(6.0)}, path)
    tensor = tp.load_safetensors(path)["x"]
    array = tensor.numpy()
    assert not array.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    tp.save_safetensors({"x": tensor + 1.0}, path)  # takes the place of the mapped file
    path.unlink()
    assert tensor.tolist() == [0, 1, 2, 3, 4, 5]


def test_mixed_sizes_stay_aligned(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tp.save_safetensors({"a": np.array([1], np.int8), "b": np.arange(3.0)}, path)
    loaded = tp.load_safetensors(path)
    assert list(loaded) == ["a", "b"]
    assert not loaded["b"].numpy().flags.owndata


def test_elements_that_are_not_aligned_are_copied(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    header = stored({"a": entry("I8", [1], 0, 1), "b": entry("F64", [1], 1, 9)})
    path.write_bytes(header + b"\x05" + np.float64(2.5).tobytes())
    loaded = tp.load_safetensors(path)
    assert loaded["b"].numpy().flags.aligned
    assert (loaded["a"].item(), loaded["b"].item()) == (5, 2.5)


def test_bytes_that_are_no_bools_mean_true(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(stored({"x": entry("BOOL", [3], 0, 3)}, b"\x00\x02\xff"))
    assert tp.load_safetensors(path)["x"].numpy().tobytes() == b"\x00\x01\x01"


# Others ---------------------------------------------------------------------------------------


@needs("safetensors", "torch")
def test_others_read_our_files(tmp_path: Path, rng: Rng) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    tensors = any_tensors(rng, [kind for kind in KINDS if kind is not tp.int4])
    path = tmp_path / "x.safetensors"
    tp.save_safetensors(tensors, path, {"author": "me"})
    loaded = load_file(path)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert tuple(loaded[name].shape) == tensor.shape
        assert loaded[name].double().tolist() == tp.cast(tensor, tp.float64).tolist()
    with safe_open(path, "np") as file:
        assert file.metadata() == {"author": "me"}


@needs("safetensors", "torch")
def test_we_read_the_files_of_others(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    kinds = ("float32", "float64", "float16", "bfloat16", "float8_e4m3fn")
    kinds += ("int8", "uint8", "int16", "int32", "int64", "bool")
    theirs = {kind: torch.arange(6).reshape(2, 3).to(getattr(torch, kind)) for kind in kinds}
    path = tmp_path / "x.safetensors"
    save_file(theirs, path)
    ours = tp.load_safetensors(path)
    assert ours.keys() == theirs.keys()
    for kind, tensor in ours.items():
        assert str(tensor.dtype) == kind.removesuffix("_e4m3fn")
        assert tp.cast(tensor, tp.float64).tolist() == theirs[kind].double().tolist()


@needs("safetensors")
def test_we_read_numpy_files_of_others(tmp_path: Path, rng: Rng) -> None:
    from safetensors.numpy import save_file

    array = rng.standard_normal((3, 4))
    save_file({"x": array, "n": np.arange(3)}, tmp_path / "x.safetensors", {"a": "b"})
    ours = tp.load_safetensors(tmp_path / "x.safetensors")
    assert np.array_equal(ours["x"].numpy(), array)
    assert ours["n"].tolist() == [0, 1, 2]


# Damage ---------------------------------------------------------------------------------------


BROKEN: dict[str, tuple[bytes, str]] = {
    "7 bytes": (b"1234567", "first 8 bytes"),
    "no header": (stored(b"", size=1), "claims 1 bytes"),
    "huge header": (stored(b"{}", size=2**64 - 1), "but only 2"),
    "text": (b"This is no safetensors file at all.", "its header claims"),
    "no JSON": (stored(b"{]"), "no JSON"),
    "no text": (stored(b"\xff\xfe{}"), "no JSON"),
    "too deep": (stored(b'{"a":' + b"[" * 100_000), "no JSON"),
    "many digits": (stored(b'{"a":' + b"1" * 9999 + b"}"), "no JSON"),
    "no object": (stored([1]), "no JSON object"),
    "no entry": (stored({"a": 1}), "lacks its dtype"),
    "no shape": (stored({"a": {"dtype": "F32", "data_offsets": [0, 0]}}), "lacks its dtype"),
    "twins": (stored(b'{"a":{},"a":{}}'), "a name twice"),
    "twins inside": (stored(b'{"a":{"dtype":"F32","dtype":"F32"}}'), "a name twice"),
    "metadata": (stored({"__metadata__": {"a": 1}}), "no texts"),
    "metadata list": (stored({"__metadata__": []}), "no texts"),
    "dtype": (stored({"a": entry("F31")}, bytes(4)), "unknown dtype 'F31'"),
    "no dtype": (stored({"a": entry(["F32"])}, bytes(4)), "unknown dtype"),
    "shape": (stored({"a": entry(shape=1)}, bytes(4)), "no list of at most 64"),
    "rank": (stored({"a": entry(shape=[1] * 65)}, bytes(4)), "no list of at most 64"),
    "float size": (stored({"a": entry(shape=[1.0])}, bytes(4)), "no int from 0"),
    "bool size": (stored({"a": entry(shape=[True])}, bytes(4)), "no int from 0"),
    "negative size": (stored({"a": entry(shape=[-1, -1])}, bytes(4)), "no int from 0"),
    "large size": (stored({"a": entry(shape=[2**70])}, bytes(4)), "no int from 0"),
    "overflow": (stored({"a": entry(shape=[2**32, 2**32])}, bytes(4)), "too large"),
    "empty overflow": (stored({"a": entry(shape=[0, 2**62, 4], end=0)}), "too large"),
    "offsets": (stored({"a": entry(start="0")}, bytes(4)), "no two ints"),
    "bool offsets": (stored({"a": entry(start=False)}, bytes(4)), "no two ints"),
    "negative": (stored({"a": entry(start=-4, end=0)}, bytes(4)), "overlaps"),
    "backwards": (stored({"a": entry(start=4, end=0)}, bytes(4)), "needs 4 bytes, but has -4"),
    "too short": (stored({"a": entry(end=3)}, bytes(3)), "needs 4 bytes, but has 3"),
    "hole": (stored({"a": entry(start=1, end=5)}, bytes(5)), "leaves a hole"),
    "overlap": (stored({"a": entry(), "b": entry(start=2, end=6)}, bytes(6)), "overlaps"),
    "same place": (stored({"a": entry(), "b": entry()}, bytes(4)), "overlaps"),
    "beyond": (stored({"a": entry()}, bytes(3)), "take 4 bytes, but 3 follow"),
    "behind": (stored({"a": entry()}, bytes(5)), "take 4 bytes, but 5 follow"),
    "int4 of nothing": (stored({"__metadata__": {"tripy.int4.a": "[1]"}}), "is not there"),
    "int4 shape": (
        stored({"__metadata__": {"tripy.int4.a": "{"}, "a": entry("U8", end=1)}, bytes(1)),
        "no list of sizes",
    ),
    "int4 sizes": (
        stored({"__metadata__": {"tripy.int4.a": "[5]"}, "a": entry("U8", end=1)}, bytes(1)),
        "needs 3 bytes",
    ),
    "int4 dtype": (
        stored({"__metadata__": {"tripy.int4.a": "[2]"}, "a": entry("I8", end=1)}, bytes(1)),
        "needs 1 bytes of dtype U8",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damage_is_named(name: str, tmp_path: Path) -> None:
    data, words = BROKEN[name]
    path = tmp_path / "broken.safetensors"
    path.write_bytes(data)
    with pytest.raises(tp.TripyFileError) as caught:
        tp.load_safetensors(path)
    text = str(caught.value)
    assert words in text.splitlines()[0]
    assert "broken.safetensors" in text
    assert "how to fix: get the file again" in text


def test_a_header_beyond_the_limit_of_the_format_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with path.open("wb") as file:
        file.write((100_000_001).to_bytes(8, "little"))
        file.truncate(200_000_000)
    with pytest.raises(tp.TripyFileError, match="but only 100000000 are possible"):
        tp.load_safetensors(path)


def test_every_truncation_is_found(tmp_path: Path, rng: Rng) -> None:
    path = tmp_path / "x.safetensors"
    tp.save_safetensors({"a": rng.standard_normal(3), "b": tp.ones((3,), tp.int4)}, path)
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(tp.TripyFileError):
            tp.load_safetensors(path)


def mutations(data: bytes, rng: Rng, count: int) -> Iterator[bytes]:
    """Files with a few bytes changed, most of them in the header."""
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            limit = len(data) if rng.random() < 0.2 else min(len(data), 300)
            changed[rng.integers(limit)] = rng.choice(list(b'0129-e[]{},:" \x00\x11\xff'))
        yield bytes(changed)


def test_changed_files_are_refused_or_still_consistent(tmp_path: Path, rng: Rng) -> None:
    path = tmp_path / "x.safetensors"
    tp.save_safetensors(any_tensors(rng, (tp.float32, tp.int4, tp.bool, tp.bfloat16)), path)
    data, read = path.read_bytes(), 0
    for changed in mutations(data, rng, 400):
        path.write_bytes(changed)
        try:
            loaded = tp.load_safetensors(path)
        except (tp.TripyFileError, tp.TripyTypeError):
            continue
        read += 1
        assert sum(tensor.size for tensor in loaded.values()) <= 2 * len(data)
        for tensor in loaded.values():
            assert tensor.numpy().size == tensor.size
    assert 10 < read < 390


def test_dtypes_without_equivalent_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for kind, size in (("U16", 2), ("U64", 8), ("F8_E5M2", 1), ("C64", 8)):
        path.write_bytes(stored({"ids": entry(kind, [1], 0, size)}, bytes(size)))
        with pytest.raises(tp.TripyTypeError, match=f"(?s)'ids'.*{kind} in") as caught:
            tp.load_safetensors(path)
        assert isinstance(caught.value, tp.TripyException)


# Writing --------------------------------------------------------------------------------------


def failing_writes() -> dict[str, Callable[[Path], Any]]:
    def traced(path: Path) -> Any:
        def store(x: tp.Tensor) -> tp.Tensor:
            tp.save_safetensors({"x": x}, path)
            return x

        return tp.compile(store, args=[tp.InputInfo((2,), tp.float32)])

    return {
        "value": lambda path: tp.save_safetensors({"a": 1.0, "b": object()}, path),
        "index": lambda path: tp.save_safetensors(
            {"a": tp.gather(tp.ones((2,)), 0, tp.Tensor([5]))}, path
        ),
        "traced": traced,
        "name": lambda path: tp.save_safetensors({1: 1.0}, path),  # type: ignore[dict-item]
        "metadata": lambda path: tp.save_safetensors({}, path, {"a": 1}),
        "reserved": lambda path: tp.save_safetensors({}, path, {"tripy.int4.a": "[1]"}),
        "folder": lambda path: tp.save_safetensors({}, path.parent),
        "no folder": lambda path: tp.save_safetensors({}, path.parent / "a" / "b"),
        "null": lambda path: tp.save_safetensors({}, f"{path}\0"),
    }


@pytest.mark.parametrize("name", failing_writes())
def test_a_failure_leaves_the_old_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tp.save_safetensors({"x": [1, 2]}, path)
    before = path.read_bytes()
    with pytest.raises(tp.TripyException):
        failing_writes()[name](path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.safetensors"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(tp.TripyFileError, match="no space left on device") as caught:
        tp.save_safetensors({"x": [1, 2]}, tmp_path / "x.safetensors")
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path) == []


def test_links_keep_pointing_at_the_file(tmp_path: Path) -> None:
    target, link = tmp_path / "target.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(target)
    tp.save_safetensors({"x": 1}, link)
    assert link.is_symlink()
    assert tp.load_safetensors(target)["x"].item() == 1


def test_missing_files_folders_and_odd_paths(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        tp.load_safetensors(tmp_path / "no.safetensors")
    assert type(caught.value) is tp.TripyFileNotFoundError
    for odd in (tmp_path, "a\0b", os.devnull):
        with pytest.raises(tp.TripyFileError):
            tp.load_safetensors(odd)
    with pytest.raises(tp.TripyDeviceError):
        tp.load_safetensors(tmp_path / "no.safetensors", device="gpu:7")
