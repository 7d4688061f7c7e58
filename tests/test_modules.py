"""Modules: members, names, state dicts, assignment, printing, and the published examples."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from importlib import util
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tripy as tp

Rng = np.random.Generator
needs_torch = pytest.mark.skipif(util.find_spec("torch") is None, reason="torch is not installed")
FLOATS = (tp.float32, tp.float16, tp.bfloat16, tp.float64)
WAYS = ("eager", "reference", "openvino")


def run(way: str, module: Any, *inputs: Any) -> Any:
    """Call a module eagerly, or compiled for an engine."""
    tensors = [tp.Tensor(i) for i in inputs]
    if way == "eager":
        return module(*tensors)
    infos = [tp.InputInfo(t.shape, t.dtype) for t in tensors]
    return tp.compile(module, args=infos, engine=way)(*tensors)


def shapes_of(module: tp.Module) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


# Members ----------------------------------------------------------------------------------------


class Block(tp.Module):
    def __init__(self) -> None:
        self.conv = tp.Conv(3, 4, (3, 3))
        self.scale = tp.Parameter([1.0, 2.0])
        self.size = 7
        self.layers = [tp.Linear(2, 2), tp.relu, tp.Linear(2, 3, bias=False)]
        self.extra = {"shift": tp.ones((2,)), "inner": Inner(), "note": "text", 3: 4}
        self.mixed = [tp.zeros((1,)), tp.Linear(1, 1), None]
        self.nested = [[tp.ones((1,))], {"deep": {"deeper": tp.ones((1,))}}]
        self.plain = tp.ones((3,))


class Inner(tp.Module):
    def __init__(self) -> None:
        self.weight = tp.Parameter(np.zeros((1, 2), np.float32))


NAMES = [
    "scale", "extra.shift", "mixed.0", "plain",
    "conv.bias", "conv.weight", "layers.0.weight", "layers.0.bias", "layers.2.weight",
    "extra.inner.weight", "mixed.1.weight", "mixed.1.bias",
]  # fmt: skip


def test_state_dict_lists_own_parameters_first_then_children_depth_first() -> None:
    block = Block()
    assert list(block.state_dict()) == NAMES
    assert [name for name, _ in block.named_parameters()] == NAMES[:4]
    children = ["conv", "layers.0", "layers.2", "extra.inner", "mixed.1"]
    assert [name for name, _ in block.named_children()] == children
    assert inspect.isgenerator(block.named_parameters())


def test_state_dict_is_fresh_and_holds_the_parameters_themselves() -> None:
    block = Block()
    state = block.state_dict()
    assert isinstance(state, dict)
    assert state is not block.state_dict()
    assert state["scale"] is block.scale
    assert state["layers.2.weight"] is block.layers[2].weight
    del state["scale"]
    assert "scale" in block.state_dict()


def test_containers_are_looked_at_when_asked() -> None:
    block = Block()
    block.layers.append(tp.BatchNorm(1))
    block.extra["late"] = tp.ones((1,))
    names = list(block.state_dict())
    assert "layers.3.running_var" in names
    assert "extra.late" in names


def test_init_of_the_base_class_is_not_needed() -> None:
    class Plain(tp.Module):
        def forward(self, x: tp.Tensor) -> tp.Tensor:
            return x + 1.0

    class Polite(tp.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = tp.Parameter(1.0)

        def forward(self, x: tp.Tensor, *, twice: bool = False) -> tp.Tensor:
            return x + self.one * (2.0 if twice else 1.0)

    x = tp.zeros((1,))
    assert Plain()(x).tolist() == [1.0]
    assert Polite()(x, twice=True).tolist() == [2.0]
    assert (
        str(inspect.signature(Polite()))
        == "(x: 'tp.Tensor', *, twice: 'bool' = False) -> 'tp.Tensor'"
    )
    assert list(inspect.signature(tp.Conv(1, 1, (1,))).parameters) == ["input"]


def test_call_may_be_overridden() -> None:
    class Direct(tp.Module):
        def __call__(self, x: tp.Tensor, power: int = 2) -> tp.Tensor:
            return x**power

    assert Direct()(tp.Tensor([3])).tolist() == [9]
    assert list(inspect.signature(Direct()).parameters) == ["x", "power"]
    exe = tp.compile(Direct(), args=[tp.InputInfo((1,), tp.float32)])
    assert exe(np.array([3.0], np.float32)).tolist() == [9.0]


def test_type_errors_of_the_users_forward_pass_through() -> None:
    class Broken(tp.Module):
        def forward(self, x: tp.Tensor) -> Any:
            return len(5)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len") as caught:
        Broken()(tp.ones((1,)))
    assert not isinstance(caught.value, tp.TripyException)


def test_modules_print_their_members() -> None:
    class Printed(tp.Module):
        def __init__(self) -> None:
            self.scale = tp.Parameter([1.0, 2.0])
            self.conv = tp.Conv(3, 4, (3, 3))

    text = """\
Printed(
    scale: Parameter = (shape=(2,), dtype=float32),
    conv: Module = Conv(
        bias: Parameter = (shape=(4,), dtype=float32),
        weight: Parameter = (shape=(4, 3, 3, 3), dtype=float32),
    ),
)"""
    assert repr(Printed()) == str(Printed()) == text
    assert repr(tp.Module()) == "Module()"
    assert repr(tp.Sequential(tp.relu)) == "Sequential()"


def test_copies_are_independent_but_share_tensors() -> None:
    block = Block()
    twin = copy.deepcopy(block)
    assert list(twin.state_dict()) == NAMES
    assert np.shares_memory(twin.scale.numpy(), block.scale.numpy())
    twin.scale = [5.0, 6.0]
    twin.layers.append(tp.ones((1,)))
    assert block.scale.tolist() == [1.0, 2.0]
    assert len(block.layers) == 3
    assert copy.deepcopy(tp.Conv(1, 1, (1, 1), stride=2)).stride == (2, 2)


# Assignment -------------------------------------------------------------------------------------


def test_assigned_values_become_tensors_of_the_same_type() -> None:
    linear = tp.Linear(2, 1)
    for value in ([[1.0, 2.0]], np.array([[1.0, 2.0]], np.float32), tp.Tensor([[1.0, 2.0]])):
        linear.weight = value
        assert linear.weight.tolist() == [[1.0, 2.0]]
    tensor = tp.ones((1, 2))
    linear.weight = tensor
    assert linear.weight is tensor
    assert linear(tp.ones((2,))).tolist() == [2.0]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.ones((2, 1), np.float32), tp.TripyShapeError),
        (np.ones((1, 2)), tp.TripyTypeError),
        (1.0, tp.TripyShapeError),
        ([[1, 2]], tp.TripyTypeError),
        ("weights", tp.TripyTypeError),
        ([[1.0], [2.0, 3.0]], tp.TripyShapeError),
        (tp.ones((1, 2), tp.float16), tp.TripyTypeError),
    ],
    ids=str,
)
def test_refused_assignments_change_nothing(value: Any, kind: type[Exception]) -> None:
    linear = tp.Linear(2, 1)
    before = linear.weight
    with pytest.raises(kind):
        linear.weight = value
    assert linear.weight is before


def test_none_removes_a_parameter_and_tensors_replace_other_attributes() -> None:
    linear = tp.Linear(2, 1)
    linear.bias = None
    assert list(linear.state_dict()) == ["weight"]
    assert linear(tp.ones((2,))).tolist() == [1.0]
    block = Block()
    block.size = tp.ones((2,))
    assert "size" in block.state_dict()
    block.note = "anything"
    assert block.note == "anything"


FROZEN: list[tuple[tp.Module, str]] = [
    *((tp.Conv(1, 1, (2, 2)), n) for n in ("dtype", "padding", "stride", "groups", "dilation")),
    *((tp.ConvTranspose(1, 1, (2, 2)), n) for n in ("dtype", "output_padding", "stride")),
    (tp.Linear(1, 1), "dtype"),
    *((tp.BatchNorm(1), n) for n in ("num_features", "dtype", "eps")),
]


@pytest.mark.parametrize(
    ("module", "name"), FROZEN, ids=lambda x: getattr(x, "__name__", str(x))[:5]
)
def test_arguments_of_built_in_modules_are_frozen(module: tp.Module, name: str) -> None:
    before = getattr(module, name)
    with pytest.raises(tp.TripyAttributeError, match="frozen"):
        setattr(module, name, before)
    assert getattr(module, name) == before


# Loading ----------------------------------------------------------------------------------------


def network() -> tp.Sequential:
    return tp.Sequential(tp.Linear(3, 4), tp.relu, tp.Sequential({"last": tp.Linear(4, 2)}))


def random_state(module: tp.Module, rng: Rng) -> dict[str, Any]:
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes_of(module).items()}


def test_loading_puts_values_in_place(rng: Rng) -> None:
    module = network()
    state = random_state(module, rng)
    state["0.bias"] = tp.Tensor(state["0.bias"])
    assert module.load_state_dict(state) == (set(), set())
    assert module.state_dict()["0.bias"] is state["0.bias"]
    assert all(np.array_equal(module.state_dict()[n].numpy(), np.asarray(state[n])) for n in state)
    x = rng.standard_normal((5, 3)).astype(np.float32)
    w0, b0, w1, b1 = (np.asarray(v, np.float64) for v in state.values())
    expected = np.maximum(x @ w0.T + b0, 0) @ w1.T + b1
    for way in WAYS:
        assert np.allclose(run(way, module, x).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_lists_and_containers_are_loaded_in_place(rng: Rng) -> None:
    block = Block()
    state = random_state(block, rng)
    block.load_state_dict(state)
    assert np.array_equal(block.extra["shift"].numpy(), state["extra.shift"])
    assert np.array_equal(block.mixed[0].numpy(), state["mixed.0"])


BAD_STATES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "missing": lambda s: {n: v for n, v in s.items() if n != "2.last.bias"},
    "unexpected": lambda s: s | {"3.weight": np.ones(1, np.float32)},
    "wrong shape": lambda s: s | {"2.last.weight": np.ones((4, 2), np.float32)},
    "wrong dtype": lambda s: s | {"2.last.bias": np.ones(2)},
    "no tensor": lambda s: s | {"2.last.bias": "zero"},
    "ragged": lambda s: s | {"2.last.weight": [[1.0], [1.0, 2.0]]},
    "complex": lambda s: s | {"2.last.bias": np.ones(2, complex)},
    "empty": lambda s: {},
}


@pytest.mark.parametrize("problem", BAD_STATES)
def test_failed_loading_changes_nothing(problem: str, rng: Rng) -> None:
    module = network()
    before = module.state_dict()
    with pytest.raises(tp.TripyException):
        module.load_state_dict(BAD_STATES[problem](random_state(module, rng)))
    after = module.state_dict()
    assert list(before) == list(after)
    assert all(before[name] is after[name] for name in before)


def test_loading_without_strict_takes_what_both_have(rng: Rng) -> None:
    module = network()
    state = random_state(module, rng)
    del state["0.bias"]
    state["other"] = object()
    before = module.state_dict()["0.bias"]
    assert module.load_state_dict(state, strict=False) == ({"0.bias"}, {"other"})
    assert module.state_dict()["0.bias"] is before
    assert np.array_equal(module.state_dict()["0.weight"].numpy(), state["0.weight"])
    with pytest.raises(tp.TripyStateDictError):
        module.load_state_dict({"0.weight": np.ones((1, 1), np.float32)}, strict=False)


def test_error_lists_all_problems() -> None:
    state = {"0.weight": np.ones((3, 4), np.float32), "2.last.bias": np.ones(2), "x": 1.0}
    with pytest.raises(tp.TripyStateDictError) as caught:
        network().load_state_dict(state)
    problem = caught.value
    assert (problem.missing, problem.unexpected) == (["0.bias", "2.last.weight"], ["x"])
    assert problem.mismatched == [
        ("0.weight", "float32 of shape (3, 4)", "float32 of shape (4, 3)"),
        ("2.last.bias", "float64 of shape (2,)", "float32 of shape (2,)"),
    ]


@needs_torch
@pytest.mark.parametrize("kind", ["float32", "float16", "bfloat16", "float64"])
def test_torch_state_dicts(kind: str, rng: Rng) -> None:
    import torch

    torch.manual_seed(3)
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1, groups=2),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(4, 3, 2, stride=2),
    ).eval()
    for tensor in theirs.state_dict().values():
        if tensor.dtype.is_floating_point:
            tensor.uniform_(0.2, 1.0)
    theirs = theirs.to(getattr(torch, kind))
    dtype = getattr(tp, kind)
    ours = tp.Sequential(
        tp.Conv(2, 4, (3, 3), padding=1, groups=2, dtype=dtype),
        tp.BatchNorm(4, dtype=dtype),
        tp.relu,
        tp.ConvTranspose(4, 3, (2, 2), stride=2, dtype=dtype),
    )
    with pytest.raises(tp.TripyStateDictError) as caught:
        ours.load_state_dict(theirs.state_dict())
    assert caught.value.unexpected == ["1.num_batches_tracked"]
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing, unexpected) == (set(), {"1.num_batches_tracked"})
    x = torch.from_numpy(rng.standard_normal((2, 2, 5, 5)))
    with torch.no_grad():
        expected = theirs.double()(x.to(getattr(torch, kind)).double()).numpy()
    result = ours(tp.Tensor(x.numpy(), dtype)).numpy().astype(np.float64)
    error = np.abs(result - expected).max() / np.abs(expected).max()
    assert error < {"float64": 1e-13, "float32": 1e-6, "float16": 3e-3, "bfloat16": 3e-2}[kind]


# Parameters -------------------------------------------------------------------------------------


def test_parameter_behaves_like_its_tensor() -> None:
    tensor = tp.Tensor([1.0, 2.0])
    parameter = tp.Parameter(tensor)
    assert isinstance(parameter, tp.Tensor)
    assert (parameter + 1.0).tolist() == [2.0, 3.0]
    assert tp.Parameter([[1, 2]]).dtype is tp.int32
    assert tp.Parameter(np.ones(2)).dtype is tp.float64


@pytest.mark.parametrize("kind", FLOATS, ids=str)
def test_defaults_count_from_zero(kind: Any) -> None:
    for module in (
        tp.Conv(2, 3, (2, 2), dtype=kind),
        tp.Linear(3, 4, dtype=kind),
        tp.BatchNorm(5, kind),
    ):
        for tensor in module.state_dict().values():
            counted = np.arange(tensor.size).reshape(tensor.shape)
            assert tensor.dtype is kind
            assert np.array_equal(tensor.numpy().astype(np.float64), counted)


def test_defaults_cost_nothing_until_they_are_used() -> None:
    huge = tp.Linear(1 << 20, 1 << 20)
    assert huge.weight.shape == (1 << 20, 1 << 20)
    huge.load_state_dict(huge.state_dict())
    assert "float32" in repr(huge)
    assert huge.weight._value.data is None


# Layers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 0, 3), (2, 4, 5, 3)], ids=str)
def test_linear(way: str, shape: tuple[int, ...], rng: Rng) -> None:
    linear = tp.Linear(3, 4)
    linear.load_state_dict(random_state(linear, rng))
    x = rng.standard_normal(shape).astype(np.float32)
    weight, bias = (linear.state_dict()[n].numpy().astype(np.float64) for n in ("weight", "bias"))
    result = run(way, linear, x)
    assert result.shape == (*shape[:-1], 4)
    assert np.allclose(result.numpy(), x @ weight.T + bias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (1, 3, 2, 2)], ids=str)
def test_batchnorm(way: str, shape: tuple[int, ...], rng: Rng) -> None:
    norm = tp.BatchNorm(3, eps=0.125)
    norm.load_state_dict({n: np.abs(v) for n, v in random_state(norm, rng).items()})
    x = rng.standard_normal(shape).astype(np.float32)
    row = (3, *(1,) * (len(shape) - 2))
    w, b, m, v = (t.numpy().astype(np.float64).reshape(row) for t in norm.state_dict().values())
    expected = (x - m) / np.sqrt(v + 0.125) * w + b
    assert np.allclose(run(way, norm, x).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_normalised_attributes_of_convolutions() -> None:
    conv = tp.Conv(4, 8, [3, 5], padding=1, stride=2, groups=2, dilation=[1, 2])
    assert (conv.padding, conv.stride, conv.dilation) == (((1, 1), (1, 1)), (2, 2), (1, 2))
    assert (conv.groups, conv.dtype) == (2, tp.float32)
    assert shapes_of(conv) == {"bias": (8,), "weight": (8, 2, 3, 5)}
    assert tp.Conv(1, 1, (3,), padding="valid").padding == ((0, 0),)
    assert tp.Conv(1, 1, (3, 3), padding="same").padding == "same"
    assert tp.Conv(1, 1, (3, 3), padding=[[1, 2], (3, 4)]).padding == ((1, 2), (3, 4))
    assert tp.Conv(1, 1, (3, 3), padding=(1, 2)).padding == ((1, 1), (2, 2))
    assert tp.Conv(1, 1, (3, 3), bias=False).bias is None
    transpose = tp.ConvTranspose(4, 6, (3,), stride=2, groups=2, output_padding=1)
    assert (transpose.output_padding, shapes_of(transpose)["weight"]) == ((1,), (4, 3, 3))


@pytest.mark.parametrize("way", WAYS)
def test_published_pooling_and_identity(way: str) -> None:
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    assert run(way, tp.MaxPool((2,), stride=2), x).tolist() == [[[1.0, 3.0]]]
    assert run(way, tp.AvgPool((2,), padding=1), x).tolist() == [[[0.0, 0.5, 1.5, 2.5, 1.5]]]
    real_cells = tp.AvgPool((2,), padding=1, count_include_pad=False)
    assert run(way, real_cells, x).tolist() == [[[0.0, 0.5, 1.5, 2.5, 3.0]]]
    assert run(way, tp.Identity(), x).tolist() == x.tolist()


# Sequential -------------------------------------------------------------------------------------


def test_sequential_access() -> None:
    first, last = tp.Linear(2, 3), tp.Linear(3, 1)
    named = tp.Sequential({"first": first, "act": tp.relu, "last": last})
    assert (len(named), list(named)) == (3, [first, tp.relu, last])
    assert named[0] is named["first"] is named.first is named[-3] is named[np.int64(0)] is first
    assert [name for name, _ in named.named_children()] == ["first", "last"]
    assert list(named.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    numbered = tp.Sequential(first, lambda x: x * 2.0, last)
    assert numbered["1"] is numbered[1]
    nested = tp.Sequential(tp.relu, tp.Sequential(first))
    assert list(nested.state_dict()) == ["1.0.weight", "1.0.bias"]
    for key in ("3", 3, -4, "relu", None, slice(0, 1), [0]):
        with pytest.raises(tp.TripyKeyError, match="no member"):
            numbered[key]
    with pytest.raises(tp.TripyAttributeError, match="its members are 'first', 'act', 'last'"):
        _ = named.encoder


def test_sequential_chains_its_members() -> None:
    x = tp.Tensor([-1.0, 2.0])
    assert tp.Sequential()(x) is x
    chain = tp.Sequential(tp.relu, lambda y: y * 3.0, tp.Sequential(tp.neg, tp.abs))
    assert chain(x).tolist() == [0.0, 6.0]
    assert tp.Sequential({})(x) is x


def test_sequential_subclasses_may_have_parameters() -> None:
    class Scaled(tp.Sequential):
        def __init__(self, *modules: Any) -> None:
            super().__init__(*modules)
            self.factors = [tp.Parameter(2.0), tp.Parameter(3.0)]

        def forward(self, input: tp.Tensor) -> tp.Tensor:
            return super().forward(input) * self.factors[0] * self.factors[1]

    scaled = Scaled(tp.Linear(1, 1))
    assert list(scaled.state_dict()) == ["factors.0", "factors.1", "0.weight", "0.bias"]
    assert scaled(tp.ones((1,))).tolist() == [0.0]


# The published examples -------------------------------------------------------------------------

IMAGE_4 = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
EXAMPLES: dict[str, tuple[Callable[[Any], tp.Module], Any, str]] = {
    "plain": (
        lambda kind: tp.Conv(in_channels=1, out_channels=1, kernel_dims=(2, 2), dtype=kind),
        IMAGE_4,
        "[[[[24, 30, 36], [48, 54, 60], [72, 78, 84]]]]",
    ),
    "padding and stride": (
        lambda kind: tp.Conv(
            1, 1, (3, 3), padding=((1, 1), (1, 1)), stride=(3, 1), bias=False, dtype=kind
        ),
        IMAGE_4,
        "[[[[73, 121, 154, 103], [139, 187, 202, 113]]]]",
    ),
    "depthwise": (
        lambda kind: tp.Conv(2, 2, (3, 3), groups=2, bias=False, dtype=kind),
        np.arange(18, dtype=np.float32).reshape(1, 2, 3, 3),
        "[[[[204]], [[1581]]]]",
    ),
    "dilated": (
        lambda kind: tp.Conv(1, 1, (2, 2), dilation=(2, 2), bias=False, dtype=kind),
        np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3),
        "[[[[38]]]]",
    ),
    "transposed": (
        lambda kind: tp.ConvTranspose(1, 1, (2, 2), bias=False, dtype=kind),
        np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2),
        "[[[[0, 0, 1], [0, 4, 6], [4, 12, 9]]]]",
    ),
    "transposed, stride 2": (
        lambda kind: tp.ConvTranspose(1, 1, (2, 2), stride=2, bias=False, dtype=kind),
        np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2),
        "[[[[0, 0, 0, 1], [0, 0, 2, 3], [0, 2, 0, 3], [4, 6, 6, 9]]]]",
    ),
    "transposed, output padding": (
        lambda kind: tp.ConvTranspose(
            1, 1, (3,), padding=1, stride=2, bias=False, dtype=kind, output_padding=1
        ),
        np.arange(3, dtype=np.float32).reshape(1, 1, 3),
        "[[[0, 0, 1, 2, 2, 4]]]",
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", FLOATS, ids=str)
@pytest.mark.parametrize("example", EXAMPLES)
def test_published_examples(example: str, kind: Any, way: str) -> None:
    if way == "openvino" and kind is tp.float64:
        pytest.skip("OpenVINO has no float64")
    make, image, printed = EXAMPLES[example]
    result = run(way, make(kind), image.astype(NUMPY[kind]))
    exact = np.array(json.loads(printed), np.float64)
    rounded = exact.astype(NUMPY[kind]).astype(np.float64)
    assert result.dtype is kind
    assert np.array_equal(result.numpy().astype(np.float64), rounded)


NUMPY = dict(zip(FLOATS, (np.float32, np.float16, ml_dtypes.bfloat16, np.float64), strict=True))

DEPTHWISE_STATE = """\
{
    weight: tensor(
        [[[[0.0000, 1.0000, 2.0000],
           [3.0000, 4.0000, 5.0000],
           [6.0000, 7.0000, 8.0000]]],


         [[[9.0000, 10.0000, 11.0000],
           [12.0000, 13.0000, 14.0000],
           [15.0000, 16.0000, 17.0000]]]],
        dtype=float32, loc=cpu:0, shape=(2, 1, 3, 3)),
}"""
PLAIN_STATE = """\
{
    bias: tensor([0.0000], dtype=float32, loc=cpu:0, shape=(1,)),
    weight: tensor(
        [[[[0.0000, 1.0000],
           [2.0000, 3.0000]]]],
        dtype=float32, loc=cpu:0, shape=(1, 1, 2, 2)),
}"""


def test_state_dicts_print_as_published() -> None:
    assert repr(EXAMPLES["plain"][0](tp.float32).state_dict()) == PLAIN_STATE
    assert str(EXAMPLES["depthwise"][0](tp.float32).state_dict()) == DEPTHWISE_STATE
    assert repr(tp.Sequential(tp.relu).state_dict()) == "{}"
