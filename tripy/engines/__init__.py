"""Engines: what runs a graph. ``base`` holds the protocol and the look-up."""
