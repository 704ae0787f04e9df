"""Frames made ready: filters, the cache, thumbnails, warps, what is fixed in all of them."""
