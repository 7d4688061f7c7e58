"""Running the detector eagerly and compiled, with times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
from PIL import Image

import tripy as tp
from tripy.demo.boxes import Floats
from tripy.demo.detector import THRESHOLDS, Detection, Detector, Face, Network, Stage
from tripy.demo.networks import input_info, load_networks

PIXEL_TOLERANCE = 0.1
SCORE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Settings:
    min_face: int = 20
    min_score: float = 0.9
    repeat: int = 5


@dataclass(frozen=True)
class Built:
    """The networks in both forms, by name, and the seconds that compiling each one took."""

    eager: dict[str, Network]
    compiled: dict[str, Network]
    compile_seconds: list[float]
    description: str


@dataclass(frozen=True)
class Runs:
    """All detections of one photograph; the first of each kind is the first call."""

    eager: list[Detection]
    compiled: list[Detection]
    built: Built

    @property
    def faces(self) -> list[Face]:
        return self.compiled[0].faces


def build(engine: str | None) -> Built:
    """Loads the networks and compiles each of them once, for every size it will meet."""
    eager: dict[str, Network] = {}
    compiled: dict[str, Network] = {}
    seconds = []
    for name, network in load_networks()._asdict().items():
        start = time.perf_counter()
        executable = tp.compile(network, args=[input_info(name)], engine=engine)
        seconds.append(time.perf_counter() - start)
        eager[name] = _eager(network)
        compiled[name] = _compiled(executable)
    return Built(eager, compiled, seconds, f"{executable.engine} on {executable.device}")


def _eager(network: tp.Module) -> Network:
    return lambda images: np.asarray(network(tp.Tensor(images)))


def _compiled(executable: tp.Executable) -> Network:
    return lambda images: np.asarray(executable(images))


def run_both(
    photo: Image.Image, built: Built, settings: Settings, report: Callable[[Stage], object]
) -> Runs:
    """Detects repeatedly in both forms; ``report`` hears of the stages of the first run."""
    runs = Runs([], [], built)
    thresholds = THRESHOLDS | {"onet": settings.min_score}
    for networks, detections in ((built.eager, runs.eager), (built.compiled, runs.compiled)):
        for _ in range(1 + settings.repeat):
            detector = Detector(networks, settings.min_face, thresholds)
            detections.append(detector.detect(photo, report))
            report = _ignore
    return runs


def _ignore(stage: Stage) -> None:
    pass


def agreement(runs: Runs) -> tuple[bool, str]:
    """Whether the first eager and compiled run found the same faces, and a sentence on it."""
    eager, compiled = _rows(runs.eager[0].faces), _rows(runs.compiled[0].faces)
    if len(eager) != len(compiled):
        return False, f"eager and compiled differ: {len(eager)} and {len(compiled)} faces"
    # Faces of nearly equal score may change places, so every face is compared with its nearest.
    distances = np.abs(eager[:, None, 1:] - compiled[None, :, 1:]).max(axis=2)
    nearest = distances.argmin(axis=1) if len(eager) else np.empty(0, np.intp)
    pixels = distances.min(axis=1, initial=np.inf).max(initial=0.0)
    score = np.abs(eager[:, 0] - compiled[nearest, 0]).max(initial=0.0)
    same = bool(pixels <= PIXEL_TOLERANCE and score <= SCORE_TOLERANCE)
    verb = "agree" if same else "differ"
    return same, f"eager and compiled {verb}: within {pixels:.1e} pixels, {score:.1e} in score"


def _rows(faces: list[Face]) -> Floats:
    """Score, box and landmarks of every face in one row."""
    rows = [np.hstack([face.score, face.box, face.landmarks.ravel()]) for face in faces]
    return np.stack(rows) if rows else np.empty((0, 15))


def table(runs: Runs) -> str:
    """Milliseconds of every stage, first call and median of the later ones."""
    stages, compiling = runs.eager[0].stages, runs.built.compile_seconds
    columns = [
        ("", [*(stage.name for stage in stages), "resize, crop, NMS", "whole detection"]),
        ("calls", [*(str(stage.calls) for stage in stages), "", ""]),
        *_times("eager", runs.eager),
        *_times("compiled", runs.compiled),
        ("compiling", [*map(_ms, compiling), "", _ms(sum(compiling))]),
    ]
    cells = [[title, *values] for title, values in columns]
    widths = [max(map(len, column)) for column in cells]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in zip(*cells, strict=True)
    ]
    count = len(runs.eager) - 1
    title = f"Milliseconds for all calls; median of {count} runs after the first"
    title += f"; compiled for {runs.built.description}"
    note = "Eager work above tp.config.eager_threshold runs through an engine as well."
    return "\n".join([title, *lines, note])


def _times(title: str, detections: list[Detection]) -> list[tuple[str, list[str]]]:
    first, *later = [_seconds(detection) for detection in detections]
    medians = [median(values) for values in zip(*later, strict=True)]
    return [(f"{title}, first", [*map(_ms, first)]), (f"{title}, median", [*map(_ms, medians)])]


def _seconds(detection: Detection) -> list[float]:
    networks = [stage.seconds for stage in detection.stages]
    return [*networks, detection.seconds - sum(networks), detection.seconds]


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"
