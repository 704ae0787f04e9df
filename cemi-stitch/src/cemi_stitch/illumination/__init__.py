"""Brightness: gain and offset of each frame, and the shading that all share."""
