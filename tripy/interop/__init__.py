"""Files of other libraries: safetensors and torch checkpoints."""
