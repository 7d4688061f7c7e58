"""Measurements on GPUs: `python -m bench.gpu` and `python -m bench.gpu.scaling`."""
