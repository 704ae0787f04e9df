"""The report: one self-contained page that shows what was done, what came out and how far to trust it."""
