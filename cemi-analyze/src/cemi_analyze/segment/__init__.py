"""Images cut into classes by a trained network: masks, probabilities, shares with intervals, regions as objects."""
