"""From a recipe to a finished run folder: steps, executors, checkpoints, provenance and progress."""
