"""How a run is carried out: steps and their keys, executors, the run folder, progress, provenance."""
