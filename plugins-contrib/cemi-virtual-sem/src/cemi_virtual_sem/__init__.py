"""A virtual specimen, microscope and screen recorder with full truth, for CEMI."""

__version__ = "0.1.0"
