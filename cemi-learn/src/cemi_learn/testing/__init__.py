"""Test kits for networks: that tiles join without a seam, and that a training is what the bench takes it for."""

from cemi_learn.testing.seams import seam_of
from cemi_learn.testing.tasks import TaskTests

__all__ = ["TaskTests", "seam_of"]
