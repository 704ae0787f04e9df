"""Files: written in one step, and found by path, folder or pattern."""
