"""One table of every public operation, run on every engine and compared with NumPy in float64."""
