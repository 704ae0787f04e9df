"""Numerics that several stages share: one function for each idea, in NumPy and SciPy.

A stage may compute the same faster (torch, OpenCV); then a test holds its version against the one here.
"""
