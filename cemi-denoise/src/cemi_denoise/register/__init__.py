"""Two views of one field, laid onto each other to a small fraction of a pixel."""
