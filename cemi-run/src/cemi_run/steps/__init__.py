"""The steps of a run, each from what the steps before have left."""
