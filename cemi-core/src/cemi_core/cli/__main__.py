"""``python -m cemi_core.cli``: the program where its script is not on the path."""

from cemi_core.cli.main import main

main()
