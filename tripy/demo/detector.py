"""The cascade: image pyramid, proposals, refinement, output."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from tripy.demo.boxes import Floats, regress, square, suppress
from tripy.demo.networks import MAX_BATCH, MAX_SIDE, OUTPUT_SIDE, REFINE_SIDE, STRIDE, WINDOW

Batch = npt.NDArray[np.float32]
Network = Callable[[Batch], Sequence[Batch]]

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
    """Finds faces with three networks that map a batch of images to arrays.

    ``networks`` has the keys ``pnet``, ``rnet`` and ``onet``.
    """

    networks: Mapping[str, Network]
    min_face: int = 20
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)

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
            (scores,), (offsets,) = self._run(stage, "pnet", normalise([shrunk]))
            stage.entering += scores.size
            ratio = np.divide(image.size, size)
            found.append(windows(scores, offsets, self.thresholds[0], np.tile(ratio, 2)))
        # Columns: four edges, score, four offsets.
        rows = np.vstack(found)
        rows = rows[suppress(rows[:, :4], rows[:, 4], 0.7)]
        stage.leaving = len(rows)
        return square(regress(rows[:, :4], rows[:, 5:]))

    def _refine(self, stage: Stage, image: Image.Image, boxes: Floats) -> Floats:
        boxes, scores, offsets = self._judge(stage, image, boxes, REFINE_SIDE)
        kept = suppress(boxes, scores, 0.7)
        stage.leaving = len(kept)
        return square(regress(boxes[kept], offsets[kept]))

    def _output(self, stage: Stage, image: Image.Image, boxes: Floats) -> list[Face]:
        boxes, scores, offsets, landmarks = self._judge(stage, image, boxes, OUTPUT_SIDE)
        # The network gives five fractions of the width, then five of the height.
        points = landmarks.reshape(-1, 2, 5).transpose(0, 2, 1)
        points = boxes[:, None, :2] + points * (boxes[:, None, 2:] - boxes[:, None, :2])
        boxes = regress(boxes, offsets)
        kept = suppress(boxes, scores, 0.7, "min")
        stage.leaving = len(kept)
        boxes = boxes.clip(0, np.tile(image.size, 2))
        return [Face(boxes[i], float(scores[i]), points[i]) for i in kept]

    def _judge(
        self, stage: Stage, image: Image.Image, boxes: Floats, side: int
    ) -> tuple[Floats, ...]:
        """Runs a network over the crops; the boxes above its threshold and their results."""
        network, threshold, widths = _JUDGES[side]
        stage.entering = len(boxes)
        parts = [[np.empty((0, *width)) for width in widths]]
        for some in batches(boxes):
            crops = normalise([crop(image, box, side) for box in some])
            parts.append(self._run(stage, network, crops))
        results = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        kept = results[0] > self.thresholds[threshold]
        return boxes[kept], *(array[kept] for array in results)

    def _run(self, stage: Stage, network: str, images: Batch) -> list[Floats]:
        start = time.perf_counter()
        results = self.networks[network](images)
        stage.seconds += time.perf_counter() - start
        stage.calls += 1
        return [array.astype(np.float64) for array in results]


# By crop size: network, index of its threshold, trailing shapes of its results.
_JUDGES: dict[int, tuple[str, int, tuple[tuple[int, ...], ...]]] = {
    REFINE_SIDE: ("rnet", 1, ((), (4,))),
    OUTPUT_SIDE: ("onet", 2, ((), (4,), (10,))),
}


def pyramid(size: tuple[int, int], min_face: int) -> Iterator[tuple[int, int]]:
    """Image sizes at which faces from ``min_face`` pixels up to the image fill the window."""
    width, height = size
    scale = min(WINDOW / min_face, MAX_SIDE / max(size))
    while min(size) * scale >= WINDOW:
        yield round(width * scale), round(height * scale)
        scale *= PYRAMID_FACTOR


def windows(scores: Floats, offsets: Floats, threshold: float, ratio: Floats) -> Floats:
    """The windows of one pyramid level above the threshold: edges in the photograph, score,
    offsets."""
    rows, columns = np.nonzero(scores > threshold)
    corners = STRIDE * np.stack([columns, rows, columns, rows], axis=1) + [0, 0, WINDOW, WINDOW]
    confidence = scores[rows, columns]
    kept = suppress(corners.astype(np.float64), confidence, 0.5)
    moves = offsets[:, rows, columns].T
    return np.hstack([corners * ratio, confidence[:, None], moves])[kept]


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
