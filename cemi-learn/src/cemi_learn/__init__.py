"""CEMI learn: one training bench for every network, tiled inference, data sets split by specimen, encoders."""

__version__ = "0.2.0"
