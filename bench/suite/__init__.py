"""Convolutions and whole networks on the CPU, beside everybody: `python -m bench.suite`."""
