"""Files of executables: a zip with a manifest, the graph, the weights and the engine's program.

Nothing in it is code, and every member is stored as it is, so that weights are mapped into memory.
"""

from __future__ import annotations

import io
import json
import logging
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from threading import get_ident
from types import FrameType
from typing import Any, NamedTuple

from tripy import distributed, dtypes, errors, sharding
from tripy.calls import InputLeaf
from tripy.compile import PRECISIONS
from tripy.devices import CPU, devices, require
from tripy.devices import device as device_of
from tripy.dtypes import BY_NAME
from tripy.engines import base
from tripy.executable import Executable, OutputPlan, Parameters, output_plan
from tripy.graph import Graph
from tripy.inputs import DimensionInputInfo, InputInfo, NamedDimension
from tripy.interop import files, safetensors
from tripy.interop.archive import Archive
from tripy.interop.digest import digest_of
from tripy.interop.files import FilePath, bad
from tripy.portable import (
    dumped,
    graph_from_json,
    graph_to_parts,
    template_from_json,
    template_to_json,
)

FORMAT = 1
_MANIFEST, _GRAPH, _WEIGHTS, _PROGRAM = (
    "manifest.json",
    "graph.json",
    "weights.safetensors",
    "engine/program",
)
_ALIGNMENT = 64
_PADDING_ID = 0x5450  # of the extra field that moves a member to an aligned place
_EXPECTED = "a file that Executable.save wrote"
_FIX = "get the file again, or save the executable again"
_logger = logging.getLogger("tripy.runtime")


# --- saving ----------------------------------------------------------------------------------


def save(executable: Executable, path: FilePath, engine_blob: bool) -> None:
    """Write an executable; the file appears only when it is complete."""
    members = _members(executable, engine_blob)
    files.write(path, lambda file: _fill(file, members))


def to_bytes(executable: Executable) -> bytes:
    """Return what ``save`` writes; workers of other processes get it."""
    file = io.BytesIO()
    _fill(file, _members(executable, True))
    return file.getvalue()


def _members(executable: Executable, engine_blob: bool) -> dict[str, list[Any]]:
    record, weights = graph_to_parts(executable._graph)
    members: dict[str, list[Any]] = {_GRAPH: record, _WEIGHTS: weights}
    blob = executable._program.export() if engine_blob and executable._program else None
    if blob is not None:
        members[_PROGRAM] = [blob]
    manifest = _manifest(executable, members)
    return {_MANIFEST: [dumped(manifest)], **members}


def _manifest(executable: Executable, members: Mapping[str, list[Any]]) -> dict[str, Any]:
    from tripy import __version__

    options = executable._options
    engine = base.load(executable.engine)
    return {
        "format": FORMAT,
        "tripy": __version__,
        "engine": executable.engine,
        "fingerprint": engine.fingerprint(options),
        "device": str(executable.device),
        "precision": executable.precision,
        "optimization_level": options.optimization_level,
        "parameters": {
            name: template_to_json(t) for name, t in executable._parameters.templates.items()
        },
        "inputs": [[leaf.path, _info_to_json(leaf.info)] for leaf in executable._inputs.leaves],
        "result": template_to_json(executable._template),
        "outputs": executable._paths,
        "members": {name: list(digest_of(chunks)) for name, chunks in members.items()},
    } | ({} if options.layout is None else {"mesh": sharding.to_record(options.layout)})


def _info_to_json(info: InputInfo | DimensionInputInfo) -> Any:
    if isinstance(info, DimensionInputInfo):
        b = info.value_bounds
        return [b.min[0], b.opt[0], b.max[0]]
    b = info.shape_bounds
    dims = [
        [*bounds, info.dimension_names.get(i)] for i, bounds in enumerate(zip(b.min, b.opt, b.max))
    ]
    return {"dtype": info.dtype.name, "dims": dims}


def _fill(file: Any, members: Mapping[str, list[Any]]) -> None:
    """Write a zip without compression, its members at aligned places."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, chunks in members.items():
            size = sum(memoryview(chunk).nbytes for chunk in chunks)
            info = zipfile.ZipInfo(name)
            info.extra = _padding(file.tell(), name, is_large := size >= 2**31)
            with archive.open(info, "w", force_zip64=is_large) as member:
                for chunk in chunks:
                    member.write(chunk)


def _padding(position: int, name: str, is_large: bool) -> bytes:
    """Return the extra field of a member that starts at a position."""
    start = position + 30 + len(name.encode()) + 4 + 20 * is_large
    count = -start % _ALIGNMENT
    return struct.pack("<HH", _PADDING_ID, count) + bytes(count)


# --- loading ---------------------------------------------------------------------------------


def _checked(archive: Archive, name: str, expected: Any) -> memoryview:
    """Return the bytes of a member; BadFile unless size and digest are those expected."""
    if expected != list(digest_of(archive.parts(name))):
        bad(f"its member {name!r} is damaged")
    return archive.member(name)


def _parsed(name: str, member: memoryview) -> Any:
    try:
        return json.loads(bytes(member))
    except (ValueError, RecursionError):
        return bad(f"its member {name!r} is no JSON")


def _manifest_of(archive: Archive) -> dict[str, Any]:
    info = archive.infos.get(_MANIFEST)
    if info is None:
        bad("it has no manifest")
    member = archive.member(_MANIFEST)
    if zlib.crc32(member) != info.CRC:
        bad("its manifest is damaged")
    manifest = _parsed(_MANIFEST, member)
    if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
        bad("its manifest has no format version")
    if manifest["format"] > FORMAT:
        bad(f"it has the newer format {manifest['format']}", "update tripy to read it")
    return manifest


def load(path: FilePath, device: Any, engine: str | None) -> Executable:
    """Return the executable of a file; its program is rebuilt where it does not fit here."""
    return files.read(path, lambda data: _decoded(data, path, device, engine), _EXPECTED, _FIX)


class Summary(NamedTuple):
    """What a file says: its manifest, an executable without program, and whether its program fits.

    The executable cannot be called; it shows signature and graph.
    """

    manifest: dict[str, Any]
    executable: Executable
    program: str


def summary(path: FilePath) -> Summary:
    """Check a whole file and return what it says; no program is built."""

    def decode(data: Any) -> Summary:
        file, content = _opened(data, path)
        return file.summary(content)

    return files.read(path, decode, _EXPECTED, _FIX)


def from_bytes(data: bytes) -> Executable:
    """Return the executable of ``to_bytes``; in multiprocessing, errors wait for its use."""
    try:
        return _of_bytes(data)
    except Exception:
        if not _is_received(sys._getframe(1)):
            raise
    return _Received(data)


def _of_bytes(data: bytes) -> Executable:
    name = "<bytes>"
    return files.checked(name, lambda: _decoded(data, name, None, None), _EXPECTED, _FIX)


def _is_received(frame: FrameType | None) -> bool:
    """Whether a package for processes unpickles: after an error, its pools wait for ever."""
    while frame is not None and frame.f_globals.get("__name__") == "pickle":
        frame = frame.f_back
    name = "" if frame is None else str(frame.f_globals.get("__name__"))
    return name.partition(".")[0] in ("multiprocessing", "multiprocess", "billiard")


class _Received(Executable):
    """An executable that could not be loaded yet; it is when it is used, or says why not."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        is_own = name == "engine" or (name.startswith("_") and not name.startswith("__"))
        if not is_own or self.__dict__.get("_loader") == get_ident():  # an error describes it
            return object.__getattribute__(self, name)  # which says that it is missing
        self._loader = get_ident()
        try:
            loaded = _of_bytes(self._data)
        finally:
            self.__dict__.pop("_loader", None)
        self.__class__, self.__dict__ = Executable, loaded.__dict__  # type: ignore[assignment]
        return getattr(self, name)

    def _call_parameters_(self) -> tuple[str, ...]:
        return ()

    def __repr__(self) -> str:
        return "<Executable that is loaded when it is used>"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        return from_bytes, (self._data,)


# What reading a record raises that says something else than the format.
_INCONSISTENT = (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError)


class _Content(NamedTuple):
    """What a file says, apart from the engine's program."""

    precision: str
    level: int
    device: device_of
    engine: str
    parameters: Parameters
    leaves: list[InputLeaf]
    template: Any
    paths: list[str]
    graph: Graph
    mesh: sharding.Layout | None


def _decoded(data: Any, path: FilePath, device: Any, engine: str | None) -> Executable:
    file, content = _opened(data, path)
    return file.executable(content, device, engine)


def _opened(data: Any, path: FilePath) -> tuple[_File, _Content]:
    archive = Archive(data)
    file = _File(archive, _manifest_of(archive), path)
    try:
        return file, file.content()
    except files.BadFile:
        raise
    except errors.TripyUnsupportedError:
        raise
    except _INCONSISTENT as problem:
        reason = str(problem).splitlines()[0] if str(problem) else ""
        bad(f"its records are inconsistent ({type(problem).__name__}: {reason})")


class _File:
    def __init__(self, archive: Archive, manifest: dict[str, Any], path: FilePath) -> None:
        self.archive = archive
        self.manifest = manifest
        self.path = path

    def content(self) -> _Content:
        """Read and check everything but the program."""
        manifest = self.manifest
        record = _parsed(_GRAPH, self._member(_GRAPH))
        constants = safetensors.decode(self._member(_WEIGHTS), CPU, self.path)
        if manifest["precision"] not in PRECISIONS:
            bad(f"there is no precision {errors.brief(manifest['precision'])}")
        if not isinstance(manifest["engine"], str):
            bad(f"there is no engine {errors.brief(manifest['engine'])}")
        graph = graph_from_json(record, constants, CPU)
        leaves = [InputLeaf(name, _info_from_json(row)) for name, row in manifest["inputs"]]
        _check_ends(graph, leaves, manifest["outputs"])
        return _Content(
            manifest["precision"],
            int(manifest["optimization_level"]),
            device_of(manifest["device"]),
            manifest["engine"],
            Parameters({n: template_from_json(t) for n, t in manifest["parameters"].items()}),
            leaves,
            template_from_json(manifest["result"]),
            manifest["outputs"],
            graph,
            sharding.from_record(manifest.get("mesh")),
        )

    def executable(self, content: _Content, device: Any, engine: str | None) -> Executable:
        """Return the executable on a device and engine; None means the saved ones."""
        place = require(device) if device is not None else _present(content.device)
        options = base.options_now(place, content.precision, content.level)
        if engine is None:
            _check_installed(content.engine)
        chosen = base.load(engine or content.engine)
        plan = output_plan(content.graph)
        if content.mesh is not None and device is None and engine is None:
            options = _over_mesh(options, content.mesh, content, plan)
        program = self._program(chosen, plan.graph, options) if plan.graph.outputs else None
        return _assembled(content, plan, program, chosen.name, options)

    def summary(self, content: _Content) -> Summary:
        """Check the rest of the file, and return what it says."""
        for name in self.manifest["members"]:
            if name not in (_GRAPH, _WEIGHTS, _PROGRAM):  # those are checked with the others
                self._member(name)
        options = base.options_now(content.device, content.precision, content.level)
        options = options._replace(layout=content.mesh)
        plan = output_plan(content.graph)
        executable = _assembled(content, plan, None, content.engine, options)
        fits = self._program_text(content, options) if plan.graph.outputs else "none is needed"
        return Summary(self.manifest, executable, fits)

    def _program_text(self, content: _Content, options: base.Options) -> str:
        if content.engine not in base.NAMES or not base.is_installed(content.engine):
            return f"cannot run here, because the engine {content.engine!r} is not installed"
        fingerprint = base.load(content.engine).fingerprint(options)
        if not fingerprint:
            return f"none; the engine {content.engine!r} runs the graph"
        reason = self._misfit(fingerprint)
        return f"built when the file is loaded, because {reason}" if reason else "fits this machine"

    def _member(self, name: str) -> memoryview:
        return _checked(self.archive, name, self.manifest["members"][name])

    def _program(self, engine: base.Engine, graph: Graph, options: base.Options) -> Any:
        program = self._restored(engine, graph, options)
        if program is not None:
            return program
        refusals = engine.refusals(graph)
        if refusals:
            raise errors.error(
                errors.TripyUnsupportedError,
                base.describe_refusals(engine.name, refusals),
                received=f"engine={engine.name!r}",
                expected="an engine that takes the whole graph",
                fix=f"leave out engine, or use engine={self.manifest['engine']!r}",
                argument="engine",
            )
        return engine.build(graph, options)

    def _restored(
        self, engine: base.Engine, graph: Graph, options: base.Options
    ) -> base.Program | None:
        """Return the saved program where it fits and is whole, and say why where it is not."""
        fingerprint = engine.fingerprint(options)
        if engine.name != self.manifest["engine"] or not fingerprint:
            return None
        reason = self._misfit(fingerprint)
        try:
            if not reason:
                return engine.restore(graph, options, self.archive.member(_PROGRAM))
        except errors.TripyRuntimeError as problem:
            said = str(problem.__cause__ or str(problem).partition("\n")[0])
            reason = f"the engine refuses it: {' '.join(said.split())}"
        _logger.warning("the program of %s is built again, because %s", self.path, reason)
        return None

    def _misfit(self, fingerprint: str) -> str:
        """Return why the saved program does not fit an engine with a fingerprint, or ''."""
        if _PROGRAM not in self.manifest["members"]:
            return "the file holds none"
        saved = self.manifest.get("fingerprint")
        if saved != fingerprint:
            return f"the saved one is for {saved}"
        try:
            self._member(_PROGRAM)
        except files.BadFile as problem:
            return str(problem)
        return ""


def _assembled(
    content: _Content, plan: OutputPlan, program: Any, engine: str, options: base.Options
) -> Executable:
    return Executable(
        parameters=content.parameters,
        leaves=content.leaves,
        template=content.template,
        paths=content.paths,
        graph=content.graph,
        plan=plan,
        program=program,
        engine=engine,
        options=options,
    )


def _check_ends(graph: Graph, leaves: list[InputLeaf], paths: list[str]) -> None:
    """BadFile where the graph has other inputs and outputs than the manifest."""
    rows = [
        (dtypes.int32, 0) if isinstance(info, DimensionInputInfo) else (info.dtype, info.rank)
        for _, info in leaves
    ]
    if rows != [(v.dtype, len(v.shape)) for v in graph.inputs] or len(paths) != len(graph.outputs):
        bad("its graph and its manifest have different inputs or outputs")


def _check_installed(engine: str) -> None:
    """Raise TripyImportError, naming the engines that would do, unless the saved one is there."""
    if engine in base.NAMES and not base.is_installed(engine):
        others = [f"engine={name!r}" for name in base.NAMES if base.is_installed(name)]
        raise errors.error(
            errors.TripyImportError,
            f"the file was saved for the engine {engine!r}, which is not installed.",
            received=f"an executable for {engine!r}",
            expected="an engine that is installed here",
            fix=f"install it: {base.install_command(engine)}; or load with {errors.one_of(others)}",
        )


def _over_mesh(
    options: base.Options, mesh: sharding.Layout, content: _Content, plan: OutputPlan
) -> base.Options:
    """Return options for a mesh over the devices that are here."""
    place, layout = distributed.found(mesh)
    layout = sharding.with_outputs(layout, plan.graph.outputs, content.graph, content.paths)
    return options._replace(device=place, layout=layout)


def _present(saved: device_of) -> device_of:
    """Return the saved device, or the first of its kind where its index is gone."""
    found = devices(saved.kind)
    if saved in found or not found:
        return require(saved)
    return found[0]


def _info_from_json(row: Any) -> InputInfo | DimensionInputInfo:
    if isinstance(row, list):
        return DimensionInputInfo(row)
    dims = [
        NamedDimension(name, *bounds) if name is not None else tuple(bounds)
        for *bounds, name in row["dims"]
    ]
    return InputInfo(dims, BY_NAME[row["dtype"]])
