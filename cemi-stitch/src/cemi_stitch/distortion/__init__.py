"""What a scan does to an image: shear, stretch, rotation; and frames put upright."""
