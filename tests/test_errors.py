"""Messages: golden texts, the exact class, the user's own line, carets, and what they say.

``pytest tests/test_errors.py --update-goldens`` rewrites ``tests/goldens``; read the texts before
you commit them.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import mistakes
import pytest
from mistakes import MISTAKES, Mistake

import tripy as tp

for _module in pkgutil.iter_modules(mistakes.__path__):
    importlib.import_module(f"{mistakes.__name__}.{_module.name}")

GOLDENS = Path(__file__).parent / "goldens"
TOPICS = sorted({m.topic for m in MISTAKES})
BUILTINS: dict[type[Exception], type[Exception]] = {
    tp.TripyTypeError: TypeError,
    tp.TripyValueError: ValueError,
    tp.TripyShapeError: ValueError,
    tp.TripyStateDictError: ValueError,
    tp.TripyIndexError: IndexError,
    tp.TripyKeyError: KeyError,
    tp.TripyAttributeError: AttributeError,
    tp.TripyDeviceError: RuntimeError,
    tp.TripyCompileError: RuntimeError,
    tp.TripyUnsupportedError: NotImplementedError,
    tp.TripyRuntimeError: RuntimeError,
    tp.TripyMemoryError: MemoryError,
    tp.TripyFileError: OSError,
    tp.TripyFileNotFoundError: FileNotFoundError,
    tp.TripyImportError: ImportError,
}

each = pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: f"{m.topic}-{m.name}")


@functools.cache
def raised(mistake: Mistake) -> Exception:
    """The error that a mistake raises."""
    try:
        mistake.run()
    except Exception as problem:
        return problem.with_traceback(None)
    raise AssertionError(f"{mistake.name} raises nothing")


def normalised(text: str) -> str:
    """A message without paths, line numbers, tensor numbers and addresses."""
    text = re.sub(r"\S*/(\w+\.py):\d+", r"\1:LINE", text)
    text = re.sub(r"'/\S+/(\w+\.\w+)'", r"'\1'", text)
    text = re.sub(r"(?s)\n    test_errors\.py:LINE.*", "\n    …", text)  # pytest's own frames
    text = re.sub(r"(?m)^ +\d+ \| ", "  LINE | ", text)
    return re.sub(r"\bt\d+\b", "tN", re.sub(r"0x[0-9a-f]+", "0x…", text))


def section(mistake: Mistake, problem: Exception) -> str:
    text = normalised(str(problem)).replace("<listcomp>", mistake.name)  # as in Python 3.12
    return f"=== {mistake.name}: {type(problem).__name__}\n{text}\n"


class Goldens:
    """The golden sections of all topics; rewritten at the end if that was asked for."""

    def __init__(self, update: bool) -> None:
        self.update = update
        texts = [path.read_text(encoding="utf-8") for path in GOLDENS.glob("*.txt")]
        parts = [part for text in texts for part in re.split(r"(?m)^(?==== )", text) if part]
        self.sections = {part.split(":")[0].removeprefix("=== "): part for part in parts}

    def write(self) -> None:
        for topic in TOPICS:
            names = [m.name for m in MISTAKES if m.topic == topic]
            text = "".join(self.sections[name] for name in names if name in self.sections)
            (GOLDENS / f"{topic}.txt").write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def goldens(request: pytest.FixtureRequest) -> Iterator[Goldens]:
    found = Goldens(request.config.getoption("--update-goldens"))
    yield found
    if found.update:
        found.write()


@each
def test_message_is_the_golden_text(mistake: Mistake, goldens: Goldens) -> None:
    text = section(mistake, raised(mistake))
    if goldens.update:
        goldens.sections[mistake.name] = text
    assert text == goldens.sections[mistake.name]


def test_goldens_are_complete() -> None:
    written = [
        n for p in GOLDENS.glob("*.txt") for n in re.findall(r"(?m)^=== (\w+):", p.read_text())
    ]
    names = [m.name for m in MISTAKES]
    assert len(names) == len(set(names)), "two mistakes have one name"
    assert sorted(written) == sorted(names)


@each
def test_class_is_exact_and_also_a_builtin(mistake: Mistake) -> None:
    problem = raised(mistake)
    assert type(problem) is mistake.kind
    assert isinstance(problem, tp.TripyException)
    assert isinstance(problem, BUILTINS[mistake.kind])


def width(text: str) -> int:
    """Columns of a terminal; tabs are left to match tabs."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def underlined(text: str) -> str:
    """The part of the first quoted line that stands above the carets."""
    lines = text.splitlines()
    row = next(i for i, line in enumerate(lines) if re.fullmatch(r" +\|\s+\^+", line))
    code, carets = lines[row - 1].split(" | ", 1)[1], lines[row].split(" | ", 1)[1]
    first = width(carets[: carets.index("^")])
    last = first + carets.count("^")
    return "".join(c for i, c in enumerate(code) if first <= width(code[:i]) < last)


@each
def test_carets_stand_under_the_offending_argument(mistake: Mistake) -> None:
    assert underlined(str(raised(mistake))) == mistake.marked


@each
def test_quoted_line_is_the_users(mistake: Mistake) -> None:
    text = str(raised(mistake))
    place = re.search(r"--> (.+):(\d+), in (\S+)", text)
    quoted = re.search(r"(?m)^ +(\d+) \| (.*)$", text)
    assert place is not None
    assert quoted is not None
    assert place[2] == quoted[1]
    path = inspect.getsourcefile(mistake.run)
    assert path is not None
    assert Path(place[1]) == Path(path)
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    assert lines[int(place[2]) - 1].strip() == quoted[2]


@each
def test_message_says_what_was_received_expected_and_how_to_fix_it(mistake: Mistake) -> None:
    found = re.findall(r"(?m)^  (received|expected|how to fix): \S", str(raised(mistake)))
    assert found == ["received", "expected", "how to fix"]


@each
def test_first_line_is_one_plain_sentence(mistake: Mistake) -> None:
    first = str(raised(mistake)).splitlines()[0]
    assert len(first) <= 120
    assert "  " not in first
    assert not re.search(r"\ba [aeio]", first)
    assert first.endswith((".", ":")) or mistake.name == "precision_that_no_engine_has"


@each
def test_advice_names_only_what_exists(mistake: Mistake) -> None:
    text = str(raised(mistake))
    advice = re.findall(r"(?m)^  (?:expected|how to fix): (.*)$", text)
    names = set(re.findall(r"\btp\.(\w+)", " ".join(advice)))
    assert names <= set(dir(tp))


@pytest.mark.parametrize("topic", ["functions", "tensors", "modules"])
def test_message_inside_a_compiled_function_is_the_same(topic: str) -> None:
    for mistake in (m for m in MISTAKES if m.topic == topic):
        eager = normalised(str(raised(mistake)))
        with pytest.raises(mistake.kind) as caught:
            tp.compile(mistake.run)
        assert normalised(str(caught.value)) == eager


@pytest.mark.parametrize("topic", ["functions", "tensors", "modules"])
def test_message_inside_a_module_is_the_same(topic: str) -> None:
    class Wrapper(tp.Module):
        def __init__(self, run: mistakes.Function) -> None:
            self.run = run

        def forward(self) -> object:
            return self.run()

    for mistake in (m for m in MISTAKES if m.topic == topic):
        eager = normalised(str(raised(mistake)))
        with pytest.raises(mistake.kind) as caught:
            tp.Sequential(lambda _, run=mistake.run: Wrapper(run)())(None)
        assert normalised(str(caught.value)) == eager


# Without a source file ------------------------------------------------------------------------


def test_code_without_source_still_has_a_location() -> None:
    with pytest.raises(tp.TripyShapeError) as caught:
        exec(compile("import tripy as tp\n\ntp.ones((2,)) + tp.ones((3,))", "<typed>", "exec"), {})
    assert "  --> <typed>:3, in <module>\n  received: " in str(caught.value)


def test_code_without_columns_still_has_a_line(tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(
        "import tripy as tp\n"
        "try:\n"
        "    tp.ones((2,)) + None\n"
        "except TypeError as problem:\n"
        "    print(problem)\n"
    )
    text = run_python("-X", "no_debug_ranges", str(script))
    assert f"  --> {script}:3, in <module>\n  received: None\n" in text


def test_source_that_does_not_parse_any_more_gives_the_whole_call(tmp_path: Path) -> None:
    script = tmp_path / "edited.py"
    script.write_text(
        "import tripy as tp\n"
        "from pathlib import Path\n"
        "Path(__file__).write_text(Path(__file__).read_text() + 'def (')\n"
        "tp.reshape(tp.ones((2,)), (3,))\n"
    )
    text = run_python(str(script), expect=1)
    assert "tp.reshape(tp.ones((2,)), (3,))" in text
    assert "new shape (3,)" in text


def run_python(*arguments: str, expect: int = 0) -> str:
    root = str(Path(__file__).parents[1])
    child = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == expect, child.stderr
    return child.stdout + child.stderr


# Facts beyond the text --------------------------------------------------------------------------


def test_every_exception_class_inherits_its_builtin() -> None:
    classes = {getattr(tp, name) for name in dir(tp) if name.startswith("Tripy")}
    assert classes == {tp.TripyException, *BUILTINS}
    for kind, builtin in BUILTINS.items():
        assert issubclass(kind, tp.TripyException)
        assert issubclass(kind, builtin)


def test_key_error_prints_its_message_and_no_repr() -> None:
    with pytest.raises(KeyError) as caught:
        tp.Sequential(tp.relu)["x"]
    assert str(caught.value).startswith("indexing: this Sequential has no member 'x'.\n  -->")


def test_state_dict_error_lists_everything() -> None:
    state = {"weight": [[1, 2]], "scale": 1.0, "extra": 2.0}
    with pytest.raises(tp.TripyStateDictError) as caught:
        tp.Linear(2, 1).load_state_dict(state)
    problem = caught.value
    assert problem.missing == ["bias"]
    assert problem.unexpected == ["extra", "scale"]
    assert problem.mismatched == [("weight", "int32 of shape (1, 2)", "float32 of shape (1, 2)")]


def test_errors_of_the_users_own_code_pass_through() -> None:
    def fails(x: tp.Tensor) -> tp.Tensor:
        raise KeyError("mine")

    info = tp.InputInfo((2,), tp.float32)
    with pytest.raises(KeyError, match="mine") as caught:
        tp.compile(fails, args=[info])
    assert not isinstance(caught.value, tp.TripyException)
    with pytest.raises(TypeError, match="unsupported operand") as wrong:
        tp.Sequential(lambda x: 1 + "a")(tp.ones((1,)))
    assert not isinstance(wrong.value, tp.TripyException)


def test_message_does_not_evaluate_tensors() -> None:
    lazy = tp.ones((1 << 20, 1 << 14)) + 1.0  # 64 GiB
    with pytest.raises(tp.TripyTypeError, match=r"Tensor of shape \(1048576, 16384\), float32"):
        tp.Tensor([[lazy]])
    with pytest.raises(tp.TripyTypeError, match="must be an int"):
        tp.sum(lazy, dim=lazy)


def test_containers_are_shown_on_one_short_line() -> None:
    endless: list[object] = [1]
    endless.append({"self": endless})
    with pytest.raises(tp.TripyTypeError) as caught:
        tp.relu(endless)
    assert "received: input = [1, {'self': [1, {'self': [1, {'self': […]}]}]}] of" in str(
        caught.value
    )
    lazy = {"x": {tp.ones((1 << 20, 1 << 14)) + 1.0}}
    with pytest.raises(tp.TripyTypeError) as caught:
        tp.relu(lazy)
    assert "{'x': {Tensor of shape (1048576, 16384), float32}} of type dict" in str(caught.value)


def test_broken_repr_does_not_hide_the_error() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(tp.TripyTypeError, match="of type Broken"):
        tp.Tensor(Broken())


def test_hidden_attributes_are_refused_cheaply() -> None:
    with pytest.raises(tp.TripyAttributeError) as caught:
        getattr(tp.ones(()), "_ipython_display_")  # noqa: B009
    assert "\n" not in str(caught.value)


def test_all_information_lists_arguments_and_frames() -> None:
    with (
        tp.config.override(extra_error_information=["all"]),
        pytest.raises(tp.TripyShapeError) as caught,
    ):
        outer_function()
    text = re.sub(r":\d+", ":LINE", str(caught.value))
    here = f"{__file__}:LINE, in "
    assert f"    input = Tensor of shape (2, 3), float32, made at {here}outer_function\n" in text
    assert f"    shape = (7,)\n  called from:\n    {here}outer_function\n" in text
    plain = next(m for m in MISTAKES if m.name == "as_a_method")
    assert "called from" not in str(raised(plain))


def outer_function() -> tp.Tensor:
    return inner_function(tp.ones((2, 3)))


def inner_function(x: tp.Tensor) -> tp.Tensor:
    return tp.reshape(x, (7,))
