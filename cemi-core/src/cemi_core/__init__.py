"""The contracts of CEMI: what flows between the stages, plugins, test kits, and what several stages compute."""

__version__ = "0.1.0"
