"""Mistakes with files, streams and plugins."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import tripy as tp
from mistakes import mistake

FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER)


def written(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def headed(header: str, size: int = 0) -> bytes:
    return len(header).to_bytes(8, "little") + header.encode() + bytes(size)


missing = FOLDER / "missing.safetensors"
empty = written("empty.safetensors", b"")
cut = written("cut.safetensors", (1000).to_bytes(8, "little") + b'{"a":')
holes = written(
    "holes.safetensors", headed('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8)
)
unsigned = written(
    "unsigned.safetensors", headed('{"ids":{"dtype":"U32","shape":[1],"data_offsets":[0,4]}}', 4)
)
other = written("other.pt", b"something else")
folder = FOLDER / "weights.safetensors" / "deep.safetensors"
exe = tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)], engine="reference")


@tp.register_plugin("mistakes::scale", infer=lambda x, *, by: (x.shape, x.dtype), attrs={"by": int})
def scale(x: Any, *, by: int) -> Any:
    return x * by


@tp.register_plugin("mistakes::wrong", infer=lambda x: x.shape)
def wrong(x: Any) -> Any:
    return x


@tp.register_plugin("mistakes::wide", infer=lambda x: (x.shape, x.dtype))
def wide(x: Any) -> Any:
    return x.astype(np.float64)


vector = tp.Tensor([1.0, 2.0])


@mistake(tp.TripyFileNotFoundError, "missing")
def file_that_is_missing() -> Any:
    return tp.load_safetensors(missing)


@mistake(tp.TripyFileError, "empty")
def file_that_is_empty() -> Any:
    return tp.load_safetensors(empty)


@mistake(tp.TripyFileError, "cut")
def file_that_is_cut_off() -> Any:
    return tp.load_safetensors(cut)


@mistake(tp.TripyFileError, "holes")
def file_with_a_hole() -> Any:
    return tp.load_safetensors(path=holes)


@mistake(tp.TripyTypeError, "unsigned")
def file_with_a_foreign_dtype() -> Any:
    return tp.load_safetensors(unsigned)


@mistake(tp.TripyTypeError, "[missing]")
def list_for_a_path() -> Any:
    return tp.load_safetensors([missing])


@mistake(tp.TripyFileError, "folder")
def folder_that_is_missing() -> Any:
    return tp.save_safetensors({"weight": vector}, folder)


@mistake(tp.TripyTypeError, "np.array([1j])")
def complex_tensor_to_store() -> Any:
    return tp.save_safetensors({"weight": np.array([1j])}, missing)


@mistake(tp.TripyTypeError, "3")
def metadata_of_numbers() -> Any:
    return tp.save_safetensors({"weight": vector}, missing, {"version": 3})


@mistake(tp.TripyValueError, "vector")
def reserved_name_to_store() -> Any:
    return tp.save_safetensors({"__metadata__": vector}, missing)


@mistake(tp.TripyFileError, "other")
def checkpoint_of_something_else() -> Any:
    return tp.Linear(2, 1).load_state_dict(other)


@mistake(tp.TripyValueError, '"weights.npz"')
def checkpoint_with_another_suffix() -> Any:
    return tp.Linear(2, 1).load_state_dict("weights.npz")


@mistake(tp.TripyTypeError, '"cpu"')
def name_for_a_stream() -> Any:
    exe.stream = "cpu"


@mistake(tp.TripyDeviceError, '"gpu:7"')
def stream_of_an_absent_device() -> Any:
    return tp.Stream("gpu:7")


@mistake(tp.TripyValueError, '"scale"')
def plugin_name_of_one_part() -> Any:
    return tp.register_plugin("scale", infer=scale)


@mistake(tp.TripyValueError, '"mistakes::scale"')
def plugin_name_that_is_taken() -> Any:
    return tp.register_plugin("mistakes::scale", infer=scale)


@mistake(tp.TripyTypeError, "dict")
def plugin_attribute_of_an_unknown_type() -> Any:
    return tp.register_plugin("mistakes::other", infer=scale, attrs={"by": dict})


@mistake(tp.TripyTypeError, "None")
def plugin_without_a_shape_rule() -> Any:
    return tp.register_plugin("mistakes::other", infer=None)


@mistake(tp.TripyValueError, '"cuda"')
def lowering_to_an_unknown_engine() -> Any:
    return scale.lowering("cuda")


@mistake(tp.TripyKeyError, '"mistakes::scal"')
def plugin_that_is_unknown() -> Any:
    return tp.plugin("mistakes::scal", [vector])


@mistake(tp.TripyTypeError, 'tp.plugin("mistakes::scale", [vector])')
def plugin_without_its_attribute() -> Any:
    return tp.plugin("mistakes::scale", [vector])


@mistake(tp.TripyTypeError, "by=2.5")
def plugin_attribute_of_another_type() -> Any:
    return tp.plugin("mistakes::scale", [vector], by=2.5)


@mistake(tp.TripyTypeError, "bye=3")
def plugin_attribute_that_is_unknown() -> Any:
    return tp.plugin("mistakes::scale", [vector], by=2, bye=3)


@mistake(tp.TripyTypeError, "vector")
def plugin_input_without_a_list() -> Any:
    return tp.plugin("mistakes::scale", vector, by=2)


@mistake(tp.TripyTypeError, 'tp.plugin("mistakes::wrong", [vector])')
def plugin_whose_shape_rule_is_wrong() -> Any:
    return tp.plugin("mistakes::wrong", [vector])


@mistake(tp.TripyTypeError, 'tp.plugin("mistakes::wide", [vector])')
def plugin_whose_body_is_wrong() -> Any:
    return tp.plugin("mistakes::wide", [vector]).eval()


@mistake(tp.TripyUnsupportedError, '"openvino"')
def plugin_without_a_lowering() -> Any:
    info = tp.InputInfo((2,), tp.float32)
    return tp.compile(lambda x: tp.plugin("mistakes::wide", [x]), args=[info], engine="openvino")
