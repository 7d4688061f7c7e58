"""Saved executables: equal after loading, portable, and safe to load whatever happened to them."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import logging
import multiprocessing
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.interop.digest import Digest, digest_of

batch = tp.NamedDimension("batch", 1, 2, 8)
Pair = namedtuple("Pair", "left right")


@dataclasses.dataclass(frozen=True)
class Found:
    boxes: Any
    label: str


class Network(tp.Module):
    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.conv = tp.Conv(3, 8, (3, 3), padding=1)
        self.linear = tp.Linear(8, 4)
        shapes = {name: value.shape for name, value in self.state_dict().items()}
        made = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
        self.load_state_dict(made)

    def forward(self, images: tp.Tensor) -> tp.Tensor:
        return tp.softmax(self.linear(tp.mean(tp.relu(self.conv(images)), (2, 3))), 1)


def images(*shape: int) -> Any:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> tp.Executable:
    sizes = (batch, 3, (4, 8, 16), (4, 8, 16))
    return tp.compile(Network(), args=[tp.InputInfo(sizes, tp.float32)])


@pytest.fixture(scope="module")
def path(network: tp.Executable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("saved") / "network.tripy"
    network.save(made)
    return made


def assert_equal(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("engine_blob", [True, False])
@pytest.mark.parametrize("engine", ["openvino", "reference"])
def test_a_loaded_executable_is_equal(engine: str, engine_blob: bool, tmp_path: Path) -> None:
    info = tp.InputInfo((batch, 3, 6, 5), tp.float32)
    made = tp.compile(Network(), 2, args=[info], engine=engine)
    made.save(tmp_path / "a.tripy", engine_blob=engine_blob)
    loaded = tp.Executable.load(tmp_path / "a.tripy")
    assert repr(loaded) == repr(made)
    assert loaded.__signature__ == made.__signature__
    assert (loaded.input_infos, loaded.output_infos) == (made.input_infos, made.output_infos)
    assert (loaded.engine, loaded.device, loaded.precision) == (engine, made.device, "float32")
    for count in (1, 3, 8):
        # Weights lie in memory as they are written; sums of the reference engine depend on that.
        found, expected = (exe(images(count, 3, 6, 5)).numpy() for exe in (loaded, made))
        np.testing.assert_allclose(found, expected, rtol=0 if engine == "openvino" else 1e-5)
    assert loaded.verify(images(2, 3, 6, 5))


def test_another_engine_runs_a_saved_model(path: Path, network: tp.Executable) -> None:
    loaded = tp.Executable.load(path, engine="reference", device="cpu")
    assert loaded.engine == "reference"
    x = images(2, 3, 8, 8)
    np.testing.assert_allclose(loaded(x).numpy(), network(x).numpy(), rtol=1e-4, atol=1e-6)


def test_an_engine_that_lacks_something_refuses(tmp_path: Path) -> None:
    doubled = tp.compile(lambda x: x * 2.0, args=[tp.InputInfo((2,), tp.float64)])
    doubled.save(tmp_path / "a.tripy")
    with pytest.raises(tp.TripyUnsupportedError, match=r"float64.*test_saved\.py"):
        tp.Executable.load(tmp_path / "a.tripy", engine="openvino")
    with pytest.raises(tp.TripyValueError, match="no engine"):
        tp.Executable.load(tmp_path / "a.tripy", engine="fast")
    with pytest.raises(tp.TripyDeviceError):
        tp.Executable.load(tmp_path / "a.tripy", device="gpu:3")


def test_structures_sizes_and_constants_are_kept(tmp_path: Path) -> None:
    def function(found: Found, pair: Pair, options: dict[str, Any], count: Any, flag: bool) -> Any:
        total = found.boxes + pair.left * options["scale"] + tp.cast(count, tp.float32)
        return Found(total, found.label), Pair(total, [None, float("inf")]), {"x": pair.left}

    vector = tp.InputInfo((batch,), tp.float32)
    args = [
        Found(vector, "cat"),
        Pair(vector, 7),
        {"scale": vector},
        tp.DimensionInputInfo((1, 2, 9)),
    ]
    made = tp.compile(function, args=[*args, True])
    made.save(tmp_path / "a.tripy")
    loaded = tp.Executable.load(tmp_path / "a.tripy")
    x, y, z = (np.arange(3, dtype=np.float32) + i for i in range(3))
    call = (Found(x, "cat"), Pair(y, 7), {"scale": z}, 4)
    first, second = made(*call), loaded(*call)
    assert repr(loaded) == repr(made)
    assert isinstance(second[0], Found)
    assert second[0].label == "cat"
    assert second[1].right == [None, INF]
    assert_equal(first[0].boxes, second[0].boxes)
    assert_equal(second[2]["x"], y)


INF = float("inf")


@pytest.mark.parametrize(
    "kind", ["float64", "int64", "bfloat16", "float16", "int8", "bool", "int4", "float8"]
)
def test_constants_of_every_dtype_are_kept(kind: str, tmp_path: Path) -> None:
    weight = tp.Parameter(tp.cast(tp.Tensor([0.0, 1.0, -2.0]), getattr(tp, kind)))
    made = tp.compile(
        lambda n: [weight, tp.gather(weight, 0, n)], args=[tp.InputInfo((2,), tp.int32)]
    )
    made.save(tmp_path / "a.tripy")
    loaded = tp.Executable.load(tmp_path / "a.tripy")
    index = np.array([2, 1], np.int32)
    for a, b in zip(made(index), loaded(index), strict=True):
        assert a.dtype is b.dtype
        assert a.tolist() == b.tolist()


def test_broken_conditions_name_the_saved_line(tmp_path: Path) -> None:
    sizes = [(1, 2, 9)], [(1, 3, 9)]
    args = [tp.InputInfo(s, tp.float32) for s in sizes]
    made = tp.compile(lambda a, b: tp.concatenate([tp.reshape(a, (3,)), b], 0), args=args)
    made.save(tmp_path / "a.tripy")
    with pytest.raises(tp.TripyShapeError) as caught:
        tp.Executable.load(tmp_path / "a.tripy")(np.ones(2, np.float32), np.ones(3, np.float32))
    assert "test_saved.py" in str(caught.value)
    assert "tp.reshape(a, (3,))" in str(caught.value)


def test_plugins_must_be_registered_before_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @tp.register_plugin(
        "saved::halves",
        infer=lambda x, *, by: [((x.shape[0] // 2,), x.dtype)] * 2,
        attrs={"by": list[float]},
        replace=True,
    )
    def halves(x: Any, *, by: list[float]) -> Any:
        return [part * np.float32(by[0]) for part in np.split(x, 2)]

    args = [tp.InputInfo(((2, 4, 8),), tp.float32)]
    made = tp.compile(
        lambda x: tp.plugin("saved::halves", [x], by=[2.0, 3.0])[1] + 1.0,
        args=args,
        engine="reference",
    )
    made.save(tmp_path / "a.tripy")
    x = np.arange(6, dtype=np.float32)
    assert_equal(tp.Executable.load(tmp_path / "a.tripy")(x), made(x))
    monkeypatch.setattr("tripy.ops.plugin._plugins", {})
    with pytest.raises(tp.TripyUnsupportedError, match="saved::halves"):
        tp.Executable.load(tmp_path / "a.tripy")


def test_loading_needs_no_imports_of_the_user(path: Path, network: tp.Executable) -> None:
    code = (
        "import sys, numpy as np, tripy as tp\n"
        f"exe = tp.Executable.load({str(path)!r})\n"
        "x = np.random.default_rng(5).standard_normal((2, 3, 4, 4)).astype(np.float32)\n"
        "print(exe(x).tolist())"
    )
    root = Path(__file__).parents[1]
    run = [sys.executable, "-W", "error", "-c", code]
    child = subprocess.run(run, cwd=root, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == network(images(2, 3, 4, 4)).tolist()


def test_workers_of_other_processes_get_the_saved_form(network: tp.Executable) -> None:
    inputs = [images(n, 3, 4, 4) for n in (1, 2, 3)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.starmap(run_on, [(network, x) for x in inputs])
    for x, result in zip(inputs, results, strict=True):
        assert_equal(network(x), result)


def run_on(executable: tp.Executable, x: Any) -> Any:
    return executable(x).numpy()


def test_copies_run_on_their_own(network: tp.Executable) -> None:
    other = copy.deepcopy(network)
    assert other is not network
    assert_equal(other(images(2, 3, 4, 4)), network(images(2, 3, 4, 4)))


def test_unknown_classes_are_looked_up_but_never_imported(tmp_path: Path) -> None:
    made = tp.compile(lambda f: f.boxes, args=[Found(tp.InputInfo((2,), tp.float32), "a")])
    made.save(tmp_path / "a.tripy")
    rewrite(
        tmp_path / "a.tripy", lambda m: m["parameters"]["f"].update({"class": ["antigravity", "X"]})
    )
    with pytest.raises(tp.TripyFileError, match="import antigravity before"):
        tp.Executable.load(tmp_path / "a.tripy")
    assert "antigravity" not in sys.modules


def rewrite(path: Path, change: Any) -> None:
    """Change the manifest of a file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_a_program_that_does_not_fit_is_built_again(
    path: Path, tmp_path: Path, network: tp.Executable, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "a.tripy"
    other.write_bytes(path.read_bytes())
    rewrite(other, lambda m: m.update(fingerprint="OpenVINO 1.0"))
    with caplog.at_level(logging.WARNING, "tripy"):
        loaded = tp.Executable.load(other)
    (record,) = caplog.records
    assert "OpenVINO 1.0" in record.message
    assert_equal(loaded(images(2, 3, 8, 8)), network(images(2, 3, 8, 8)))


def test_an_engine_that_is_not_installed_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tripy.engines.base.is_installed", lambda name: name == "reference")
    with pytest.raises(tp.TripyImportError, match="load with engine='reference'"):
        tp.Executable.load(path)
    assert tp.Executable.load(path, engine="reference").engine == "reference"


def test_the_reference_engine_has_nothing_to_build_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = tp.compile(tp.relu, args=[tp.InputInfo((2,), tp.float32)], engine="reference")
    made.save(tmp_path / "a.tripy")
    with caplog.at_level(logging.WARNING, "tripy"):
        tp.Executable.load(tmp_path / "a.tripy")
    assert caplog.records == []


def test_a_newer_format_is_an_error(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "a.tripy"
    other.write_bytes(path.read_bytes())
    rewrite(other, lambda m: m.update(format=99))
    with pytest.raises(tp.TripyFileError, match="newer format 99"):
        tp.Executable.load(other)


def test_files_that_are_no_executables(tmp_path: Path) -> None:
    with pytest.raises(tp.TripyFileNotFoundError):
        tp.Executable.load(tmp_path / "missing.tripy")
    with pytest.raises(tp.TripyFileError):
        tp.Executable.load(tmp_path)
    (tmp_path / "text.tripy").write_text("hello")
    with pytest.raises(tp.TripyFileError, match="zip"):
        tp.Executable.load(tmp_path / "text.tripy")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(tp.TripyFileError, match="manifest"):
        tp.Executable.load(tmp_path / "other.zip")
    with pytest.raises(tp.TripyTypeError):
        tp.Executable.load(3)  # type: ignore[arg-type]


def test_engines_have_names(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "a.tripy"
    target.write_bytes(path.read_bytes())
    rewrite(target, lambda manifest: manifest.update(engine=["openvino"]))
    with pytest.raises(tp.TripyFileError, match="there is no engine"):
        tp.Executable.load(target)


def test_compressed_members_are_refused(path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "a.tripy", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(tp.TripyFileError, match="compressed"):
        tp.Executable.load(tmp_path / "a.tripy")


def test_what_cannot_be_written_leaves_nothing(network: tp.Executable, tmp_path: Path) -> None:
    with pytest.raises(tp.TripyFileError):
        network.save(tmp_path / "missing" / "a.tripy")
    with pytest.raises(tp.TripyFileError):
        network.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_weights_are_in_a_safetensors_file(path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extract("weights.safetensors", tmp_path)
    found = tp.load_safetensors(tmp_path / "weights.safetensors")
    assert_equal(found["conv.weight"], Network().conv.weight)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300001])
def test_a_digest_depends_on_every_byte_and_on_no_chunks(size: int) -> None:
    rng = np.random.default_rng(size)
    data = rng.bytes(size)
    whole = digest_of([data])
    assert whole[0] == size
    for cuts in ([size // 3, size // 2], [1, 65536], [65537]):
        edges = [0, *sorted(min(c, size) for c in cuts), size]
        assert digest_of(data[a:b] for a, b in itertools.pairwise(edges)) == whole
    for at in {0, size // 2, size - 1} if size else ():
        assert digest_of([data[:at], bytes([data[at] ^ 64]), data[at + 1 :]]) != whole
    assert str(Digest()) == digest_of([])[1]


# --- damage ----------------------------------------------------------------------------------


def outcome(path: Path, data: bytes, expected: Any) -> str:
    """Load damaged bytes: an error, or a model with unchanged results."""
    path.write_bytes(data)
    try:
        loaded = tp.Executable.load(path)
    except tp.TripyFileError:
        return "error"
    np.testing.assert_allclose(loaded(images(2, 3, 4, 4)).numpy(), expected, rtol=1e-5)
    return "fine"


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :]


def test_damaged_files_are_errors_or_unchanged(
    path: Path, tmp_path: Path, network: tp.Executable
) -> None:
    target, rng = tmp_path / "damaged.tripy", np.random.default_rng(1)
    small = tp.compile(Network(), args=list(network.input_infos.values()), engine="reference")
    small.save(target)
    data, expected = target.read_bytes(), small(images(2, 3, 4, 4)).numpy()
    outcomes = [outcome(target, flipped(data, rng), expected) for _ in range(1500)]
    assert outcomes.count("error") > 1000
    for _ in range(400):
        assert outcome(target, data[: int(rng.integers(len(data)))], expected) == "error"
    for size in rng.integers(1, 3000, 100):
        assert outcome(target, rng.bytes(int(size)), expected) == "error"
    for _ in range(200):  # whole stretches
        start, count = (int(n) for n in rng.integers(0, [len(data), 300]))
        changed = data[:start] + rng.bytes(count) + data[start + count :]
        outcome(target, changed, expected)


@pytest.mark.parametrize("name", ["graph.json", "manifest.json"])
def test_damaged_records_are_errors_or_unchanged(
    name: str, path: Path, tmp_path: Path, network: tp.Executable
) -> None:
    """Damage that the checksums cannot show, because they were made afterwards."""
    with zipfile.ZipFile(path) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    rng, target = np.random.default_rng(2), tmp_path / "damaged.tripy"
    for _ in range(300):
        changed = {**members, name: flipped(members[name], rng)}
        if name != "manifest.json":
            manifest = json.loads(changed["manifest.json"])
            manifest["members"].pop("engine/program")
            manifest["members"][name] = list(digest_of([changed[name]]))
            changed["manifest.json"] = json.dumps(manifest).encode()
        with zipfile.ZipFile(target, "w") as archive:
            for n, d in changed.items():
                archive.writestr(n, d)
        try:
            loaded = tp.Executable.load(target, engine="reference")
            loaded(images(2, 3, 4, 4))
        except tp.TripyException:
            continue


# --- old formats -----------------------------------------------------------------------------

#: What tests/data/format-1.tripy gave when it was saved: scores and the indices of the best two.
FROZEN_SCORES = [
    [0.252594, 0.279847, 0.066254, 0.401305],
    [0.224246, 0.177931, 0.033307, 0.564515],
    [0.135559, 0.357683, 0.030835, 0.475922],
    [0.153126, 0.061858, 0.045253, 0.739763],
    [0.153126, 0.061858, 0.045253, 0.739763],
]
FROZEN_BEST = [[3, 1], [3, 0], [3, 1], [3, 0], [3, 0]]


@pytest.mark.parametrize("engine", [None, "reference"])
def test_files_of_the_first_format_load_for_ever(engine: str | None) -> None:
    loaded = tp.Executable.load(Path(__file__).parent / "data" / "format-1.tripy", engine=engine)
    x = np.arange(2 * 2 * 4 * 5, dtype=np.float32).reshape(2, 2, 4, 5) / 20 - 1
    found = loaded(x, np.array([1, -1, 4]))
    np.testing.assert_allclose(found["scores"].numpy(), FROZEN_SCORES, atol=2e-6)
    assert found["best"][1].tolist() == FROZEN_BEST
    assert found["kind"] == "frozen"
    assert "batch + words.shape[0]" in repr(loaded)


# --- killed processes ------------------------------------------------------------------------

SAVING = """
import sys, numpy as np, tripy as tp
layer = tp.Linear(1500, 1500)
layer.load_state_dict({n: np.ones(p.shape, np.float32) for n, p in layer.state_dict().items()})
exe = tp.compile(layer, args=[tp.InputInfo((1, 1500), tp.float32)], engine="reference")
print("ready", flush=True)
while True:
    exe.save(sys.argv[1])
"""


def test_a_killed_process_leaves_no_broken_file(tmp_path: Path) -> None:
    target, rng = tmp_path / "a.tripy", np.random.default_rng(3)
    found = 0
    for longest in (0.2, 0.2, 0.5, 4.0):  # a busy disk may take its time
        command = [sys.executable, "-c", SAVING, str(target)]
        root = Path(__file__).parents[1]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            time.sleep(float(rng.uniform(longest / 2, longest)))
            child.kill()
        if target.exists():
            found += 1
            loaded = tp.Executable.load(target)
            assert loaded(np.ones((1, 1500), np.float32)).numpy()[0, 7] == 1501
    assert found
