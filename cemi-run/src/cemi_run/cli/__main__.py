"""``python -m cemi_run.cli``: the program where its script is not on the path."""

from cemi_run.cli.main import main

main()
