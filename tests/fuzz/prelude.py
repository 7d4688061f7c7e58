"""What the source of a program calls to make its elements; findings print what they need of it."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

import tripy as tp


def array(seed: int, shape: tuple[int, ...], kind: str, dtype: str) -> Any:
    """Random elements, the same for the same arguments."""
    r = np.random.default_rng(seed)
    if kind == "special":
        x = np.where(r.random(shape) < 0.8, r.standard_normal(shape), 0.0)
        x = np.where(r.random(shape) < 0.1, r.choice([np.inf, -np.inf, np.nan, -0.0], shape), x)
    elif kind.isdigit():  # indices below that number
        x = r.integers(0, int(kind), shape)
    else:
        x = {
            "normal": lambda: r.standard_normal(shape),
            "positive": lambda: r.uniform(0.25, 2, shape),
            "halves": lambda: r.integers(-6, 7, shape) / 2,
            "weight": lambda: r.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5,
            "small": lambda: r.integers(-5, 6, shape),
            "wide": lambda: r.integers(-(2**31), 2**31, shape) >> r.integers(0, 31, shape),
            "natural": lambda: r.integers(0, 6, shape),
            "bits": lambda: r.integers(0, 2, shape),
        }[kind]()
    return np.asarray(x).astype(getattr(ml_dtypes, dtype, dtype))


def constant(seed: int, shape: tuple[int, ...], kind: str, dtype: str) -> tp.Tensor:
    """A tensor of such elements."""
    return tp.Tensor(array(seed, shape, kind, dtype))


def filled(seed: int, module: Any, input_scale: float | None = None) -> Any:
    """A module with random weights, and with scales that fit them if it is quantized."""
    r, made = np.random.default_rng(seed), {}
    for name, old in module.state_dict().items():
        shape, kind = tuple(old.shape), getattr(ml_dtypes, old.dtype.name, old.dtype.name)
        w = r.standard_normal(shape) / max(1, np.prod(shape[1:])) ** 0.5
        w = np.abs(w) + 0.25 if name == "running_var" else w
        if name == "weight_scale":
            w, dim = np.abs(made["weight"].astype("float64")), module.weight_quant_dim
            beside = tuple(i for i in range(w.ndim) if dim is None or i != dim % w.ndim)
            w = np.maximum(w.max(beside), 1e-3) / (7 if module.quant_dtype is tp.int4 else 127)
        made[name] = np.asarray(w).astype(kind)
    module.load_state_dict(made)
    if input_scale is not None:
        module.input_scale = input_scale
    return module
