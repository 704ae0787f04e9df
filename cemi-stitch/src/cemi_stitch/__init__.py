"""CEMI stitching: pair matching, global solve, exposure and blending."""

__version__ = "0.1.0"
