"""From pictures to weights: batches, losses, steps, and the command."""
