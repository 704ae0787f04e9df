"""How profiles go with a measured property."""
