"""One Executable called from 1, 2 and 4 Python threads, with all cores and with one core a call.

All rows of a network are ratios to one thread with all cores: above 1 means more calls per second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import foundation
import harness
import mapping
import numpy as np
from foundation import Settings
from harness import Array, Row, Sample, Sampler

import tripy as tp

THREADS = (1, 2, 4)
NETWORKS = ("2 convolutions, 8 x 32 x 32", "21 convolutions, 64 x 14 x 14", "2 x linear, 2048")
CALLS = {name: 4 * mapping.MODELS[name][2] for name in NETWORKS}


def sampler(exe: tp.Executable, x: Array, threads: int, calls: int) -> Sampler:
    """Divides calls among threads, which stay; each has an input of its own."""
    pool, each = ThreadPoolExecutor(threads), max(1, calls // threads)

    def work(data: Array) -> None:
        for _ in range(each):
            exe(data)

    def sample() -> Sample:
        time.sleep(harness.PAUSE_SECONDS)
        inputs = [x.copy() for _ in range(threads)]
        list(pool.map(exe, inputs))  # untimed: wakes the threads, and makes the requests
        with harness.Stopwatch() as watch:
            list(pool.map(work, inputs))
        return watch.sample(each * threads)

    return sample


def thread_rows(settings: Settings) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for name in NETWORKS:
        model, shape, _ = mapping.MODELS[name]
        made = {n: rng.standard_normal(v.shape) * 0.05 for n, v in model.state_dict().items()}
        model.load_state_dict({n: value.astype(np.float32) for n, value in made.items()})
        x = rng.standard_normal(shape).astype(np.float32)
        calls = 4 if settings.quick else CALLS[name]
        samplers = {}
        for cores, text in ((None, "all cores"), (1, "one core each")):
            with tp.config.override(num_threads=cores):
                exe = tp.compile(model, args=[tp.InputInfo(shape, tp.float32)])
            for count in THREADS:
                title = f"{count} thread{'s' * (count > 1)}, {text}"
                samplers[title] = sampler(exe, x, count, calls)
        yield Row(name, harness.interleave(samplers, settings.rounds, settings.patience))


if __name__ == "__main__":
    sys.exit(foundation.main(sys.argv[1:], "bench/threads.py", {"threads": thread_rows}))
