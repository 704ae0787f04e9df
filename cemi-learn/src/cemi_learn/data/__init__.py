"""Annotated images: read, checked, and split so that no specimen is both trained on and measured on."""
