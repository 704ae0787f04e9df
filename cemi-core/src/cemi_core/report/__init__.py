"""The report that a person reads: one self-contained HTML page."""
