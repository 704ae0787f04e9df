"""Large arrays on disk: mosaics (HDF5 or OME-Zarr) and frames."""
