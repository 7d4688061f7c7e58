"""The command line of the demo: arguments, photographs in, annotated photographs out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tripy as tp
from tripy.demo.detector import LANDMARKS, Face, Stage
from tripy.demo.photos import PhotoError, annotate, astronaut, read_photo
from tripy.demo.runs import Runs, Settings, agreement, build, run_both, table
from tripy.demo.weights import WeightsError

# What the user can put right; the message alone is shown.
FAILURES = (
    PhotoError,
    WeightsError,
    tp.TripyDeviceError,
    tp.TripyImportError,
    tp.TripyUnsupportedError,
)


def run(argv: Sequence[str] | None) -> int:
    """0: done; 1: eager and compiled faces differ; 2: nothing could be done."""
    arguments = parse(argv)
    try:
        photos = [read_photo(path) for path in arguments.photos] or [astronaut()]
        outputs = output_paths(arguments.photos or [Path("astronaut")], arguments.output)
        settings = Settings(arguments.min_face, arguments.min_score, arguments.repeat)
        print("Compiling the three networks ...", flush=True)
        networks = build(arguments.engine)
        agreed = True
        for photo, output in zip(photos, outputs, strict=True):
            print(f"\n{output.stem}: {photo.width} x {photo.height} pixels", flush=True)
            runs = run_both(photo, networks, settings, print_stage)
            agreed &= print_runs(runs)
            write(output, annotate(photo, runs.faces).save)
    except FAILURES as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0 if agreed else 1


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tripy demo",
        description="Find faces with the three networks of MTCNN, eagerly and compiled.",
    )
    add = parser.add_argument
    add(
        "photos",
        nargs="*",
        type=Path,
        metavar="PHOTO",
        help="image files (default: the portrait that comes with scikit-image)",
    )
    add(
        "--output",
        type=Path,
        metavar="PATH",
        help="PNG to write, or a folder (default: NAME-faces.png here)",
    )
    add(
        "--min-face",
        type=at_least(12),
        default=20,
        metavar="N",
        help="smallest face to look for, in pixels (default: %(default)s)",
    )
    add(
        "--min-score",
        type=float,
        default=0.9,
        metavar="S",
        help="lowest score of a face (default: %(default)s)",
    )
    add(
        "--repeat",
        type=at_least(1),
        default=5,
        metavar="N",
        help="runs after the first, for the times (default: %(default)s)",
    )
    add(
        "--engine",
        choices=("openvino", "xla", "reference"),
        help="engine of the compiled networks (default: the best one here)",
    )
    return parser.parse_args(argv)


def at_least(minimum: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        if int(text) < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}")
        return int(text)

    return integer


def output_paths(photos: Sequence[Path], output: Path | None) -> list[Path]:
    """One PNG for each photograph; photographs of one name are numbered."""
    if output is not None and len(photos) == 1 and not output.is_dir():
        return [output]
    stems = [photo.stem for photo in photos]
    copies = [stems[:i].count(stem) for i, stem in enumerate(stems)]
    names = [f"{s}-faces{f'-{n + 1}' if n else ''}.png" for s, n in zip(stems, copies, strict=True)]
    return [(output or Path()) / name for name in names]


def write(path: Path, save: Callable[[Path, str], None]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, "PNG")
    except OSError as error:
        raise PhotoError(f"{path}: cannot be written ({error})") from error
    print(f"Written: {path}")


def print_stage(stage: Stage) -> None:
    print(f"  {stage.name}: {stage.entering} -> {stage.leaving} candidates", flush=True)


def print_runs(runs: Runs) -> bool:
    """Faces, times and whether eager and compiled agree, which is also the result."""
    print(f"{len(runs.faces) or 'no'} face{'s' * (len(runs.faces) != 1)} found")
    for number, face in enumerate(runs.faces, 1):
        print_face(number, face)
    same, text = agreement(runs)
    print(text)
    print(table(runs))
    return same


def print_face(number: int, face: Face) -> None:
    left, top, right, bottom = face.box.tolist()
    print(
        f"  face {number}: score {face.score:.4f}, box from ({left:.1f}, {top:.1f})"
        f" to ({right:.1f}, {bottom:.1f})"
    )
    for name, (x, y) in zip(LANDMARKS, face.landmarks.tolist(), strict=True):
        print(f"    {name}: ({x:.1f}, {y:.1f})")
