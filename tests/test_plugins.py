"""Plugins: registration, calls, how often bodies run, and whose errors users see."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from openvino import opset15 as op

import tripy as tp

_names = itertools.count()
Rng = np.random.Generator
InThreads = Callable[[int, Callable[[int], None]], None]


def same(x: Any, **attrs: Any) -> Any:
    return x.shape, x.dtype


def pair(x: Any) -> Any:
    return [(x.shape, x.dtype), (x.shape, tp.int32)]


def registered(body: Any, infer: Any = same, **options: Any) -> Any:
    return tp.register_plugin(f"test::p{next(_names)}", infer=infer, **options)(body)


class Counted:
    """A body with two results that counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, x: Any) -> Any:
        self.runs += 1
        return x + 1, np.full(x.shape, self.runs, np.int32)


# Calls ----------------------------------------------------------------------------------------


def test_a_plugin_is_an_operation_like_others(rng: Rng) -> None:
    def infer(x: Any, y: Any, *, alpha: float) -> Any:
        return x.shape, x.dtype

    @tp.register_plugin("test::scale_add", infer=infer, attrs={"alpha": float})
    def scale_add(x: Any, y: Any, *, alpha: float) -> Any:
        return x + np.float32(alpha) * y

    assert scale_add.name == "test::scale_add"
    assert scale_add(1, 2, alpha=3) == 7
    a, b = (rng.standard_normal((2, 3)).astype(np.float32) for _ in range(2))
    result = tp.plugin("test::scale_add", [tp.Tensor(a), tp.Tensor(b)], alpha=2) * 3.0
    assert (result.shape, result.dtype) == ((2, 3), tp.float32)
    assert np.allclose(result.numpy(), (a + 2.0 * b) * 3, atol=1e-6)


def test_shape_rules_see_shapes_ranks_and_dtypes() -> None:
    seen: list[Any] = []

    def infer(x: Any, y: Any) -> Any:
        seen.append((x.shape, x.rank, x.dtype, y.shape, y.rank, y.dtype))
        return (y.shape[0], *x.shape), tp.bool

    handle = registered(lambda x, y: np.zeros((len(y), *x.shape), bool), infer)
    result = tp.plugin(handle.name, (tp.ones((2, 3)), tp.zeros((4,), tp.int8)))
    assert seen == [((2, 3), 2, tp.float32, (4,), 1, tp.int8)]
    assert (result.shape, result.dtype) == ((4, 2, 3), tp.bool)
    assert not tp.any(result)


def test_nothing_runs_before_it_is_needed() -> None:
    body = Counted()
    handle = registered(body, pair)
    lazy = tp.plugin(handle.name, [tp.ones((2,))])
    assert body.runs == 0
    assert lazy[0].tolist() == [2, 2]
    assert body.runs == 1


def test_attributes_of_every_type_arrive() -> None:
    given: list[dict[str, Any]] = []
    types = {
        "flag": bool, "count": int, "rate": float, "mode": str, "kind": tp.dtype,
        "sizes": list[int], "scales": list[float], "names": list[str],
    }  # fmt: skip

    def body(x: Any, **attrs: Any) -> Any:
        given.append(attrs)
        return x

    handle = registered(body, attrs=types)
    values = {
        "flag": True, "count": np.int64(3), "rate": 2, "mode": "up", "kind": tp.int4,
        "sizes": (1, 2), "scales": [1, 2.5], "names": ["a"],
    }  # fmt: skip
    tp.plugin(handle.name, [tp.ones((2,))], **values).eval()
    expected = values | {"rate": 2.0, "count": 3, "sizes": [1, 2], "scales": [1.0, 2.5]}
    assert given == [expected]
    kinds = {name: type(value) for name, value in given[0].items()}
    assert (kinds["rate"], kinds["count"], kinds["sizes"]) == (float, int, list)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (bool, 1), (int, True), (int, 1.0), (int, tp.ones(())), (float, "1"), (float, True),
        (str, 1), (tp.dtype, np.float32), (tp.dtype, tp.floating), (list[int], 1),
        (list[int], [1.5]), (list[float], ["a"]), (list[str], "ab"), (list[str], [1]), (int, None),
    ],
)  # fmt: skip
def test_attributes_of_other_types_are_refused(kind: Any, wrong: Any) -> None:
    handle = registered(lambda x, *, a: x, attrs={"a": kind})
    with pytest.raises(tp.TripyTypeError, match="needs another type for 'a'"):
        tp.plugin(handle.name, [tp.ones((2,))], a=wrong)


def test_defaults_of_the_body_are_defaults_of_the_call() -> None:
    seen: list[Any] = []

    def infer(x: Any, *, by: float, of: Any) -> Any:
        seen.append((by, of))
        return x.shape, x.dtype

    def body(x: Any, *, by: float = 2.0, of: Any = [1, 2]) -> Any:  # noqa: B006
        seen.append((by, of))
        return x * np.float32(by)

    handle = registered(body, infer, attrs={"by": float, "of": list[int]})
    assert tp.plugin(handle.name, [tp.ones((1,))]).tolist() == [2.0]
    assert tp.plugin(handle.name, [tp.ones((1,))], by=4).tolist() == [4.0]
    assert seen == [(2.0, [1, 2])] * 2 + [(4.0, [1, 2])] * 2


def test_a_plugin_without_inputs() -> None:
    handle = registered(
        lambda *, n: np.arange(n, dtype=np.int32), lambda *, n: ((n,), tp.int32), attrs={"n": int}
    )
    assert tp.plugin(handle.name, [], n=3).tolist() == [0, 1, 2]
    exe = tp.compile(
        lambda x: x + tp.plugin(handle.name, (), n=2), args=[tp.InputInfo((2,), tp.int32)]
    )
    assert exe(np.array([5, 5], np.int32)).tolist() == [5, 6]


def test_a_list_of_one_type_gives_a_tuple_of_one() -> None:
    handle = registered(lambda x: [x], lambda x: [(x.shape, x.dtype)])
    (result,) = tp.plugin(handle.name, [tp.ones((2,))])
    assert result.tolist() == [1, 1]


def test_bodies_cannot_change_their_inputs() -> None:
    def body(x: Any) -> Any:
        x += 1
        return x

    tensor = tp.Tensor([1.0])
    with pytest.raises(ValueError, match="read-only"):
        tp.plugin(registered(body).name, [tensor]).eval()
    assert tensor.tolist() == [1.0]


def test_a_body_may_return_its_input(rng: Rng) -> None:
    name = registered(lambda x: x).name
    array = rng.standard_normal(3).astype(np.float32)
    assert np.array_equal(tp.plugin(name, [tp.Tensor(array)]).numpy(), array)
    exe = tp.compile(lambda x: tp.plugin(name, [x]), args=[tp.InputInfo((3,), tp.float32)])
    result = exe(array)
    expected = array.copy()
    array[:] = 0
    assert np.array_equal(result.numpy(), expected)


# How often bodies run -------------------------------------------------------------------------


def test_a_body_runs_once_for_all_results_of_an_evaluation() -> None:
    body = Counted()
    name = registered(body, pair).name
    first, second = tp.plugin(name, [tp.ones((2,))])
    assert (first + tp.cast(second, tp.float32)).tolist() == [3, 3]
    assert body.runs == 1
    exe = tp.compile(lambda x: tp.plugin(name, [x]), args=[tp.InputInfo((2,), tp.float32)])
    for run in (2, 3):
        _, runs = exe(np.zeros(2, np.float32))
        assert (body.runs, runs.tolist()) == (run, [run, run])


def test_two_calls_are_two_runs() -> None:
    body = Counted()
    name = registered(body, pair).name
    x = tp.ones((2,)).eval()
    (_, a), (_, b) = tp.plugin(name, [x]), tp.plugin(name, [x])
    assert sorted((a * 10 + b).tolist()) in ([12, 12], [21, 21])
    assert body.runs == 2


def test_changed_memory_is_never_mistaken_for_the_old_one() -> None:
    name = registered(lambda x: (x + 1, x * 2), lambda x: [(x.shape, x.dtype)] * 2).name
    info = tp.InputInfo((2,), tp.float32)
    added = tp.compile(lambda x: tp.plugin(name, [x])[0], args=[info])
    doubled = tp.compile(lambda x: tp.plugin(name, [x])[1], args=[info])
    memory = np.array([1, 2], np.float32)
    assert added(memory).tolist() == [2, 3]
    memory[:] = 10
    assert doubled(memory).tolist() == [20, 20]


def test_a_failed_evaluation_leaves_no_results_behind() -> None:
    def fails(x: Any) -> Any:
        raise RuntimeError("mine")

    two = registered(lambda x: (x + 1, x * 2), lambda x: [(x.shape, x.dtype)] * 2).name
    broken = registered(fails).name
    info = tp.InputInfo((2,), tp.float32)
    exe = tp.compile(lambda x: tp.plugin(broken, [tp.plugin(two, [x])[0]]), args=[info])
    doubled = tp.compile(lambda x: tp.plugin(two, [x])[1], args=[info])
    memory = np.array([1, 2], np.float32)
    with pytest.raises(RuntimeError, match="mine"):
        exe(memory)
    memory[:] = 10
    assert doubled(memory).tolist() == [20, 20]


def test_threads_do_not_mix_results(in_threads: InThreads) -> None:
    name = registered(lambda x: (x, x * 2), lambda x: [(x.shape, x.dtype)] * 2).name
    exe = tp.compile(lambda x: tp.plugin(name, [x]), args=[tp.InputInfo((1,), tp.float32)])

    def work(index: int) -> None:
        for i in range(50):
            first, second = exe(np.array([100 * index + i], np.float32))
            assert second.item() == 2 * first.item() == 2 * (100 * index + i)

    in_threads(4, work)


def test_bodies_may_use_tensors_themselves() -> None:
    def body(x: Any) -> Any:
        inner = tp.plugin(name, [tp.Tensor(x) * 2.0])
        return (inner[0] + inner[1]).numpy(), x

    name = registered(lambda x: (x, x * 3), lambda x: [(x.shape, x.dtype)] * 2).name
    outer = registered(body, lambda x: [(x.shape, x.dtype)] * 2).name
    first, second = tp.plugin(outer, [tp.ones((2,))])
    assert (first + second).tolist() == [9, 9]


# Engines --------------------------------------------------------------------------------------


def test_lowerings_are_used_where_they_are(rng: Rng) -> None:
    used: list[str] = []

    def body(x: Any, *, by: float) -> Any:
        used.append("body")
        return x * np.float32(by)

    handle = registered(body, attrs={"by": float})

    @handle.lowering("openvino")
    def lowered(x: Any, *, by: float) -> Any:
        used.append("openvino")
        return op.multiply(x, op.constant(np.float32(by)))

    assert callable(lowered)
    info = tp.InputInfo(((1, 2, 9), 3), tp.float32)
    exe = tp.compile(lambda x: tp.plugin(handle.name, [x + 1.0], by=3) - 1.0, args=[info])
    assert (exe.engine, used) == ("openvino", ["openvino"])
    x = rng.standard_normal((5, 3)).astype(np.float32)
    assert np.allclose(exe(x).numpy(), (x + 1) * 3 - 1, atol=1e-5)
    assert exe.verify(x).ok
    assert used == ["openvino", "body"]
    with tp.config.override(eager_threshold=0):
        assert np.allclose(tp.plugin(handle.name, [tp.Tensor(x)], by=2).numpy(), 2 * x)
    assert used == ["openvino", "body", "openvino"]


def test_a_lowering_runs_once_for_all_results() -> None:
    runs: list[int] = []
    handle = registered(lambda x: (x, x), lambda x: [(x.shape, x.dtype)] * 2)

    @handle.lowering("openvino")
    def _(x: Any) -> Any:
        runs.append(1)
        return op.split(op.concat([x, x], 0), op.constant(np.int64(0)), 2)

    exe = tp.compile(
        lambda x: (tp.plugin(handle.name, [x]), tp.plugin(handle.name, [x + 1.0])),
        args=[tp.InputInfo((2,), tp.float32)],
        engine="openvino",
    )
    assert len(runs) == 2
    results = exe(np.array([1, 2], np.float32))
    assert [[y.tolist() for y in pair] for pair in results] == [[[1, 2]] * 2, [[2, 3]] * 2]


def test_without_a_lowering_another_engine_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    name = registered(lambda x: x * 2).name
    info = tp.InputInfo((2,), tp.float32)
    with pytest.raises(tp.TripyUnsupportedError) as caught:
        tp.compile(lambda x: tp.plugin(name, [x]), args=[info], engine="openvino")
    assert name in str(caught.value)
    assert "'openvino'" in str(caught.value)
    exe = tp.compile(lambda x: tp.plugin(name, [x]), args=[info])
    assert exe.engine == "reference"
    assert name in caplog.text
    with tp.config.override(eager_threshold=0):
        assert tp.plugin(name, [tp.ones((2,))]).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("lowering", "words"),
    [
        (lambda x: op.convert(x, "f16"), "element type f16"),
        (lambda x: op.unsqueeze(x, op.constant(np.int64(0))), r"shape \[1,2\]"),
        (lambda x: [x, x], "2 nodes"),
        (lambda x: None, "0 nodes"),
        (lambda x: x.no_such_member, "lowering of the plugin .* failed"),
        (lambda x, y: x, "lowering of the plugin .* failed"),
    ],
)
def test_wrong_lowerings_are_named(lowering: Any, words: str) -> None:
    handle = registered(lambda x: x)
    handle.lowering("openvino")(lowering)
    with pytest.raises(tp.TripyRuntimeError, match=f"(?s){handle.name}.*{words}|{words}"):
        tp.compile(
            lambda x: tp.plugin(handle.name, [x]),
            args=[tp.InputInfo((2,), tp.float32)],
            engine="openvino",
        )


def test_other_engines_cannot_be_lowered_to() -> None:
    handle = registered(lambda x: x)
    assert handle.lowering("xla")(abs) is abs
    with pytest.raises(tp.TripyValueError, match="'xla', 'openvino'"):
        handle.lowering("reference")


# Registration ---------------------------------------------------------------------------------


def test_names_are_taken_once_and_may_be_replaced() -> None:
    name = registered(lambda x: x + 1).name
    x = tp.Tensor([1.0])
    for threshold in (None, 0):
        with tp.config.override(eager_threshold=threshold):
            assert tp.plugin(name, [x]).tolist() == [2]
    with pytest.raises(tp.TripyValueError, match="replace=True"):
        tp.register_plugin(name, infer=same)
    handle = tp.register_plugin(name, infer=same, replace=True)(lambda x: x + 2)
    handle.lowering("openvino")(lambda x: op.add(x, op.constant(np.float32(2))))
    for threshold in (None, 0):
        with tp.config.override(eager_threshold=threshold):
            assert tp.plugin(name, [x]).tolist() == [3]
    tp.register_plugin(name, infer=same, replace=True)(lambda x: x + 3).lowering("openvino")(
        lambda x: op.add(x, op.constant(np.float32(3)))
    )
    with tp.config.override(eager_threshold=0):
        assert tp.plugin(name, [x]).tolist() == [4]


@pytest.mark.parametrize("name", ["", "plain", "::", "a::", "::b", "a:b"])
def test_names_have_two_parts(name: str) -> None:
    with pytest.raises(tp.TripyValueError, match="two parts"):
        tp.register_plugin(name, infer=same)


@pytest.mark.parametrize(
    "attrs", [{"a": dict}, {"a": "int"}, {"a": list}, {"a": list[bool]}, {1: int}, {"inputs": int}]
)
def test_attributes_have_known_types(attrs: Any) -> None:
    with pytest.raises(tp.TripyTypeError, match="cannot be declared"):
        tp.register_plugin("test::never", infer=same, attrs=attrs)


def test_bodies_are_functions() -> None:
    with pytest.raises(tp.TripyTypeError, match="body must be a function"):
        tp.register_plugin("test::never", infer=same)(None)  # type: ignore[arg-type]
    with pytest.raises(tp.TripyKeyError):
        tp.plugin("test::never", [])


def test_functions_of_numpy_are_bodies() -> None:
    name = registered(np.add, lambda x, y: (x.shape, x.dtype)).name
    assert tp.plugin(name, [tp.ones((2,)), tp.ones((2,))]).tolist() == [2, 2]


# Errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    [
        None, (2,), (tp.float32, (2,)), ((2,), "float32"), ((2,), np.float32), ((2.0,), tp.float32),
        ((-1,), tp.float32), ((2,), tp.floating), ((2,), tp.float32, 1), [], [((2,), tp.int8), 1],
        (2, tp.float32), ((None,), tp.float32), ({2}, tp.float32), "ab",
    ],
)  # fmt: skip
def test_shape_rules_return_types(result: Any) -> None:
    name = registered(lambda: np.ones(2), lambda: result).name
    with pytest.raises(tp.TripyTypeError, match="shape rule of the plugin"):
        tp.plugin(name, [])


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (np.ones(3, np.float32), tp.TripyShapeError),
        (np.ones((2, 1), np.float32), tp.TripyShapeError),
        (np.float32(1), tp.TripyShapeError),
        (np.ones(2), tp.TripyTypeError),
        (np.ones(2, np.int32), tp.TripyTypeError),
        (None, tp.TripyTypeError),
        ("text", tp.TripyTypeError),
        ([np.ones(2, np.float32)] * 2, tp.TripyTypeError),
    ],
)
def test_results_are_what_the_shape_rule_says(result: Any, kind: type[Exception]) -> None:
    name = registered(lambda x: result).name
    for work in (
        lambda: tp.plugin(name, [tp.ones((2,))]).eval(),
        lambda: tp.compile(lambda x: tp.plugin(name, [x]), args=[tp.InputInfo((2,), tp.float32)])(
            np.ones(2, np.float32)
        ),
    ):
        with pytest.raises(kind, match="did not return what its shape rule says") as caught:
            work()
        assert type(caught.value) is kind


class Mine(Exception):
    """An exception that no library knows."""


@pytest.mark.parametrize("kind", [Mine, ValueError, TypeError, IndexError, ZeroDivisionError])
def test_exceptions_of_the_user_pass_with_a_note(kind: type[Exception]) -> None:
    def fails(*_: Any) -> Any:
        raise kind("mine")

    body, rule = registered(fails).name, registered(lambda x: x, fails).name
    with pytest.raises(kind, match="mine") as caught:
        tp.plugin(rule, [tp.ones((2,))])
    assert caught.value.__notes__ == [f"in the shape rule of tp.plugin({rule!r})"]
    lazy = tp.plugin(body, [tp.ones((2,))])
    with pytest.raises(kind, match="mine") as caught:
        lazy.eval()
    assert type(caught.value) is kind
    (note,) = caught.value.__notes__
    assert note.startswith(f"in tp.plugin({body!r}), called at {__file__}:")
    exe = tp.compile(lambda x: tp.plugin(body, [x]), args=[tp.InputInfo((2,), tp.float32)])
    with pytest.raises(kind, match="mine"):
        exe(np.ones(2, np.float32))


def test_a_thread_sees_only_its_own_call() -> None:
    done = threading.Event()

    def waits(x: Any) -> Any:
        assert done.wait(5)
        return x

    name = registered(waits).name
    thread = threading.Thread(target=lambda: tp.plugin(name, [tp.ones((1,))]).eval())
    thread.start()
    assert tp.plugin(registered(lambda x: x).name, [tp.ones((1,))]).tolist() == [1]
    done.set()
    thread.join()
