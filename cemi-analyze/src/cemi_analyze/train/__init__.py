"""The training of segmenters: labels from people, from specimens and from rules, and the task that the bench runs."""
