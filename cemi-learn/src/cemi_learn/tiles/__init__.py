"""Images larger than memory: a network sees them cell by cell, and the cells join without a seam."""
