"""tripy beside OpenVINO's own API, torch and NumPy, on one machine and in one run.

Everybody in a row is sampled in turn (A B C, B C A, ...), with the same number of threads, in
float32, after its result was compared with a float64 one. A goal is judged by the ratio of the
medians. Fewer busy cores than threads mean that something else ran on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import harness
import models
import numpy as np
import peers
from harness import Array, Contestant, Goal, Row, Sample, Sampler, Samples

import tripy as tp

try:
    import torch_peers
except ImportError:
    torch_peers = None  # type: ignore[assignment]

MICROSECOND = 1e-6
ERROR_LIMIT = 1e-4  # bfloat16 arithmetic would give 2e-3
TRIPY, EAGER, LOADED = "tripy", "tripy eager", "tripy, loading a saved one"

CONVS = (
    peers.ConvCase("conv 3x3, 64 to 64, 1x64x56x56", (1, 64, 56, 56), 64, 3, padding=1),
    peers.ConvCase(
        "conv 7x7/2, 3 to 64, 1x3x224x224", (1, 3, 224, 224), 64, 7, padding=3, stride=2
    ),
    peers.ConvCase("depthwise 3x3, 1x96x56x56", (1, 96, 56, 56), 96, 3, padding=1, groups=96),
)
QUICK_CONVS = (
    peers.ConvCase("conv 3x3 (quick)", (1, 4, 8, 8), 6, 3, padding=1),
    peers.ConvCase("depthwise 3x3 (quick)", (1, 4, 8, 8), 4, 3, padding=1, stride=2, groups=4),
)


@dataclass(frozen=True)
class Settings:
    """What the command line says, and the sizes that follow from it."""

    rounds: int
    threads: int
    quick: bool
    patience: float = 0.0

    @property
    def convs(self) -> tuple[peers.ConvCase, ...]:
        return QUICK_CONVS if self.quick else CONVS

    @property
    def width(self) -> int:
        return 8 if self.quick else models.WIDTH

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        side = 32 if self.quick else 224
        return (1, 3, side, side)

    @property
    def compile_rounds(self) -> int:
        return min(self.rounds, 10)

    @property
    def import_rounds(self) -> int:
        return 2 if self.quick else max(self.rounds, 20)

    @property
    def calls(self) -> int:
        """Calls per sample where one call takes microseconds."""
        return 20 if self.quick else 2000


def executable(function: Callable[..., Any], x: Array) -> Contestant:
    """tripy compiled for the shape of `x`, called with the NumPy array as a user would."""
    compiled = tp.compile(function, args=[tp.InputInfo(x.shape, tp.float32)])
    return Contestant(TRIPY, partial(compiled, x))


def torch_compiled(module: Any, x: Array, settings: Settings, **options: bool) -> Any:
    """torch.compile's contestant and the seconds of its first call, or nothing and the reason."""
    if settings.quick:
        return None, "torch.compile skipped: --quick."
    try:
        return torch_peers.compiled(module, x, **options)
    except Exception as error:  # a missing C++ compiler shows as one of many classes
        return None, f"torch.compile skipped: {type(error).__name__}: {str(error).splitlines()[0]}"


# Rows


def conv_rows(settings: Settings) -> Iterator[Row]:
    generator = np.random.default_rng(1)
    for case in settings.convs:
        image, weight, bias = case.arrays(generator)
        expected = peers.conv_float64(
            *(image, weight, bias), padding=case.padding, stride=case.stride, groups=case.groups
        )
        contestants, notes = conv_contestants(case, image, weight, bias, settings)
        errors = harness.check(contestants, expected, ERROR_LIMIT)
        samples = harness.measure(contestants, settings.rounds, patience=settings.patience)
        goals = [Goal(TRIPY, 1.05, "OpenVINO")]
        yield Row(case.name, samples, goals, errors, notes=notes)


def conv_contestants(
    case: peers.ConvCase, image: Array, weight: Array, bias: Array, settings: Settings
) -> tuple[list[Contestant], list[str]]:
    engine = peers.OpenVINO(settings.threads)
    contestants = [
        executable(tripy_conv(case, weight, bias), image),
        engine.contestant(peers.openvino_conv(case, weight, bias), image),
    ]
    if torch_peers is None:
        return contestants, []
    torch_peers.forget_compiled()
    module = torch_peers.conv(case, weight, bias)
    compiled, remark = torch_compiled(module, image, settings)
    contestants.append(torch_peers.eager(module, image))
    return (contestants, [remark]) if compiled is None else ([*contestants, compiled], [])


def tripy_conv(case: peers.ConvCase, weight: Array, bias: Array) -> tp.Module:
    conv = tp.Conv(
        *(case.in_channels, case.out_channels, (case.kernel, case.kernel)),
        padding=case.padding,
        stride=(case.stride, case.stride),
        groups=case.groups,
    )
    conv.load_state_dict({"bias": bias, "weight": weight})
    return conv


@dataclass(frozen=True)
class Network:
    """ResNet-50 for everybody, with one image."""

    settings: Settings
    weights: models.Weights
    image: Array
    tripy: models.ResNet50
    engine: peers.OpenVINO

    @classmethod
    def make(cls, settings: Settings) -> Network:
        image = np.random.default_rng(2).normal(size=settings.image_shape).astype(np.float32)
        weights = models.resnet50_weights(width=settings.width)
        model = models.resnet50(weights, settings.width)
        return cls(settings, weights, image, model, peers.OpenVINO(settings.threads))

    def openvino_graph(self) -> Any:
        return peers.openvino_resnet50(self.weights, self.image, self.settings.width)

    def expected(self) -> Array:
        layers = peers.Float64Layers(self.weights)
        return peers.ResNet50(layers, self.settings.width)(self.image.astype(np.float64))

    def tripy_eager(self) -> Contestant:
        return Contestant(EAGER, lambda: self.tripy(tp.Tensor(self.image)).eval())

    def torch_contestants(self) -> tuple[list[Contestant], dict[str, float], list[str]]:
        """Contestants, seconds of the first calls, remarks."""
        if torch_peers is None:
            return [], {}, []
        torch_peers.forget_compiled()
        module = torch_peers.resnet50(self.weights, self.settings.width)
        contestants, first_calls, notes = [torch_peers.eager(module, self.image)], {}, []
        for freezing in (False, True):
            compiled, result = torch_compiled(module, self.image, self.settings, freezing=freezing)
            if compiled is None:
                notes.append(result)
            else:
                contestants.append(compiled)
                first_calls[f"{compiled.name}, first call"] = result
        return contestants, first_calls, notes


def resnet_rows(settings: Settings) -> Iterator[Row]:
    network = Network.make(settings)
    others, first_calls, notes = network.torch_contestants()
    contestants = [
        executable(network.tripy, network.image),
        network.engine.contestant(network.openvino_graph(), network.image),
        *others,
        network.tripy_eager(),
    ]
    errors = harness.check(contestants, network.expected(), ERROR_LIMIT)
    samples = harness.measure(contestants, settings.rounds, patience=settings.patience)
    goals = [
        Goal(TRIPY, 1.05, "OpenVINO"),
        *(Goal(TRIPY, 1.0, other.name) for other in others),
        Goal(EAGER, 1.3, TRIPY),
    ]
    shape = "x".join(map(str, settings.image_shape))
    yield Row(f"ResNet-50, {shape}", samples, goals, errors, notes=list(dict.fromkeys(notes)))
    yield compile_row(network, first_calls)


def compile_row(network: Network, first_calls: dict[str, float]) -> Row:
    """Compiling from scratch, and loading what was saved.

    Building OpenVINO's graph is a line of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        return compiled_and_loaded(network, first_calls, Path(folder) / "resnet50.tripy")


def compiled_and_loaded(network: Network, first_calls: dict[str, float], path: Path) -> Row:
    graphs = [network.openvino_graph()]
    info = tp.InputInfo(network.image.shape, tp.float32)

    def rebuild() -> None:
        graphs[0] = network.openvino_graph()

    tp.compile(network.tripy, args=[info]).save(path)
    samplers: dict[str, Sampler] = {
        TRIPY: harness.single(lambda: tp.compile(network.tripy, args=[info])),
        LOADED: harness.single(lambda: tp.Executable.load(path)),
        "OpenVINO, graph building": harness.single(rebuild),
        "OpenVINO": harness.single(lambda: network.engine.compile(graphs[0])),
    }
    samples = harness.interleave(samplers, network.settings.compile_rounds)
    samples |= {name: Samples.of([Sample(seconds)]) for name, seconds in first_calls.items()}
    goals = [Goal(TRIPY, 1.5, "OpenVINO"), Goal(LOADED, 1 / 3, TRIPY)]
    return Row("ResNet-50, compile", samples, goals)


def call_rows(settings: Settings) -> Iterator[Row]:
    x = np.random.default_rng(3).normal(size=4).astype(np.float32)
    engine = peers.OpenVINO(settings.threads)
    contestants = [
        executable(lambda x: x + 1, x),
        engine.contestant(peers.openvino_increment(x.size), x),
    ]
    errors = harness.check(contestants, x.astype(np.float64) + 1, ERROR_LIMIT)
    samples = harness.measure(contestants, settings.rounds, settings.calls, settings.patience)
    goals = [Goal(TRIPY, 15 * MICROSECOND, "OpenVINO", "difference")]
    yield Row("one call of x + 1, shape (4,)", samples, goals, errors)


def eager_rows(settings: Settings) -> Iterator[Row]:
    arrays = [np.random.default_rng(4 + i).normal(size=(4, 4)).astype(np.float32) for i in range(3)]
    a, b, c = arrays
    x, y, z = (tp.Tensor(array).eval() for array in arrays)
    others = torch_peers.small_operations(a, b, c) if torch_peers else {}

    def row(name: str, limit: float, expected: Array, calls: dict[str, Callable[[], Any]]) -> Row:
        calls |= {"torch eager": others[name]} if others else {}
        contestants = [Contestant(who, call) for who, call in calls.items()]
        errors = harness.check(contestants, expected, ERROR_LIMIT)
        samples = harness.measure(contestants, settings.rounds, settings.calls, settings.patience)
        goals = [Goal(EAGER, limit, kind="time")]
        return Row(f"eager, {name}, 4x4", samples, goals, errors)

    wide = [array.astype(np.float64) for array in arrays]
    two = {EAGER: lambda: ((x + y) * z).eval(), "NumPy": lambda: (a + b) * c}
    one = {EAGER: lambda: x + y, "NumPy": lambda: a + b}
    yield row("two operations", 100 * MICROSECOND, (wide[0] + wide[1]) * wide[2], two)
    yield row("one operation", 20 * MICROSECOND, wide[0] + wide[1], one)


IMPORT_PROGRAM = """
import sys, time
start = time.perf_counter()
import {}
print(time.perf_counter() - start, *({{"openvino", "jax", "torch"}} & set(sys.modules)))
"""


def import_in_child(modules: str) -> list[str]:
    """Seconds that the import takes in a fresh interpreter, then the engines it loaded."""
    command = [sys.executable, "-c", IMPORT_PROGRAM.format(modules)]
    root = str(Path(tp.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": ""}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return child.stdout.split()


def import_rows(settings: Settings) -> Iterator[Row]:
    statements = {"import tripy": "tripy", "import numpy, ml_dtypes": "numpy, ml_dtypes"}
    samplers: dict[str, Sampler] = {
        name: lambda modules=modules: Sample(float(import_in_child(modules)[0]))  # type: ignore[misc]
        for name, modules in statements.items()
    }
    samples = harness.interleave(samplers, settings.import_rounds)
    checks = {"no engine imported": not import_in_child("tripy")[1:]}
    ours, theirs = statements
    yield Row("import, fresh interpreter", samples, [Goal(ours, 1.5, theirs)], {}, checks)


Groups = dict[str, Callable[[Settings], Iterator[Row]]]
ROWS: Groups = {
    "conv": conv_rows,
    "resnet": resnet_rows,
    "call": call_rows,
    "eager": eager_rows,
    "import": import_rows,
}


# Command line


def parse(arguments: list[str], program: str, groups: Groups) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog=program)
    parser.add_argument("--repeats", type=int, default=30, help="rounds per row (default 30)")
    parser.add_argument("--threads", type=int, default=2, help="threads for everybody (default 2)")
    parser.add_argument(
        "--patience",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="wait up to this long before each round until the machine is idle (default 0)",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every sample")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, to see that it runs")
    parser.add_argument(
        "--rows", nargs="+", choices=groups, default=list(groups), help="only these"
    )
    return parser.parse_args(arguments)


def prepare(threads: int) -> None:
    """The same threads for everybody, and no program taken from tripy's disk cache."""
    tp.config.num_threads = threads
    if hasattr(tp.config, "cache_size"):
        tp.config.cache_size = 0
    if torch_peers:
        torch_peers.set_threads(threads)


def run(names: list[str], settings: Settings, groups: Groups) -> tuple[list[Row], int]:
    """All rows, and how many groups of rows failed; a failure is printed and the rest goes on."""
    rows: list[Row] = []
    failures = 0
    with torch_peers.inference() if torch_peers else nullcontext():
        for name in names:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            try:
                rows.extend(groups[name](settings))
            except Exception:  # reported in full; the other rows are still worth having
                traceback.print_exc()
                failures += 1
    return rows, failures


def markdown(machine: dict[str, Any], command: str, rows: list[Row]) -> str:
    missing = [] if torch_peers else ["torch is not installed; it is left out of every row."]
    remarks = "\n".join(f"- {note}" for note in [*missing, *harness.notes(rows)])
    origin = f"{harness.header(machine)}\nMade by `{command}`."
    return f"{origin}\n\n{harness.table(rows)}\n\n{remarks}\n"


def main(arguments: list[str], program: str = "bench/foundation.py", groups: Groups = ROWS) -> int:
    options = parse(arguments, program, groups)
    rounds = 2 if options.quick else options.repeats
    settings = Settings(rounds, options.threads, options.quick, options.patience)
    prepare(settings.threads)
    command = shlex.join(["python", program, *arguments])
    machine = harness.describe_machine(settings.threads)
    rows, failures = run(options.rows, settings, groups)
    text = markdown(machine, command, rows)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json:
        record = {"machine": machine, "command": command, "rows": harness.as_json(rows)}
        options.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
