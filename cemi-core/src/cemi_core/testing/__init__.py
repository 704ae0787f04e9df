"""Test kits, one class per stage, that a plugin author subclasses."""
