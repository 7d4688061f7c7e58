"""The face detector: networks against Keras' arithmetic, the cascade on a portrait, the command."""

# ruff: noqa: E402
from __future__ import annotations

import pickle
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

for _name in ("mtcnn", "lz4", "PIL", "skimage"):
    if util.find_spec(_name) is None:
        pytest.skip(f"the demo needs {_name}", allow_module_level=True)

import lz4.frame
from PIL import Image
from skimage import data

from tripy import demo
from tripy.demo import boxes, command, detector, networks, photos, runs, weights
from tripy.demo.detector import Detector, Face
from tripy.demo.runs import Built

STRICT = detector.THRESHOLDS | {"onet": 0.9}
Photo = Image.Image
Patch = pytest.MonkeyPatch
# Window and whether it is padded, after every convolution.
POOLINGS: dict[str, list[tuple[int, bool] | None]] = {
    "pnet": [(2, True), None, None],
    "rnet": [(3, True), (3, False), None],
    "onet": [(3, True), (3, False), (2, True), None],
}
# Where the landmarks of the portrait are, measured by eye.
PLACES = np.array([[203, 101], [247, 103], [225, 125], [202, 141], [245, 142]])


@pytest.fixture(scope="module")
def built() -> Built:
    return runs.build(None)


@pytest.fixture(scope="module")
def portrait() -> Photo:
    return photos.astronaut()


def channels_last(name: str, images: np.ndarray) -> np.ndarray:
    """The network as Keras computes it, in float64 and with the stored arrays as they are."""
    arrays = iter([array.astype(np.float64) for array in weights.read(name)])
    pairs = zip(arrays, arrays, strict=True)
    x = images.astype(np.float64).transpose(0, 2, 3, 1)
    for pooling in POOLINGS[name]:
        x = prelu(convolve(x, next(arrays), next(arrays)), next(arrays))
        x = pool(x, *pooling) if pooling else x
    if name == "pnet":
        heads = [convolve(x, *pair).transpose(0, 3, 1, 2) for pair in pairs]
    else:
        x = x.transpose(0, 2, 1, 3).reshape(len(x), -1)
        x = prelu(x @ next(arrays) + next(arrays), next(arrays))
        heads = [x @ kernel + bias for kernel, bias in pairs]
    powers = np.exp(heads[-1])
    return np.concatenate([powers / powers.sum(axis=1, keepdims=True), *heads[:-1]], axis=1)


def prelu(x: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, x * alpha)


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    views = sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.einsum("nhwcij,ijco->nhwo", views, kernel, optimize=True) + bias


def pool(x: np.ndarray, size: int, padded: bool) -> np.ndarray:
    """Strides of 2; padding gives ceil(n / 2) places, and at most 1 is needed: after the map."""
    after = [max((-(-n // 2) - 1) * 2 + size - n, 0) if padded else 0 for n in x.shape[1:3]]
    x = np.pad(x, [(0, 0), (0, after[0]), (0, after[1]), (0, 0)], constant_values=-np.inf)
    return sliding_window_view(x, (size, size), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))


SIZES = {"pnet": [(12, 12), (37, 50), (64, 33)], "rnet": [(24, 24)], "onet": [(48, 48)]}


@pytest.mark.parametrize("kind", ["eager", "compiled"])
@pytest.mark.parametrize(("name", "batch"), [("pnet", 1), ("rnet", 1), ("rnet", 5), ("onet", 3)])
def test_network_computes_what_keras_does(built: Built, name: str, batch: int, kind: str) -> None:
    rng = np.random.default_rng(batch)
    for size in SIZES[name]:
        images = rng.uniform(-1, 1, (batch, 3, *size)).astype(np.float32)
        result = getattr(built, kind)[name](images)
        reference = channels_last(name, images)
        assert (result.shape, result.dtype) == (reference.shape, np.float32)
        assert np.abs(result - reference).max() <= 1e-5 * np.abs(reference).max()


def test_weights_equal_those_joblib_reads() -> None:
    for name in networks.Networks._fields:
        expected = pytest.importorskip("joblib").load(weights.locate(name))
        for array, reference in zip(weights.read(name), expected, strict=True):
            np.testing.assert_array_equal(array, reference, strict=True)


def test_weights_of_another_kind_are_refused(tmp_path: Path, monkeypatch: Patch) -> None:
    path = tmp_path / "pnet.lz4"
    monkeypatch.setattr(weights, "locate", lambda name: path)
    for content in (lz4.frame.compress(pickle.dumps([print])), b"not a frame", b""):
        path.write_bytes(content)
        with pytest.raises(weights.WeightsError, match=r"pnet\.lz4"):
            weights.read("pnet")


def check_portrait_face(face: Face, shift: tuple[float, float] = (0, 0)) -> None:
    assert face.score > 0.99
    left, top, right, bottom = face.box
    assert right - left > 70
    assert bottom - top > 90
    assert np.abs(face.landmarks + shift - PLACES).max() < 8
    assert (face.landmarks > [left, top]).all()
    assert (face.landmarks < [right, bottom]).all()


def test_portrait_eager_equals_compiled(built: Built, portrait: Photo) -> None:
    heard: list[detector.Stage] = []
    both = runs.run_both(portrait, built, runs.Settings(repeat=1), heard.append)
    assert [stage.name for stage in heard] == ["P-Net", "R-Net", "O-Net"]
    assert all(stage.entering >= stage.leaving > 0 for stage in heard)
    assert [stage.leaving for stage in heard[:2]] == [stage.entering for stage in heard[1:]]
    for detection in (*both.eager, *both.compiled):
        (face,) = detection.faces
        check_portrait_face(face)
    same, text = runs.agreement(both)
    assert same, text


def test_agreement_notices_differences(built: Built) -> None:
    def compare(*faces: Face) -> bool:
        found = [[detector.Detection(list(some))] for some in ((one, two), faces)]
        return runs.agreement(runs.Runs(*found, built))[0]

    rng = np.random.default_rng(5)
    one, two = (Face(rng.uniform(0, 99, 4), s, rng.uniform(0, 99, (5, 2))) for s in (0.95, 0.96))
    assert compare(two, one)
    assert not compare()
    assert not compare(one)
    assert not compare(Face(one.box + 0.2, one.score, one.landmarks), two)
    assert not compare(Face(one.box, one.score - 0.01, one.landmarks), two)


def test_face_at_the_edge(built: Built, portrait: Photo) -> None:
    for corner in ((0, 0), (150, 0), (178, 60), (185, 30)):
        part = portrait.crop((*corner, 270, 180))
        face = Detector(built.compiled).detect(part).faces[0]
        check_portrait_face(face, corner)
        assert (face.box >= 0).all()
        assert (face.box <= [*part.size, *part.size]).all()


def test_many_crops_are_run_in_parts(built: Built, portrait: Photo, monkeypatch: Patch) -> None:
    whole = Detector(built.compiled).detect(portrait)
    monkeypatch.setattr(detector, "MAX_BATCH", 7)
    parts = Detector(built.compiled).detect(portrait)
    assert parts.stages[1].calls == -(-parts.stages[1].entering // 7) > 1
    assert runs.agreement(runs.Runs([whole], [parts], built))[0]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (19, 300), (20, 20), (23, 21), (97, 160)])
def test_noise_has_no_face(built: Built, size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), np.uint8)
    for form in (built.eager, built.compiled):
        detection = Detector(form).detect(Image.fromarray(pixels))
        assert detection.faces == []
        assert (detection.stages[0].calls > 0) == (min(size) >= 20)


def test_min_face_bounds_the_pyramid() -> None:
    levels = list(detector.pyramid((640, 480), 20))
    assert levels[0] == (384, 288)
    assert all(min(level) >= 12 for level in levels)
    assert min(levels[-1]) * 0.709 < 12.5
    assert list(detector.pyramid((640, 480), 600)) == []
    assert max(max(level) for level in detector.pyramid((30000, 9000), 12)) == networks.MAX_SIDE


def overlap(a: np.ndarray, b: np.ndarray, area: str) -> float:
    """By counting the cells of integer boxes."""
    boards = np.zeros((2, 24, 24), bool)
    for board, (left, top, right, bottom) in zip(boards, (a, b), strict=True):
        board[top:bottom, left:right] = True
    whole = boards.any(0).sum() if area == "union" else boards.sum((1, 2)).min()
    return float(boards.all(0).sum() / whole)


@pytest.mark.parametrize("area", ["union", "min"])
def test_suppression(area: Any) -> None:
    rng = np.random.default_rng(17)
    corners = rng.integers(0, 12, (40, 2))
    tiles = np.hstack([corners, corners + rng.integers(2, 9, (40, 2))])
    scores = rng.uniform(0, 1, 40)
    kept: list[int] = []
    for i in np.argsort(-scores).tolist():
        if all(overlap(tiles[i], tiles[j], area) <= 0.4 for j in kept):
            kept.append(i)
    assert boxes.suppress(tiles.astype(np.float64), scores, 0.4, area).tolist() == kept
    assert boxes.suppress(np.empty((0, 4)), np.empty(0), 0.4, area).size == 0


def test_squares_and_offsets() -> None:
    rectangles = np.array([[10.0, 20.0, 50.0, 30.0], [-4.0, 0.0, 2.0, 12.0]])
    assert boxes.square(rectangles).tolist() == [[10, 5, 50, 45], [-7, 0, 5, 12]]
    assert boxes.square(np.array([[7.0, 4.0, 5.0, 2.0]])).tolist() == [[5.5, 2.5, 6.5, 3.5]]
    moved = boxes.regress(rectangles, np.tile([0.5, 0.0, 0.0, -0.25], (2, 1)))
    assert moved.tolist() == [[30, 20, 50, 27.5], [-1, 0, 2, 9]]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16", "CMYK"])
def test_colour_modes(mode: str, portrait: Photo, built: Built, tmp_path: Path) -> None:
    image = portrait.convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    image.save(tmp_path / "photo.tiff")
    image = photos.read_photo(tmp_path / "photo.tiff")
    assert (image.mode, image.size) == ("RGB", portrait.size)
    (face,) = Detector(built.compiled, thresholds=STRICT).detect(image).faces
    check_portrait_face(face)


def test_transparent_pixels_become_white() -> None:
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)
    opaque = np.asarray(photos.to_rgb(Image.fromarray(pixels)))
    assert opaque.tolist() == [[[255, 255, 255], [10, 20, 30]]]


def test_unreadable_photos(portrait: Photo, tmp_path: Path, capsys: Any) -> None:
    portrait.save(tmp_path / "whole.png")
    cut = (tmp_path / "whole.png").read_bytes()[:9000]
    contents = {"text.jpg": b"no picture", "empty.png": b"", "cut.png": cut}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (".", "missing.png", *contents):
        assert demo.main([str(tmp_path / name)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"error: {tmp_path / name}")
        assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--min-face=3", "--repeat=x", "--engine=x"])
def test_wrong_arguments(option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        demo.main([option])


def test_missing_package(monkeypatch: Patch, capsys: Any) -> None:
    monkeypatch.setattr(demo, "PACKAGES", ("PIL", "no_such_package"))
    assert demo.main([]) == 2
    assert "needs no_such_package: pip install 'tripy-dl[demo]'" in capsys.readouterr().err


def test_command(tmp_path: Path, monkeypatch: Patch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(["--repeat", "1"]) == 0
    text = capsys.readouterr().out
    expected = ["P-Net: ", "R-Net: ", "O-Net: ", "1 face found", *detector.LANDMARKS]
    expected += ["eager, first", "eager, median", "compiled, first", "compiled, median"]
    expected += ["eager and compiled agree", "Written: astronaut-faces.png"]
    assert [part for part in expected if part not in text] == []
    drawn = np.asarray(Image.open("astronaut-faces.png"), np.int32)
    changed = np.abs(drawn - data.astronaut()).sum(axis=2) > 0
    assert 300 < changed[:200].sum() < 5000
    assert not changed[200:].any()


def test_photos_without_faces(tmp_path: Path, capsys: Any) -> None:
    pixels = np.random.default_rng(8).integers(0, 256, (70, 90, 3), np.uint8)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "noise.png")
    paths = [str(tmp_path / folder / "noise.png") for folder in ("a", "b")]
    output = tmp_path / "new" / "folder"
    assert demo.main([*paths, "--output", str(output), "--repeat", "1"]) == 0
    assert capsys.readouterr().out.count("no faces found") == 2
    for name in ("noise-faces.png", "noise-faces-2.png"):
        np.testing.assert_array_equal(np.asarray(Image.open(output / name)), pixels)
    below_a_file = output / "noise-faces.png" / "x.png"
    assert demo.main([paths[0], "--output", str(below_a_file), "--repeat", "1"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_output_paths(tmp_path: Path) -> None:
    paths = [Path("x/a.jpg"), Path("y/a.png"), Path("b.png")]
    assert command.output_paths(paths[:1], None) == [Path("a-faces.png")]
    assert command.output_paths(paths[:1], Path("out.png")) == [Path("out.png")]
    assert command.output_paths(paths[:1], tmp_path) == [tmp_path / "a-faces.png"]
    names = [path.name for path in command.output_paths(paths, tmp_path)]
    assert names == ["a-faces.png", "a-faces-2.png", "b-faces.png"]
