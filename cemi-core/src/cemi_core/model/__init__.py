"""What flows between the stages: frames, layouts, mosaics, grids and results."""
