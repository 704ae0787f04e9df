"""Frames put together into the mosaic."""
