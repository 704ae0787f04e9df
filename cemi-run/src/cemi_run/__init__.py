"""The engine of CEMI: recipes, runs, sources, stores, exports and the command line."""

__version__ = "0.2.0"
