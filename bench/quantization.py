"""int8 beside float32 on OpenVINO, on one machine and in one run.

The programs of a row have the same layers and weights; "int8" quantizes weights and inputs of its
layers, "int8 weights" only weights. They are sampled in turn, after each result was compared with
that of the reference engine for the same layers. A rounding on the other side of a tie moves a
result by a step, which the layers behind it see: hence the wide limit for int8.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import foundation
import harness
import numpy as np
from harness import Array, Contestant, Goal, Row

import tripy as tp

FLOAT, INT8, WEIGHTS = "float32", "int8", "int8 weights"
ERROR_LIMITS = {FLOAT: 1e-4, INT8: 1e-2, WEIGHTS: 1e-4}
INPUT_SCALE = 0.03
Make = Callable[..., Any]


class Residual(tp.Module):
    """Two convolutions and the sum with the input."""

    def __init__(self, channels: int, **options: Any) -> None:
        self.first = tp.Conv(channels, channels, (3, 3), padding=1, **options)
        self.second = tp.Conv(channels, channels, (3, 3), padding=1, **options)

    def forward(self, input: tp.Tensor) -> tp.Tensor:
        return tp.relu(self.second(tp.relu(self.first(input))) + input)


def network(width: int, **options: Any) -> tp.Sequential:
    """A small image classifier."""
    return tp.Sequential(
        tp.Conv(3, width, (7, 7), padding=3, stride=2, **options),
        tp.relu,
        lambda x: tp.maxpool(x, (3, 3), 2, 1),
        Residual(width, **options),
        Residual(width, **options),
        tp.Conv(width, 2 * width, (3, 3), padding=1, stride=2, **options),
        tp.relu,
        Residual(2 * width, **options),
        Residual(2 * width, **options),
        lambda x: tp.mean(x, (2, 3)),
        tp.Linear(2 * width, 1000, **options),
    )


def perceptron(width: int, **options: Any) -> tp.Sequential:
    """Three fully connected layers."""
    layers = (tp.Linear(width, width, **options) for _ in range(3))
    return tp.Sequential(*(member for layer in layers for member in (layer, tp.relu)))


def cases(quick: bool) -> dict[str, tuple[Make, tuple[int, ...]]]:
    """Name of a row -> what makes the module, and the shape of its input."""
    c, side, wide = (4, 8, 8) if quick else (64, 56, 1024)
    conv = partial(tp.Conv, c, c, (3, 3), padding=1)
    batches = (1, 16) if quick else (1, 16, 256)
    return {
        f"conv 3x3, {c} to {c}, 1x{c}x{side}x{side}": (conv, (1, c, side, side)),
        f"conv 1x1, {c} to {4 * c}, 1x{c}x{side}x{side}": (
            partial(tp.Conv, c, 4 * c, (1, 1)),
            (1, c, side, side),
        ),
        f"depthwise 3x3, 1x{c}x{side}x{side}": (partial(conv, groups=c), (1, c, side, side)),
        **{
            f"linear, {n}x{wide} to {wide}": (partial(tp.Linear, wide, wide), (n, wide))
            for n in batches
        },
        f"3 x (linear, relu), {batches[1]}x{wide}": (
            partial(perceptron, wide),
            (batches[1], wide),
        ),
        f"8 residual convolutions, 1x3x{4 * side}x{4 * side}": (
            partial(network, c),
            (1, 3, 4 * side, 4 * side),
        ),
    }


def fill(module: tp.Module, rng: np.random.Generator, quantizes_inputs: bool) -> None:
    """Random weights that keep magnitudes, and scales that cover them."""
    for name, parameter in list(module.named_parameters()):
        shape = parameter.shape
        if name == "weight":
            weight = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
            module.weight = weight.astype(np.float32)
            largest = np.abs(weight).reshape(shape[0], -1).max(1)
        elif name == "bias":
            module.bias = rng.standard_normal(shape).astype(np.float32)
    if getattr(module, "quant_dtype", None) is not None:
        module.weight_scale = (largest / 127).astype(np.float32)
        module.input_scale = INPUT_SCALE if quantizes_inputs else None
    for _, child in module.named_children():
        fill(child, rng, quantizes_inputs)


def contestant(name: str, make: Make, x: Array) -> tuple[Contestant, Array]:
    """The compiled module of one kind, and the result that the reference engine gives."""
    quantized = {"quant_dtype": tp.int8, "weight_quant_dim": 0}
    module = make(**({} if name == FLOAT else quantized))
    fill(module, np.random.default_rng(1), name == INT8)
    info = [tp.InputInfo(x.shape, tp.float32)]
    program = tp.compile(module, args=info, engine="openvino")
    expected = tp.compile(module, args=info, engine="reference")(x).numpy()
    return Contestant(name, partial(program, x)), expected.astype(np.float64)


def measure(name: str, make: Make, shape: tuple[int, ...], rounds: int) -> Row:
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    names = [INT8, FLOAT] + [WEIGHTS] * name.startswith("linear")
    pairs = [contestant(kind, make, x) for kind in names]
    errors: dict[str, float] = {}
    for one, expected in pairs:
        errors |= harness.check([one], expected, ERROR_LIMITS[one.name])
    samples = harness.measure([one for one, _ in pairs], rounds)
    goals = [Goal(INT8, 1.0, FLOAT)] + [Goal(WEIGHTS, 1.0, FLOAT)] * (WEIGHTS in names)
    return Row(name, samples, goals, errors)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=25, help="rounds of each row")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--note", help="a remark for the report")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    foundation.prepare(options.threads)
    command = shlex.join(["python", "bench/quantization.py", *arguments])
    machine = harness.describe_machine(options.threads)
    rounds = 2 if options.quick else options.repeats
    rows = []
    for name, (make, shape) in cases(options.quick).items():
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        rows.append(measure(name, make, shape, rounds))
    remarks = [*([options.note] if options.note else []), *harness.notes(rows)]
    listed = "\n".join(f"- {remark}" for remark in remarks)
    origin = f"{harness.header(machine)}\nMade by `{command}`."
    text = f"{origin}\n\n{harness.table(rows)}\n\n{listed}\n"
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    if options.json:
        record = {"machine": machine, "command": command, "rows": harness.as_json(rows)}
        options.json.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
