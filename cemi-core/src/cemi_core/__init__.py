"""The core of CEMI: what flows between the stages, plugins, recipes, runs and the command line."""

__version__ = "0.1.0"
