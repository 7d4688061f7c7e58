"""What engines get wrong: the smallest programs that show it, and what the package does instead.

``python -m tests.faults`` says of each fault whether this machine and these versions show it;
``python -m tests.faults --write`` writes the page of the documentation.
"""
