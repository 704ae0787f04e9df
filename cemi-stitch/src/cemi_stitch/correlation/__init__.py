"""How well two pieces match: ZNCC, phase correlation, peaks, features, shifts of blocks."""
