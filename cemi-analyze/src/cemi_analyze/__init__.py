"""CEMI analysis: phase fractions, lamella spacing, lamella fraction, and their relation to properties."""

__version__ = "0.1.0"
