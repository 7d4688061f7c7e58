"""The recipe for Ray Data, on a cluster of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tripy as tp

ray: Any = pytest.importorskip("ray", reason="needs the extra ray")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    paths = [str(ROOT), str(ROOT / "examples")]
    environment = {"env_vars": {"PYTHONPATH": ":".join(paths)}}
    options = {"include_dashboard": False, "logging_level": "ERROR", "log_to_driver": False}
    ray.init(num_cpus=3, runtime_env=environment, **options)
    yield
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")  # of Ray itself
@pytest.mark.usefixtures("_cluster")
def test_workers_score_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import ray_images

    shape = (2, 6, 6)
    rng = np.random.default_rng(0)
    weight = tp.Parameter(rng.standard_normal((3, 2, 3, 3)).astype(np.float32))
    info = tp.InputInfo(((1, 8, 64), *shape), tp.float32)
    exe = tp.compile(lambda x: tp.mean(tp.relu(tp.conv(x, weight)), (2, 3)), args=[info])
    exe.save(tmp_path / "model.tripy")
    dataset = ray_images.images(100, shape)
    rows = ray_images.score(dataset, str(tmp_path / "model.tripy"), 2, batch_size=8).take_all()
    assert sorted(row["id"] for row in rows) == list(range(100))
    for row in rows:
        image = np.random.default_rng(row["id"]).standard_normal(shape, np.float32)
        np.testing.assert_allclose(row["score"], exe(image[None]).numpy()[0], rtol=1e-5, atol=1e-6)
