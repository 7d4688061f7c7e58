"""Runs a saved executable over a large dataset with Ray Data, one executable per worker.

`python examples/ray_images.py model.tripy` makes images, scores them and prints how many went
through each worker. Workers get the path, not the weights: the file is mapped into memory, so
workers of one machine share what they read of it.

Install the extra first: `pip install "tripy-dl[ray]"`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import Any

import numpy as np

import tripy as tp

Batch = dict[str, Any]


class Scorer:
    """One worker: loads the executable once, then takes batches of rows."""

    def __init__(self, path: str, threads: int) -> None:
        with tp.config.override(num_threads=threads):  # workers share the cores of a machine
            self.executable = tp.Executable.load(path)

    def __call__(self, batch: Batch) -> Batch:
        scores = self.executable(batch["image"]).numpy()
        return {"id": batch["id"], "score": scores, "worker": [os.getpid()] * len(scores)}


def score(dataset: Any, path: str, workers: int, threads: int = 1, batch_size: int = 16) -> Any:
    """Return a dataset of the scores of a dataset of images."""
    return dataset.map_batches(
        Scorer,
        fn_constructor_args=(os.path.abspath(path), threads),
        concurrency=workers,
        num_cpus=threads,
        batch_size=batch_size,
    )


def images(count: int, shape: tuple[int, ...]) -> Any:
    """Return a dataset of random images, made by the workers themselves."""
    import ray.data

    def make(batch: Batch) -> Batch:
        made = [np.random.default_rng(i).standard_normal(shape, np.float32) for i in batch["id"]]
        return {"id": batch["id"], "image": np.stack(made)}

    return ray.data.range(count).map_batches(make)


def main(path: str) -> None:
    import ray

    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    info = next(iter(tp.Executable.load(path).input_infos.values()))
    shape = info.shape_bounds.opt[1:]  # type: ignore[union-attr]
    rows = score(images(256, shape), path, workers=2).take_all()
    print(f"{len(rows)} images scored")
    for worker, count in Counter(row["worker"] for row in rows).items():
        print(f"  worker {worker}: {count} images")


if __name__ == "__main__":
    main(sys.argv[1])
