"""Quantization: the contract's examples, oracles in float64, the layers and integer kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tripy as tp
from tripy.engines.openvino import core
from tripy.engines.openvino_processor import adds_bytes_exactly
from tripy.verify import compare

Array = np.ndarray[Any, np.dtype[Any]]
LIMITS = {"int8": (-128, 127), "int4": (-8, 7)}
KINDS = [tp.int8, tp.int4, tp.float8]
torch: Any = pytest.importorskip("torch")


def arrays(*shapes: tuple[int, ...], seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def elementwise(x: Array, scale: Callable[[tuple[int, ...]], float], kind: str) -> Array:
    """Quantized one element after the other, in float64."""
    low, high = LIMITS[kind]
    result = np.empty(x.shape)
    for place in np.ndindex(*x.shape):
        result[place] = min(max(round(float(x[place]) / scale(place)), low), high)
    return result


# The functions ----------------------------------------------------------------------------------


def test_blocks_of_the_contract() -> None:
    x = tp.Tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
    q = tp.quantize(x, [[1, 2], [0.5, 1]], tp.int4)
    assert q.dtype is tp.int4
    assert q.tolist() == [[0, 0], [2, 2], [7, 5], [7, 7]]
    back = tp.dequantize(q, [[1, 2], [0.5, 1]], tp.float32)
    assert back.tolist() == [[0, 0], [2, 4], [3.5, 5], [3.5, 7]]


def test_ties_saturation_and_nan() -> None:
    x = tp.Tensor([0.5, 1.5, 2.5, -300.0, 300.0, float("nan"), float("inf"), float("-inf")])
    assert tp.quantize(x, 1, tp.int8).tolist() == [0, 2, 2, -128, 127, 0, 127, -128]
    assert tp.quantize(x, 1, tp.int4).tolist() == [0, 2, 2, -8, 7, 0, 7, -8]
    floats = tp.quantize(x * 2.0, 1, tp.float8).numpy().astype(float)
    np.testing.assert_array_equal(floats, [1, 3, 5, -448, 448, np.nan, 448, -448])


@pytest.mark.parametrize("engine", ["reference", "openvino"])
@pytest.mark.parametrize("kind", [tp.int8, tp.int4])
def test_modes_against_float64(engine: str, kind: tp.dtype) -> None:
    (x,) = arrays((6, 4, 3))
    x *= 20
    rng = np.random.default_rng(1)
    tensor, channel = rng.uniform(0.5, 2), rng.uniform(0.5, 2, 4)
    block, published = rng.uniform(0.5, 2, (6, 2, 3)), rng.uniform(0.5, 2, (2, 12))
    flat = x.reshape(6, 12)
    wanted: list[tuple[Array, Any, int | None, Any]] = [
        (x, tensor, None, lambda at: tensor),
        (x, channel, 1, lambda at: channel[at[1]]),
        (x, block, -2, lambda at: block[at[0], at[1] // 2, at[2]]),
        (flat, published, None, lambda at: published[at[0] // 3, at[1]]),
        (flat, published, 0, lambda at: published[at[0] // 3, at[1]]),
    ]
    for values, scale, dim, of in wanted:
        scales = np.asarray(scale, np.float32)

        def there(v: Any, scale: Any = scales, dim: Any = dim) -> Any:
            q = tp.quantize(v, tp.Tensor(scale), kind, dim)
            return tp.dequantize(q, tp.Tensor(scale), tp.float32, dim)

        run = tp.compile(there, args=[tp.InputInfo(values.shape, tp.float32)], engine=engine)
        exact = elementwise(values, lambda at, of=of: float(np.float32(of(at))), kind.name)
        factors = np.array([np.float32(of(at)) for at in np.ndindex(*values.shape)])
        np.testing.assert_allclose(
            run(values).numpy(), exact * factors.reshape(values.shape), rtol=1e-5, atol=1e-5
        )


def test_float8_is_the_nearest_value() -> None:
    (x,) = arrays((4096,), seed=2)
    x *= np.exp2(np.random.default_rng(3).integers(-12, 10, 4096)).astype(np.float32)
    grid = np.arange(256, dtype=np.uint8).view(tp.zeros((1,), tp.float8).numpy().dtype)
    values = np.unique(grid.astype(float)[np.isfinite(grid.astype(float))])
    q = tp.quantize(tp.Tensor(x), 0.5, tp.float8).numpy().astype(float)
    distance = np.abs(np.clip(x / 0.5, -448, 448)[:, None] - values).min(1)
    np.testing.assert_array_equal(np.abs(np.clip(x / 0.5, -448, 448) - q), distance)


@pytest.mark.parametrize("kind", [tp.float16, tp.bfloat16, tp.float64])
def test_floats_are_scaled_in_float32_or_wider(kind: tp.dtype) -> None:
    (x,) = arrays((100,), seed=4)
    given = tp.cast(tp.Tensor(x), kind)
    scale = tp.cast(tp.Tensor(0.037), kind)
    wide = np.float64 if kind is tp.float64 else np.float32
    exact, factor = given.numpy().astype(wide), scale.numpy().astype(wide)
    q = tp.quantize(given, scale, tp.int8)
    np.testing.assert_array_equal(q.numpy(), np.clip(np.rint(exact / factor), -128, 127))
    back = tp.dequantize(q, scale, kind)
    wanted = (q.numpy().astype(wide) * factor).astype(back.numpy().dtype)
    np.testing.assert_array_equal(back.numpy(), wanted)


def test_sizes_of_blocks_may_be_dynamic() -> None:
    info = [tp.InputInfo([(2, 4, 8), 3], tp.float32), tp.InputInfo([(1, 2, 8), 3], tp.float32)]
    quantize = tp.compile(lambda x, s: tp.quantize(x, s, tp.int8), args=info, engine="openvino")
    x, scale = np.full((6, 3), 4, np.float32), np.array([[1] * 3, [2] * 3], np.float32)
    assert quantize(x, scale).numpy()[:, 0].tolist() == [4, 4, 4, 2, 2, 2]
    assert quantize(x[:2], scale).numpy()[:, 0].tolist() == [4, 2]
    with pytest.raises(tp.TripyShapeError, match="must divide the size"):
        quantize(x[:5], scale)


def test_a_scale_is_checked_when_it_is_known() -> None:
    x = tp.ones((2,))
    for scale in (0, -1.0, float("nan"), [1.0, 0.0], tp.zeros((2,)).eval()):
        dim = None if isinstance(scale, (int, float)) else 0
        with pytest.raises(tp.TripyValueError, match="positive"):
            tp.quantize(x, scale, tp.int8, dim)
        with pytest.raises(tp.TripyValueError, match="positive"):
            tp.dequantize(tp.ones((2,), tp.int8), scale, tp.float32, dim)
    later = tp.quantize(x, tp.sum(x) - 2.0, tp.int8)
    with pytest.raises(tp.TripyValueError, match="positive"):
        later.eval()


def test_quantized_tensors_move_and_compare() -> None:
    q = tp.quantize(tp.Tensor([[1.0, -9.0], [3.0, 0.0]]), 1, tp.int4)
    assert q[:, 1].tolist() == [-8, 0]
    assert tp.equal(q, q)
    assert (q == 3).tolist() == [[False, False], [True, False]]
    assert "dtype=int4" in repr(q)
    with pytest.raises(tp.TripyTypeError):
        q + q


# The layers -------------------------------------------------------------------------------------


def fake(x: Any, scale: Any, kind: tp.dtype, axis: int | None = None) -> Any:
    """torch's quantize and dequantize."""
    low, high = LIMITS[kind.name]
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(x, float(scale), 0, low, high)
    zeros = torch.zeros(len(scale), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(x, torch.tensor(scale), zeros, axis, low, high)


def filled(module: Any, weight_scale: Any, input_scale: Any = None, seed: int = 0) -> Any:
    """The module with random weights and these scales."""
    for number, (name, tensor) in enumerate(list(module.named_parameters())):
        if "scale" not in name:
            setattr(module, name, arrays(tensor.shape, seed=seed + number)[0])
    module.weight_scale = weight_scale
    if input_scale is not None:
        module.input_scale = input_scale
    return module


LAYERS: dict[str, tuple[Callable[..., Any], tuple[int, ...], int, Callable[..., Any]]] = {
    "Linear": (lambda **o: tp.Linear(16, 8, **o), (3, 16), 0, torch.nn.functional.linear),
    "Conv": (
        lambda **o: tp.Conv(16, 8, (3, 3), padding=1, **o),
        (2, 16, 6, 6),
        0,
        lambda x, w, b: torch.nn.functional.conv2d(x, w, b, padding=1),
    ),
    "ConvTranspose": (
        lambda **o: tp.ConvTranspose(16, 8, (2, 2), stride=2, **o),
        (2, 16, 4, 4),
        1,
        lambda x, w, b: torch.nn.functional.conv_transpose2d(x, w, b, stride=2),
    ),
}
CHANNELS = np.linspace(0.02, 0.05, 8).astype(np.float32)


@pytest.mark.parametrize("engine", ["eager", "openvino"])
@pytest.mark.parametrize("input_scale", [None, 0.031])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", [tp.int8, tp.int4])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_against_torch(
    name: str, kind: tp.dtype, per_channel: bool, input_scale: float | None, engine: str
) -> None:
    make, shape, channel_dim, formula = LAYERS[name]
    dim, scale = (channel_dim, CHANNELS) if per_channel else (None, 0.037)
    module = filled(make(quant_dtype=kind, weight_quant_dim=dim), scale, input_scale)
    (x,) = arrays(shape, seed=9)
    w, b = (torch.tensor(t.numpy()) for t in (module.weight, module.bias))
    given = torch.tensor(x) if input_scale is None else fake(torch.tensor(x), input_scale, kind)
    wanted = formula(given.double(), fake(w, scale, kind, dim).double(), b.double())
    if engine == "eager":
        got = module(tp.Tensor(x))
    else:
        got = tp.compile(module, args=[tp.InputInfo(shape, tp.float32)], engine=engine)(x)
    np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("engine", ["reference", "openvino"])
@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_embedding(kind: tp.dtype, dim: int | None, engine: str) -> None:
    scale = 0.1 if dim is None else np.linspace(0.1, 0.3, (5, 3)[dim]).astype(np.float32)
    module = filled(tp.Embedding(5, 3, quant_dtype=kind, weight_quant_dim=dim), scale)
    table = tp.quantize(module.weight, tp.Tensor(np.float32(scale)), kind, dim)
    table = tp.dequantize(table, tp.Tensor(np.float32(scale)), tp.float32, dim).numpy()
    index = np.array([[4, 0], [-1, 2]], np.int32)
    run = tp.compile(module, args=[tp.InputInfo((2, 2), tp.int32)], engine=engine)
    np.testing.assert_allclose(run(index).numpy(), table[index], rtol=1e-6)
    np.testing.assert_array_equal(module(tp.Tensor(index)).numpy(), table[index])
    assert np.ptp(table) > 1


def test_embedding_takes_every_integer_and_rank() -> None:
    module = tp.Embedding(4, 2)
    for kind in (tp.int8, tp.uint8, tp.int16, tp.int32, tp.int64):
        assert module(tp.ones((), kind)).tolist() == [2, 3]
        assert module(tp.ones((2, 0, 3), kind)).shape == (2, 0, 3, 2)
    assert list(module.state_dict()) == ["weight"]
    with pytest.raises(tp.TripyIndexError):
        module(tp.Tensor([4])).eval()


def test_parameters_of_quantized_layers_are_in_order() -> None:
    options: dict[str, Any] = {"quant_dtype": tp.int8, "weight_quant_dim": 0}
    linear, conv = tp.Linear(2, 4, **options), tp.Conv(2, 4, (1,), **options)
    assert list(linear.state_dict()) == ["weight", "bias", "weight_scale"]
    assert list(conv.state_dict()) == ["bias", "weight", "weight_scale"]
    linear.input_scale = conv.input_scale = 0.5
    assert list(linear.state_dict()) == ["weight", "bias", "weight_scale", "input_scale"]
    assert list(conv.state_dict()) == ["bias", "weight", "weight_scale", "input_scale"]
    assert "input_scale: Parameter = (shape=(), dtype=float32)" in repr(linear)
    assert linear.weight_scale.tolist() == [0, 1, 2, 3]
    linear.input_scale = None
    assert "input_scale" not in linear.state_dict()
    assert list(tp.Embedding(2, 4, **options).state_dict()) == ["weight", "weight_scale"]
    assert list(tp.Linear(2, 4).state_dict()) == ["weight", "bias"]
    assert tp.Linear(2, 4).quant_dtype is None


def test_scales_are_loaded() -> None:
    linear = tp.Linear(4, 2, quant_dtype=tp.int8)
    state: dict[str, Any] = {"weight": np.ones((2, 4), np.float32), "bias": np.ones(2, np.float32)}
    scales = {"weight_scale": np.float32(0.5), "input_scale": np.array(0.25, np.float32)}
    assert linear.load_state_dict(state | {"weight_scale": scales["weight_scale"]}) == (
        set(), set(),
    )  # fmt: skip
    assert linear.input_scale is None
    assert linear.load_state_dict(state | scales) == (set(), set())
    assert linear.input_scale.item() == 0.25
    assert linear.load_state_dict({"input_scale": np.float32(1)}, strict=False)[0] == {
        "weight", "bias", "weight_scale",
    }  # fmt: skip
    # A published block-wise scale: (2 / 1, 4).
    linear.load_state_dict(state | scales | {"weight_scale": np.ones((2, 4), np.float32)})
    assert linear.weight_scale.shape == (2, 4)
    net = tp.Sequential(tp.Linear(4, 2, quant_dtype=tp.int8))
    net.load_state_dict({f"0.{name}": value for name, value in (state | scales).items()})
    assert net[0].input_scale.item() == 0.25


@pytest.mark.parametrize(
    ("name", "value"),
    [("weight_scale", np.ones(3)), ("weight_scale", np.ones((3, 4))), ("input_scale", np.ones(1))],
)
def test_scales_of_other_shapes_are_refused(name: str, value: Array) -> None:
    linear = tp.Linear(4, 2, quant_dtype=tp.int8)
    linear.weight_scale = linear.input_scale = 0.5
    state = linear.state_dict()
    with pytest.raises(tp.TripyShapeError):
        setattr(linear, name, value.astype(np.float32))
    with pytest.raises(tp.TripyShapeError) as caught:
        linear.load_state_dict(state | {name: value.astype(np.float32)})
    problem: Any = caught.value
    assert isinstance(problem, tp.TripyStateDictError)
    assert [row[0] for row in problem.mismatched] == [name]
    with pytest.raises(tp.TripyTypeError):
        setattr(linear, name, tp.ones((), tp.float16))
    with pytest.raises(tp.TripyStateDictError) as caught_dtype:
        linear.load_state_dict(state | {name: np.ones((), np.float16)})
    assert not isinstance(caught_dtype.value, tp.TripyShapeError)
    assert linear.state_dict() == state


def test_scales_have_the_dtype_of_the_module() -> None:
    linear = tp.Linear(4, 2, dtype=tp.float16, quant_dtype=tp.int4, weight_quant_dim=1)
    linear.weight_scale = [0.5, 1, 2, 4]
    linear.weight_scale = np.ones((2, 2), np.float16)  # blocks of 2 along dim 1
    assert linear.weight_scale.dtype is tp.float16
    linear.input_scale = 1
    assert linear.input_scale.dtype is tp.float16
    linear.weight_scale = None
    with pytest.raises(tp.TripyValueError, match=r"Linear\.weight_scale is not set"):
        linear(tp.ones((4,), tp.float16))


def test_inner_scales_and_quantized_inputs_exclude_each_other() -> None:
    for name, (make, shape, channel_dim, _) in LAYERS.items():
        for dim in (1 - channel_dim, -1):
            module = make(quant_dtype=tp.int8, weight_quant_dim=dim)
            module.weight_scale = np.ones(module.weight_scale.shape, np.float32)
            module(tp.ones(shape))
            module.input_scale = 1
            is_outer = dim % len(module.weight.shape) == channel_dim
            if is_outer:
                module(tp.ones(shape))
                continue
            with pytest.raises(tp.TripyValueError, match=f"weight_quant_dim={channel_dim}"):
                module(tp.ones(shape))
            assert name in LAYERS


# Integer kernels --------------------------------------------------------------------------------


known = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
has_exact = "INT8" in known and adds_bytes_exactly()
#: Integers that kernels multiply; which of them depends on the processor.
BYTES = {"i8", "u8"}
integer_kernels = pytest.mark.skipif(not has_exact, reason="the CPU has none that are exact")


def kernels(executable: tp.Executable) -> dict[str, list[tuple[str, str]]]:
    """Layer type -> (kernel, precision that it runs in), of what OpenVINO executes."""
    program: Any = executable._program
    found: dict[str, list[tuple[str, str]]] = {}
    for node in program._compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        layer, kernel, kind = (
            info[key].astype(str) for key in ("layerType", "primitiveType", "runtimePrecision")
        )
        found.setdefault(layer, []).append((kernel, kind))
    return found


def network() -> tp.Sequential:
    options: dict[str, Any] = {"quant_dtype": tp.int8, "weight_quant_dim": 0}
    net = tp.Sequential(
        tp.Conv(3, 16, (3, 3), padding=1, **options),
        tp.relu,
        tp.Conv(16, 16, (3, 3), stride=2, groups=2, **options),
        tp.relu,
        lambda x: tp.maxpool(x, (2, 2), 2),
        tp.Conv(16, 32, (1, 1), quant_dtype=tp.int8),
        lambda x: tp.mean(x, (2, 3)),
        tp.Linear(32, 16, **options),
        tp.relu,
        tp.Linear(16, 10, **options),
    )
    rng = np.random.default_rng(5)
    for number, (_, layer) in enumerate(net.named_children()):
        scale = rng.uniform(0.01, 0.02, layer.weight_scale.shape).astype(np.float32)
        filled(layer, scale, 0.0371, seed=10 * number)
        layer.weight = layer.weight * 0.4
    return net


@integer_kernels
@pytest.mark.parametrize("batch", [2, (1, 2, 4)])
def test_quantized_networks_run_in_integer_kernels(batch: Any) -> None:
    net, (x,) = network(), arrays((2, 3, 18, 18), seed=6)
    info = [tp.InputInfo([batch, 3, 18, 18], tp.float32)]
    executable = tp.compile(net, args=info, engine="openvino")
    found = kernels(executable)
    assert len(found["Convolution"]) == 3
    assert len(found["FullyConnected"]) == 2
    for kernel, kind in found["Convolution"] + found["FullyConnected"]:
        assert kind in BYTES
        assert kernel.endswith(("_i8", "_I8"))
    wanted = net(tp.Tensor(x)).numpy()
    assert np.ptp(wanted) > 1
    np.testing.assert_allclose(executable(x).numpy(), wanted, rtol=1e-4, atol=1e-5)


@integer_kernels
def test_transposed_convolutions_run_in_integer_kernels() -> None:
    make, shape, dim, _ = LAYERS["ConvTranspose"]
    module = filled(make(quant_dtype=tp.int8, weight_quant_dim=dim), CHANNELS, 0.031)
    executable = tp.compile(module, args=[tp.InputInfo(shape, tp.float32)], engine="openvino")
    ((_, kind),) = kernels(executable)["Deconvolution"]
    assert kind in BYTES


@integer_kernels
def test_weights_are_kept_as_integers_beside_float_inputs() -> None:
    linear = filled(tp.Linear(64, 32, quant_dtype=tp.int8, weight_quant_dim=0), [0.02] * 32)
    info = [tp.InputInfo((4, 64), tp.float32)]
    executable = tp.compile(linear, args=info, engine="openvino")
    assert ("unknown_i8", "i8") in [(k, p) for k, p in kernels(executable)["Const"]]
    (x,) = arrays((4, 64))
    np.testing.assert_allclose(
        executable(x).numpy(), linear(tp.Tensor(x)).numpy(), rtol=1e-4, atol=1e-5
    )


def there_and_back(x: Any, scale: Any = 0.0513, dim: int | None = None) -> Any:
    q = tp.quantize(x, scale, tp.int8, dim)
    return tp.dequantize(q, scale, tp.float32, dim)


def convolved(x: Any) -> Any:
    conv = filled(tp.Conv(8, 8, (1, 1), quant_dtype=tp.int8, weight_quant_dim=0), CHANNELS)
    return conv(x)


def product(x: Any) -> Any:
    linear = filled(tp.Linear(6, 8, quant_dtype=tp.int8, weight_quant_dim=0), CHANNELS)
    return linear(x)


# What the plugin would compute in integers, though it may not.
AFTER: dict[str, Callable[[Any], Any]] = {
    "average": lambda x: convolved(there_and_back(tp.avgpool(x, (2, 2), 2), 0.0371)),
    "constant": lambda x: there_and_back(convolved(x + 1.0), 0.0371),
    "sum": lambda x: tp.sum(x[0], 1),
    "mean": lambda x: tp.mean(tp.permute(x[0], (1, 0, 2)), 0),
    "concatenation": lambda x: convolved(tp.concatenate([x[:, :4], x[:, 4:] * 0.7], 1)),
    "gathered": lambda x: tp.gather(convolved(x), 0, tp.Tensor(0)),
    "vector": lambda x: product(there_and_back(x[0, 0, 0])),
    "permuted": lambda x: convolved(tp.permute(x, (2, 1, 3, 0))),
    "residual": lambda x: there_and_back(convolved(x) + x, 0.0717),
    "flat": lambda x: there_and_back(tp.flatten(convolved(x)), 0.0717),
}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", AFTER)
def test_what_follows_is_not_computed_in_integers(name: str, per_channel: bool) -> None:
    scale, dim = (CHANNELS.tolist(), 1) if per_channel else (0.0513, None)

    def run(x: Any) -> Any:
        return AFTER[name](there_and_back(x, scale, dim))

    (x,) = arrays((2, 8, 6, 6), seed=8)
    executable = tp.compile(run, args=[tp.InputInfo(x.shape, tp.float32)], engine="openvino")
    wanted = run(tp.Tensor(x)).numpy()
    np.testing.assert_allclose(executable(x).numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dim", [None, 0, 2])
def test_weights_in_batches(dim: int | None) -> None:
    weight = tp.Parameter(np.random.default_rng(12).integers(-128, 128, (3, 8, 6), np.int8))
    scale = tp.Parameter(np.linspace(0.01, 0.03, 1 if dim is None else (3, 8, 6)[dim]))
    scale = tp.cast(scale if dim is not None else scale[0], tp.float32)

    def run(x: Any) -> Any:
        return tp.matmul(there_and_back(x), tp.dequantize(weight, scale, tp.float32, dim))

    (x,) = arrays((3, 5, 8), seed=13)
    for shape in ((3, 5, 8), (3, (1, 5, 9), 8)):
        executable = tp.compile(run, args=[tp.InputInfo(shape, tp.float32)], engine="openvino")
        wanted = run(tp.Tensor(x)).numpy()
        np.testing.assert_allclose(executable(x).numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_rounding_is_exact_beside_quantization() -> None:
    def run(x: Any) -> Any:
        halves = (tp.cast(tp.cast(x, kind), tp.float32) for kind in (tp.float16, tp.bfloat16))
        return there_and_back(x), *halves, x % 0.37

    (x,) = arrays((2, 5, 100), seed=11)
    x *= 100
    executable = tp.compile(run, args=[tp.InputInfo(x.shape, tp.float32)], engine="openvino")
    _, *halves, remainder = executable(x)
    for half, kind in zip(halves, (torch.float16, torch.bfloat16), strict=True):
        wanted = torch.tensor(x).to(kind).float().numpy()
        np.testing.assert_array_equal(half.numpy(), wanted)
    exact = np.mod(x.astype(float), float(np.float32(0.37)))
    np.testing.assert_allclose(remainder.numpy(), exact, rtol=1e-4, atol=1e-6)


def test_verify_allows_one_step_of_the_grid() -> None:
    def run(x: Any) -> Any:
        return tp.quantize(x, 0.1, tp.int8), tp.cast(x, tp.int8)

    executable = tp.compile(run, args=[tp.InputInfo((3,), tp.float32)], engine="openvino")
    x = np.array([1.2, -3.4, 100], np.float32)
    report = executable.verify(x)
    assert report.ok
    assert [row.atol for row in report.outputs] == [1, 0]
    expected = np.array([12, -34, 127], np.int8)
    assert compare("q", expected - np.int8(1), expected, (0.0, 1.0)).mismatched == 0
    assert compare("q", expected - np.int8(2), expected, (0.0, 1.0)).mismatched == 3
    assert compare("i", expected - np.int8(1), expected, (0.0, 0.0)).mismatched == 3


def test_graphs_with_integer_weights_print_them() -> None:
    linear = filled(tp.Linear(4, 2, quant_dtype=tp.int8), 0.05)
    info = [tp.InputInfo((1, 4), tp.float32)]
    text = str(tp.compile(linear, args=info, engine="openvino")._graph)
    assert "dequantize(" in text
    assert " quantize(" not in text
    packed = filled(tp.Linear(4, 2, quant_dtype=tp.int4), 0.05)
    assert "quantize(" not in str(tp.compile(packed, args=info, engine="openvino")._graph)
