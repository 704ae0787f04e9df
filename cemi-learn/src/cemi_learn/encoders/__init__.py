"""Encoders: named backbones with their licence and the hash of their weights."""
