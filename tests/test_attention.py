"""Attention, normalisations and embeddings as modules, beside torch's with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp

PROJECTIONS = ("q_proj", "k_proj", "v_proj")


@pytest.fixture
def nn() -> Any:
    return pytest.importorskip("torch").nn


def random_weights(module: tp.Module, rng: np.random.Generator) -> dict[str, Any]:
    """New values for all parameters, which the module gets."""
    shapes = {name: tensor.shape for name, tensor in module.state_dict().items()}
    weights = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    assert module.load_state_dict(weights) == (set(), set())
    return weights


def in_torch(module: Any, weights: dict[str, Any], *arrays: Any, **options: Any) -> Any:
    """The result of a torch module with these weights, computed in float64."""
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    module.load_state_dict(tensors)
    with torch.no_grad():
        wide = [torch.from_numpy(array).double() for array in arrays]
        return module.double()(*wide, **options)


def compiled(module: tp.Module, *arrays: Any, **options: Any) -> Any:
    """The result of an executable whose batch size is dynamic."""
    batch = tp.NamedDimension("batch", 1, 4, 8)
    infos = [tp.InputInfo((batch, *a.shape[1:]), tp.float32) for a in arrays]
    return tp.compile(module, args=infos, kwargs=options, engine="openvino")(*arrays).numpy()


NORMS: dict[str, tuple[Any, str, tuple[Any, ...], dict[str, Any]]] = {
    "LayerNorm": (tp.LayerNorm(5, eps=1e-12), "LayerNorm", (5,), {"eps": 1e-12}),
    "LayerNorm of two dims": (tp.LayerNorm((4, 5)), "LayerNorm", ((4, 5),), {}),
    "RMSNorm": (tp.RMSNorm((4, 5), eps=1e-6), "RMSNorm", ((4, 5),), {"eps": 1e-6}),
    "GroupNorm": (tp.GroupNorm(3, 6), "GroupNorm", (3, 6), {}),
    "InstanceNorm": (tp.InstanceNorm(6), "InstanceNorm2d", (6,), {"affine": True}),
}


@pytest.mark.parametrize("name", NORMS)
def test_normalisations_are_those_of_torch(name: str, nn: Any, rng: np.random.Generator) -> None:
    module, theirs, arguments, options = NORMS[name]
    weights = random_weights(module, rng)
    x = (3 * rng.normal(size=(2, 6, 4, 5)) + 1).astype(np.float32)
    expected = in_torch(getattr(nn, theirs)(*arguments, **options), weights, x).numpy()
    for result in (module(tp.Tensor(x)).numpy(), compiled(module, x)):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def torch_weights(weights: dict[str, Any]) -> dict[str, Any]:
    """torch keeps the three projections in one array."""
    joined = {
        f"in_proj_{kind}": np.concatenate([weights[f"{p}.{kind}"] for p in PROJECTIONS])
        for kind in ("weight", "bias")
    }
    return joined | {n: w for n, w in weights.items() if n.startswith("out_proj")}


@pytest.mark.parametrize("kind", ["plain", "memory", "bool mask", "float mask", "causal"])
def test_attention_is_that_of_torch(kind: str, nn: Any, rng: np.random.Generator) -> None:
    import torch

    module = tp.MultiHeadAttention(12, 3)
    weights = random_weights(module, rng)
    x, memory = (rng.normal(size=(2, n, 12)).astype(np.float32) for n in (5, 7))
    arrays = [x, memory, memory] if kind in ("memory", "bool mask") else [x, x, x]
    length = arrays[1].shape[1]
    masks = {
        "bool mask": rng.random((5, length)) < 0.7,
        "float mask": rng.normal(size=(5, length)).astype(np.float32),
    }
    mask = masks.get(kind)
    if kind == "bool mask":
        mask[:, 0] = True
    # In torch a mask says what is not seen.
    theirs: Any = ~mask if kind == "bool mask" else mask
    theirs = ~np.tri(5, length, dtype=bool) if kind == "causal" else theirs
    theirs = mask.astype(np.float64) if kind == "float mask" else theirs
    options = {} if theirs is None else {"attn_mask": torch.from_numpy(theirs)}
    expected = in_torch(
        nn.MultiheadAttention(12, 3, batch_first=True), torch_weights(weights), *arrays, **options
    )[0].numpy()
    given = {"is_causal": True} if kind == "causal" else {}
    given |= {} if mask is None else {"attn_mask": tp.Tensor(mask)}
    tensors = [tp.Tensor(array) for array in (arrays if kind == "memory" else arrays[:2])]
    for result in (module(*tensors, **given).numpy(), compiled(module, *arrays[:2], **given)):
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_shared_heads_serve_neighbouring_query_heads(rng: np.random.Generator) -> None:
    shared, full = tp.MultiHeadAttention(12, 6, num_kv_heads=2), tp.MultiHeadAttention(12, 6)
    weights = random_weights(shared, rng)
    assert weights["k_proj.weight"].shape == (4, 12)
    for name in ("k_proj", "v_proj"):
        for kind in ("weight", "bias"):
            heads = weights[f"{name}.{kind}"].reshape(2, 2, -1)
            repeated = np.repeat(heads, 3, axis=0)
            weights[f"{name}.{kind}"] = repeated.reshape((12, 12) if kind == "weight" else 12)
    full.load_state_dict(weights)
    x = rng.normal(size=(2, 5, 12)).astype(np.float32)
    expected = full(tp.Tensor(x)).numpy()
    for result in (shared(tp.Tensor(x)).numpy(), compiled(shared, x)):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_names_of_the_parameters_of_attention() -> None:
    names = list(tp.MultiHeadAttention(4, 2).state_dict())
    assert names[:3] == ["q_proj.weight", "q_proj.bias", "k_proj.weight"]
    assert not any("bias" in name for name in tp.MultiHeadAttention(4, 2, bias=False).state_dict())


@pytest.mark.parametrize(
    ("module", "attributes"),
    [
        (tp.LayerNorm(3, eps=0.5), {"normalized_shape": (3,), "eps": 0.5, "dtype": tp.float32}),
        (tp.RMSNorm([2, 3], tp.float16), {"normalized_shape": (2, 3), "dtype": tp.float16}),
        (tp.GroupNorm(2, 4), {"num_groups": 2, "num_channels": 4, "eps": 1e-5}),
        (tp.InstanceNorm(4), {"num_channels": 4, "eps": 1e-5}),
        (tp.MultiHeadAttention(4, 2), {"embed_dim": 4, "num_heads": 2, "num_kv_heads": 2}),
        (tp.Embedding(4, 2), {"dtype": tp.float32}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_arguments_are_frozen_attributes(module: tp.Module, attributes: dict[str, Any]) -> None:
    for name, value in attributes.items():
        assert getattr(module, name) == value
        with pytest.raises(tp.TripyAttributeError, match="frozen"):
            setattr(module, name, value)


def test_halves_are_rounded_once(rng: np.random.Generator) -> None:
    """Large means cost a half all its bits unless statistics are taken in float32."""
    x = (1000 + rng.normal(size=(4, 64))).astype(np.float16)
    norm = tp.LayerNorm(64, tp.float16, eps=0.0)
    norm.weight, norm.bias = np.ones(64, np.float16), np.zeros(64, np.float16)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / wide.std(-1, keepdims=True)
    got = norm(tp.Tensor(x)).numpy().astype(np.float64)
    assert np.abs(got - expected).max() <= 2.0**-11 * np.abs(expected).max() + 1e-6


def hidden(rng: np.random.Generator, *shape: int) -> Any:
    """A bool mask that hides all keys from the first row."""
    mask = rng.random(shape) < 0.6
    mask[0, ..., 0, :] = False
    return mask


MASKS: dict[str, Callable[[np.random.Generator], Any]] = {
    "keys": lambda rng: hidden(rng, 3, 1, 1, 48),
    "pairs": lambda rng: hidden(rng, 3, 4, 48, 48),
    "scores": lambda rng: np.where(hidden(rng, 3, 1, 48, 48), 0.5, -np.inf).astype(np.float32),
}


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_fused_kernels_mask_as_the_reference(
    mask: str, dynamic: bool, is_causal: bool, rng: np.random.Generator
) -> None:
    """Sizes at which OpenVINO takes its kernel for whole chains."""
    arrays = [rng.normal(size=(3, 4, 48, 32)).astype(np.float32) for _ in "qkv"]
    arrays.append(MASKS[mask](rng))
    length = tp.NamedDimension("length", 1, 16, 64) if dynamic else 48

    def attend(q: tp.Tensor, k: tp.Tensor, v: tp.Tensor, m: tp.Tensor) -> tp.Tensor:
        return tp.scaled_dot_product_attention(q, k, v, m, is_causal)

    infos = [
        tp.InputInfo(tuple(length if n == 48 else n for n in a.shape), tp.Tensor(a).dtype)
        for a in arrays
    ]
    expected = tp.compile(attend, args=infos, engine="reference")(*arrays).numpy()
    got = tp.compile(attend, args=infos, engine="openvino")(*arrays).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert (got[0, :, 0] == 0).all()
    assert (got[1] != 0).any()


def test_lengths_that_differ_are_found_at_the_call() -> None:
    def attend(query: tp.Tensor, key: tp.Tensor, mask: tp.Tensor) -> tp.Tensor:
        return tp.scaled_dot_product_attention(query, key, key, mask)

    sizes = [(1, 4, 9), (1, 5, 9), (1, 5, 9)]
    queries, keys, columns = sizes
    infos = [
        tp.InputInfo((queries, 2), tp.float32),
        tp.InputInfo((keys, 2), tp.float32),
        tp.InputInfo((columns,), tp.bool),
    ]
    executable = tp.compile(attend, args=infos)
    arrays = [np.ones((4, 2), np.float32), np.ones((5, 2), np.float32)]
    assert executable(*arrays, np.ones(1, bool)).shape == (4, 2)
    assert (executable(*arrays, np.zeros(5, bool)).numpy() == 0).all()
    with pytest.raises(tp.TripyShapeError, match="broadcasts to the scores"):
        executable(*arrays, np.ones(4, bool))
