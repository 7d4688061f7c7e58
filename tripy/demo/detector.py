"""The cascade: image pyramid, proposals, refinement, output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from tripy.demo.boxes import Floats, regress, sizes, square, suppress
from tripy.demo.networks import COLUMNS, CROP_SIDES, MAX_BATCH, MAX_SIDE, STRIDE, WINDOW

Batch = npt.NDArray[np.float32]
Network = Callable[[Batch], Batch]

THRESHOLDS = {"pnet": 0.6, "rnet": 0.7, "onet": 0.7}  # of the scores, as in the paper's program
PYRAMID_FACTOR = 0.709
LANDMARKS = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")


@dataclass(frozen=True)
class Face:
    """One face in pixels; left and right are those of the photograph."""

    box: Floats  # left, top, right, bottom
    score: float
    landmarks: Floats  # (5, 2), in the order of LANDMARKS


@dataclass
class Stage:
    """What happened in one stage; ``seconds`` counts its network alone."""

    name: str
    entering: int = 0
    leaving: int = 0
    calls: int = 0
    seconds: float = 0.0


def new_stages() -> list[Stage]:
    return [Stage("P-Net"), Stage("R-Net"), Stage("O-Net")]


@dataclass
class Detection:
    faces: list[Face] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=new_stages)
    seconds: float = 0.0


@dataclass(frozen=True)
class Detector:
    """Finds faces with three networks, called with NumPy arrays, and the keys of THRESHOLDS."""

    networks: Mapping[str, Network]
    min_face: int = 20
    thresholds: Mapping[str, float] = field(default_factory=THRESHOLDS.copy)

    def detect(
        self, image: Image.Image, report: Callable[[Stage], object] = lambda stage: None
    ) -> Detection:
        """The faces in an RGB image, best first; ``report`` hears of every finished stage."""
        start = time.perf_counter()
        detection = Detection()
        pnet, rnet, onet = detection.stages
        boxes = self._propose(pnet, image)
        report(pnet)
        boxes = self._refine(rnet, image, boxes)
        report(rnet)
        detection.faces = self._output(onet, image, boxes)
        report(onet)
        detection.seconds = time.perf_counter() - start
        return detection

    def _propose(self, stage: Stage, image: Image.Image) -> Floats:
        found = [np.empty((0, 9))]
        for size in pyramid(image.size, self.min_face):
            shrunk = image.resize(size, Image.Resampling.BILINEAR)
            (maps,) = self._run(stage, "pnet", normalise([shrunk]))
            stage.entering += maps[0].size
            ratio = np.divide(image.size, size)
            found.append(windows(maps, self.thresholds["pnet"], np.tile(ratio, 2)))
        rows = np.vstack(found)
        rows = rows[suppress(rows[:, :4], rows[:, 4], 0.7)]
        stage.leaving = len(rows)
        return square(regress(rows[:, :4], rows[:, 5:]))

    def _refine(self, stage: Stage, image: Image.Image, boxes: Floats) -> Floats:
        boxes, rows = self._judge(stage, "rnet", image, boxes)
        kept = suppress(boxes, rows[:, 1], 0.7)
        stage.leaving = len(kept)
        return square(regress(boxes[kept], rows[kept, 2:6]))

    def _output(self, stage: Stage, image: Image.Image, boxes: Floats) -> list[Face]:
        boxes, rows = self._judge(stage, "onet", image, boxes)
        # The network gives five fractions of the width, then five of the height.
        fractions = rows[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1)
        points = boxes[:, None, :2] + fractions * sizes(boxes)[:, None]
        boxes = regress(boxes, rows[:, 2:6])
        kept = suppress(boxes, rows[:, 1], 0.7, "min")
        stage.leaving = len(kept)
        boxes = boxes.clip(0, np.tile(image.size, 2))
        return [Face(boxes[i], float(rows[i, 1]), points[i]) for i in kept]

    def _judge(
        self, stage: Stage, network: str, image: Image.Image, boxes: Floats
    ) -> tuple[Floats, Floats]:
        """Runs a network over the crops: the boxes above its threshold, its rows for them."""
        stage.entering = len(boxes)
        parts = [np.empty((0, COLUMNS[network]))]
        for some in batches(boxes):
            crops = [crop(image, box, CROP_SIDES[network]) for box in some]
            parts.append(self._run(stage, network, normalise(crops)))
        rows = np.vstack(parts)
        kept = rows[:, 1] > self.thresholds[network]
        return boxes[kept], rows[kept]

    def _run(self, stage: Stage, network: str, images: Batch) -> Floats:
        start = time.perf_counter()
        results = self.networks[network](images)
        stage.seconds += time.perf_counter() - start
        stage.calls += 1
        return results.astype(np.float64)


def pyramid(size: tuple[int, int], min_face: int) -> Iterator[tuple[int, int]]:
    """Image sizes at which faces from ``min_face`` pixels up to the image fill the window."""
    width, height = size
    scale = min(WINDOW / min_face, MAX_SIDE / max(size))
    while min(size) * scale >= WINDOW:
        yield round(width * scale), round(height * scale)
        scale *= PYRAMID_FACTOR


def windows(maps: Floats, threshold: float, ratio: Floats) -> Floats:
    """The windows of one pyramid level above the threshold, best first: rows of four edges in
    the photograph, score, four offsets."""
    rows, columns = np.nonzero(maps[1] > threshold)
    corners = STRIDE * np.stack([columns, rows, columns, rows], axis=1) + [0, 0, WINDOW, WINDOW]
    found = np.hstack([corners * ratio, maps[1:, rows, columns].T])
    return found[suppress(found[:, :4], found[:, 4], 0.5)]


def crop(image: Image.Image, box: Floats, side: int) -> Image.Image:
    """The part of the image under the box, black beyond the edges, as side x side pixels."""
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.maximum(np.ceil(box[2:]).astype(int), (left + 1, top + 1))
    inner = box - [left, top, left, top]
    part = image.crop((int(left), int(top), int(right), int(bottom)))
    return part.resize((side, side), Image.Resampling.BILINEAR, box=tuple(inner.tolist()))


def normalise(images: Sequence[Image.Image]) -> Batch:
    """RGB images of one size as the batch that the networks expect."""
    pixels = np.stack([np.asarray(image, np.float32) for image in images])
    return np.ascontiguousarray((pixels.transpose(0, 3, 1, 2) - 127.5) / 128)


def batches(boxes: Floats) -> Iterator[Floats]:
    for start in range(0, len(boxes), MAX_BATCH):
        yield boxes[start : start + MAX_BATCH]
