"""The MiniLM sentence encoder: tripy beside torch, ONNX Runtime and OpenVINO's own API."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import foundation
import harness
import numpy as np
import onnxruntime
import openvino as ov
import peers
import torch
import torch_peers
import transformers
from foundation import ERROR_LIMIT, TRIPY, Settings
from harness import Array, Contestant, Goal, Row

import tripy as tp

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import minilm

# (sentences, tokens of the longest one) -> what a dynamic shape may cost; shapes are inferred anew
# in every call.
SHAPES = {(8, 128): 1.05, (1, 16): 1.25}
QUICK_SHAPES = {(2, 16): 1.25}
DYNAMIC, RUNTIME = "tripy, dynamic shape", "ONNX Runtime"
LENGTHS = (1.0, 0.8, 0.5, 1.0, 0.2, 0.7, 1.0, 0.4)  # of the sentences, to the longest one


class Encoder(torch.nn.Module):
    """BertModel of transformers, mean pooling and normalisation, of tokens and mask in one."""

    def __init__(self, attention: str) -> None:
        super().__init__()
        self.bert = transformers.BertModel.from_pretrained(
            minilm.model_folder(), attn_implementation=attention, add_pooling_layer=False
        )

    def forward(self, packed: torch.Tensor) -> torch.Tensor:
        ids, mask = packed[0], packed[1]
        x = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        counted = mask.unsqueeze(-1).to(x.dtype)
        mean = (x * counted).sum(1) / counted.sum(1)
        return torch.nn.functional.normalize(mean, dim=-1)


def encoder(attention: str = "sdpa") -> Encoder:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return Encoder(attention).eval()


def tokens(batch: int, length: int) -> Array:
    """Token numbers and mask of sentences of different lengths."""
    generator = np.random.default_rng(5)
    ids = generator.integers(1000, minilm.WORDS, (batch, length))
    counts = np.resize(np.ceil(np.array(LENGTHS) * length), (batch, 1))
    mask = np.arange(length) < counts
    return np.stack([ids * mask, mask]).astype(np.int64)


def exported(packed: Array) -> bytes:
    """The torch model as ONNX; ONNX Runtime is faster with attention that is spelled out."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            *(encoder("eager"), (torch.from_numpy(packed),), buffer),
            dynamo=False,
            opset_version=20,
            input_names=["packed"],
        )
    return buffer.getvalue()


def runtime(model: bytes, packed: Array, threads: int) -> Contestant:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options)
    return Contestant(RUNTIME, lambda: session.run(None, {"packed": packed})[0])


def ours(packed: Array) -> list[Contestant]:
    """The model of the example, compiled for one shape and for all shapes."""
    ids, mask = packed[0].astype(np.int32), packed[1].astype(bool)
    model = minilm.load_model()
    infos = [tp.InputInfo(ids.shape, tp.int32), tp.InputInfo(ids.shape, tp.bool)]
    static, dynamic = tp.compile(model, args=infos), minilm.compile_model(model)
    return [
        Contestant(TRIPY, partial(static, ids, mask)),
        Contestant(DYNAMIC, partial(dynamic, ids, mask)),
    ]


def others(packed: Array, settings: Settings) -> tuple[list[Contestant], list[str]]:
    """Contestants and remarks."""
    model = exported(packed)
    graph = ov.Core().read_model(model, b"")
    found = [
        peers.OpenVINO(settings.threads).contestant(graph, packed),
        runtime(model, packed, settings.threads),
        torch_peers.eager(encoder(), packed),
    ]
    notes = []
    for freezing in (False, True):
        module: Any = encoder()
        compiled, remark = foundation.torch_compiled(module, packed, settings, freezing=freezing)
        if compiled is None:
            notes.append(remark)
        else:
            found.append(compiled)
    return found, list(dict.fromkeys(notes))


def minilm_rows(settings: Settings) -> Iterator[Row]:
    shapes = QUICK_SHAPES if settings.quick else SHAPES
    for (batch, length), limit in shapes.items():
        torch_peers.forget_compiled()
        packed = tokens(batch, length)
        expected = encoder().double()(torch.from_numpy(packed)).numpy()
        contestants, notes = others(packed, settings)
        contestants = [*ours(packed), *contestants]
        errors = harness.check(contestants, expected, ERROR_LIMIT)
        samples = harness.measure(contestants, settings.rounds, patience=settings.patience)
        goals = [Goal(TRIPY, 1.0, c.name) for c in contestants[2:] if c.name != "OpenVINO"]
        goals += [Goal(TRIPY, 1.05, "OpenVINO"), Goal(DYNAMIC, limit, TRIPY)]
        yield Row(f"MiniLM, {batch} x {length} tokens", samples, goals, errors, notes=notes)


if __name__ == "__main__":
    sys.exit(foundation.main(sys.argv[1:], "bench/minilm.py", {"minilm": minilm_rows}))
