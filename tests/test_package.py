"""The package as a whole: names, layers, imports, and the rules that its source follows."""

from __future__ import annotations

import ast
import builtins
import functools
import graphlib
import inspect
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import pytest

import tripy as tp

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tripy"
FILES = sorted(PACKAGE.rglob("*.py"))

# Every module imports, at its top level, only from modules before it or from its own row.
ORDER = (
    "source", "errors", "locks", "config", "dtypes", "devices", "counting", "shapes", "graph",
    "memory", "signature", "sharding", "inputs", "printing", "host", "operators", "tensor", "types",
    "ops", "random", "nn", "distributed", "engines.base", "structure", "passes", "engines",
    "evaluate", "verify", "spread", "profile", "progress", "views", "streams", "calls", "mapping",
    "executable", "locate", "check", "compile", "interop", "portable", "helper", "cache", "saved",
    "onnx", "__init__", "tools", "demo", "__main__",
)  # fmt: skip

# Public names of the contract.
CONTRACT = """
Tensor DimensionSize Module Parameter Sequential Linear Embedding Conv ConvTranspose BatchNorm
LayerNorm GroupNorm InstanceNorm RMSNorm MultiHeadAttention MaxPool AvgPool Identity compile
Executable InputInfo DimensionInputInfo NamedDimension Bounds Stream default_stream dtype floating
integer float32 float16 bfloat16 float8 int4 int8 int32 int64 bool float64 int16 uint8 device
devices copy arange iota iota_like full full_like ones ones_like zeros zeros_like tril triu linspace
eye diag one_hot meshgrid exp log sqrt rsqrt sin cos tanh abs neg sign floor ceil round trunc square
reciprocal tan asin acos atan atan2 sinh cosh erf log1p expm1 log2 maximum minimum clip where
masked_fill cast relu sigmoid silu gelu softmax log_softmax relu6 leaky_relu elu hardswish softplus
mish allclose equal isnan isinf isfinite logical_and logical_or logical_xor logical_not sum prod
mean max min all any var std norm logsumexp argmax argmin cumsum cumprod sort argsort topk unique
nonzero reshape flatten squeeze unsqueeze permute transpose expand repeat flip concatenate stack
split pad tile roll pixel_shuffle gather take_along_dim scatter outer matmul einsum
scaled_dot_product_attention maxpool avgpool adaptive_avgpool resize conv conv_transpose quantize
dequantize plugin register_plugin load_safetensors save_safetensors config types logger random onnx
distributed __version__ TripyException TripyTypeError TripyValueError TripyShapeError
TripyStateDictError TripyIndexError TripyKeyError TripyAttributeError TripyDeviceError
TripyCompileError TripyUnsupportedError TripyRuntimeError TripyMemoryError TripyFileError
TripyFileNotFoundError TripyImportError
"""


# Public members of its classes and modules.
MEMBERS = {
    "Tensor": """
        name dtype rank ndim shape size device T eval item tolist numpy __array__ __dlpack__
        __dlpack_device__ __bool__ __int__ __float__ __index__ __len__ __iter__ __contains__
        __repr__ __str__ __hash__ __copy__ __deepcopy__ __getitem__ __add__ __radd__ __sub__
        __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __rfloordiv__ __mod__
        __rmod__ __pow__ __rpow__ __lt__ __le__ __gt__ __ge__ __eq__ __ne__ __neg__ __pos__ __abs__
        __and__ __rand__ __or__ __ror__ __xor__ __rxor__ __invert__ __matmul__ __rmatmul__ cast copy
        flatten permute reshape squeeze transpose unsqueeze""",
    "Module": """
        __call__ named_parameters named_children state_dict load_state_dict __str__ __repr__""",
    "Sequential": "__len__ __iter__ __getitem__ named_children forward",
    "Executable": """
        __call__ input_infos output_infos __signature__ __repr__ __str__ engine device precision
        stream save load map profile verify""",
    "InputInfo": "shape_bounds dimension_names dtype rank __eq__ __hash__ __str__",
    "DimensionInputInfo": "value_bounds",
    "NamedDimension": "name bounds",
    "Bounds": "min opt max is_static",
    "Stream": "synchronize device __eq__ __hash__ __str__",
    "device": "kind index __eq__ __hash__ __str__",
    "config": """
        cache_dir cache_size enable_input_validation extra_error_information print_precision
        print_threshold print_linewidth print_edgeitems num_threads eager_threshold
        memory_limit shapes_kept check default_device override""",
    "types": "TensorLike IntLike ShapeLike",
    "random": "uniform normal randint",
    "onnx": "load export",
    "distributed": "Mesh initialize shutdown process_index process_count use_cpu_devices",
}


def run_python(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return child.stdout


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


# Names ------------------------------------------------------------------------------------------


def test_public_names_are_listed_and_in_the_contract() -> None:
    assert sorted(tp.__all__) == sorted(dir(tp)) == sorted(set(tp.__all__))
    assert set(tp.__all__) == set(CONTRACT.split())
    assert all(hasattr(tp, name) for name in tp.__all__)


@pytest.mark.parametrize("name", MEMBERS)
def test_members_are_those_of_the_contract(name: str) -> None:
    owner = getattr(tp, name)
    found = set(dir(owner))
    if inspect.isclass(owner):  # and what its constructor assigns
        found |= set(re.findall(r"self\.(\w+)(?: = |: )", inspect.getsource(owner)))
        found |= inspect.get_annotations(owner).keys()
    assert sorted(set(MEMBERS[name].split()) - found) == []


def test_private_modules_are_no_public_names() -> None:
    hidden = {"tensor", "errors", "ops", "nn", "engines", "evaluate", "shapes", "graph"}
    assert not hidden & set(dir(tp))


def test_unknown_names_suggest_close_ones() -> None:
    with pytest.raises(tp.TripyAttributeError, match="did you mean 'softmax'"):
        _ = tp.sofmax
    assert not hasattr(tp, "load")
    with pytest.raises(ImportError):
        from tripy import Conv2d  # noqa: F401


def test_version() -> None:
    assert isinstance(tp.__version__, str)
    try:
        assert metadata.version("tripy-dl") == tp.__version__
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")


def test_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_types_are_plain_typing_objects() -> None:
    for name in ("TensorLike", "IntLike", "ShapeLike"):
        assert hasattr(tp.types, name)


def test_commands() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tripy", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    info = run("info")
    assert info.stdout.startswith(f"tripy {tp.__version__}, Python ")
    assert "engine openvino: installed" in info.stdout
    assert ("gpu:0" in info.stdout) != ("no gpu: " in info.stdout)
    assert run("--help").stdout.startswith("usage: python -m tripy <command>")
    assert [run(*a).returncode for a in (["info"], ["--help"], [], ["dance"])] == [0, 0, 0, 2]


# Imports ----------------------------------------------------------------------------------------


def test_import_loads_no_engine_and_nothing_optional() -> None:
    code = "import sys, tripy; print(*sorted(sys.modules))"
    loaded = set(run_python(code).split())
    engines = {"openvino", "jax", "jaxlib", "onnx", "torch", "scipy", "PIL", "mtcnn"}
    own = {f"tripy.{name}" for name in ("engines.openvino", "engines.reference", "engines.kernels")}
    assert not loaded & (engines | own | {"tripy.demo"})


def test_eager_work_loads_only_the_reference_engine() -> None:
    code = "import sys, tripy as tp; (tp.ones((2,)) + 1.0).eval(); print(*sorted(sys.modules))"
    loaded = set(run_python(code).split())
    assert "tripy.engines.reference" in loaded
    assert "openvino" not in loaded


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when a module is imported, except below TYPE_CHECKING."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        yield statement
        for name in ("body", "orelse", "finalbody", "handlers"):
            yield from statements(getattr(statement, name, []))


def imports(path: Path) -> set[str]:
    """Modules of the package that a module imports at its top level."""
    found: set[str] = set()
    for statement in statements(tree_of(path).body):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{path} imports relatively"
            source = statement.module or ""
            whole = {f"{source}.{alias.name}".removeprefix("tripy.") for alias in statement.names}
            names = [f"tripy.{n}" for n in whole if n in MODULES] or [source]
        else:
            continue
        found |= {n.removeprefix("tripy.") for n in names if n.split(".")[0] == "tripy"}
    return {"__init__" if name == "tripy" else name for name in found}


def layer(name: str) -> int:
    while name not in ORDER:
        name = name.rpartition(".")[0]
        assert name, "a module is missing in ORDER"
    return ORDER.index(name)


@pytest.mark.parametrize("name", MODULES)
def test_no_module_imports_upwards(name: str) -> None:
    assert {other for other in imports(MODULES[name]) if layer(other) > layer(name)} == set()


def test_imports_have_no_cycles() -> None:
    edges = {name: imports(path) - {name} for name, path in MODULES.items()}
    assert list(graphlib.TopologicalSorter(edges).static_order())


def test_architecture_names_every_module() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = {name.split(".")[0] for name in MODULES} - {"__init__", "__main__"}
    missing = {row for row in rows if f"{row}.py" not in text and f"{row}/" not in text}
    assert not missing


# Rules of the source ----------------------------------------------------------------------------


Node = TypeVar("Node", bound=ast.AST)


def nodes(kind: type[Node]) -> Iterator[tuple[str, Node]]:
    """(module:line, node) of all nodes of a kind in the package."""
    for name, path in MODULES.items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, kind):
                yield f"{name}:{getattr(node, 'lineno', 0)}", node


def test_assertions_only_narrow_types() -> None:
    def narrows(test: ast.expr) -> bool:
        is_not_none = isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.IsNot)
        return is_not_none or ast.unparse(test).startswith("isinstance(")

    assert [place for place, node in nodes(ast.Assert) if not narrows(node.test)] == []


def test_only_the_engine_knows_jax() -> None:
    used = {place.split(":")[0] for place, node in nodes(ast.Import) if node.names[0].name == "jax"}
    froms = nodes(ast.ImportFrom)
    used |= {place.split(":")[0] for place, node in froms if (node.module or "").startswith("jax")}
    assert used
    assert {name for name in used if not name.startswith("engines.xla")} == set()


def test_no_bare_except() -> None:
    caught = [(place, node.type) for place, node in nodes(ast.ExceptHandler)]
    bare = [place for place, kind in caught if kind is None]
    assert bare == []
    assert [place for place, kind in caught if kind and "BaseException" in ast.unparse(kind)] == []


# Exceptions of Python that are raised on purpose, for callers inside the package.
RAISED = {"config": {"TypeError", "ValueError"}, "graph": {"AssertionError"}}


def test_user_errors_are_raised_through_errors() -> None:
    wrong = []
    for place, node in nodes(ast.Raise):
        name = ast.unparse(node.exc.func) if isinstance(node.exc, ast.Call) else ""
        module = place.split(":")[0]
        allowed = RAISED.get(module, set()) | ({"IndexError"} if "kernels" in module else set())
        if hasattr(builtins, name) and name not in allowed:
            wrong.append(f"{place} raises {name}")
    assert wrong == []


def test_nothing_prints_but_commands() -> None:
    calls = [(place, ast.unparse(node.func)) for place, node in nodes(ast.Call)]
    printing = [place for place, name in calls if name == "print"]
    commands = ("__main__", "demo", "tools")
    assert [place for place in printing if not place.startswith(commands)] == []


def test_files_are_short() -> None:
    lengths = {str(p.relative_to(PACKAGE)): len(p.read_text().splitlines()) for p in FILES}
    assert {name: n for name, n in lengths.items() if n > 500} == {}


def function_lengths() -> list[int]:
    """Lines of every function without its docstring."""
    found = []
    for _, node in nodes(ast.FunctionDef):
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        found.append(lines + 1)
    return found


def test_functions_are_short() -> None:
    found = function_lengths()
    assert statistics.median(found) <= 10
    assert sum(n <= 30 for n in found) >= 0.9 * len(found)


def test_every_module_has_a_docstring() -> None:
    written = [name for name, path in MODULES.items() if path.read_text().strip()]
    assert [name for name in written if not ast.get_docstring(tree_of(MODULES[name]))] == []


CONVERTER = """
import io, sys
import tripy as tp
tp.compile(tp.exp, args=[tp.InputInfo((3,), tp.float32)])
import openvino, onnx
assert "openvino.tools.ovc" not in sys.modules
x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [3]) for n in "xy")
graph = onnx.helper.make_graph([onnx.helper.make_node("Exp", ["x"], ["y"])], "g", [x], [y])
opset = onnx.helper.make_opsetid("", 20)
path = sys.argv[1] + "/exp.onnx"
onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), path)
assert openvino.convert_model(path).inputs[0].any_name == "x"
"""


def test_openvino_stays_whole_for_others(tmp_path: Path) -> None:
    """Its converter of models is not imported with it, but is there when somebody calls it."""
    pytest.importorskip("onnx")
    command = [sys.executable, "-W", "ignore", "-c", CONVERTER, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
