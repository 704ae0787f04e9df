"""Frames made ready: filters, the cache, thumbnails, warps, fixed patterns."""
