"""Shares of phases by their grey levels."""
