"""Networks written once, for tripy, torch and JAX: their layers, random weights and contestants."""
