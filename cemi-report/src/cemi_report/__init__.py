"""The report of a run: one HTML page that needs nothing else, and its figures."""

__version__ = "0.2.0"
