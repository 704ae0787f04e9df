"""Lamellae: where they are, how wide, how far apart."""
