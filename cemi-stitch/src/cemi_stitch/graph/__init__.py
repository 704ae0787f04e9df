"""Pairs of frames: which may overlap, which are accepted, whether loops close."""
