"""The shift of a pair of frames, and whether to believe it."""
