"""Texture of a cell: two-point statistics and chords, descriptors, sharpness."""
