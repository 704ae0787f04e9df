"""Sources of frames: stills, recordings of a moving stage, arrays."""
