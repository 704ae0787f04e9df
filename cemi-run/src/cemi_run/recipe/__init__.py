"""Recipes: YAML with positions, checked settings, overrides and the JSON Schema."""
