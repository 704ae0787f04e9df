"""Intervals of what is measured in fields, blocks and cells."""
