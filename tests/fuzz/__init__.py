"""Random programs: drawn by a seed, run on every engine, compared, and shrunk where they differ.

``python -m tests.fuzz`` (or ``make fuzz``) runs it; ARCHITECTURE.md says how it works.
"""
