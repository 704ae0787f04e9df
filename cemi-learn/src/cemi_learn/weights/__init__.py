"""Files of weights: safetensors that say which network they belong to, and torch files read as plain data."""
