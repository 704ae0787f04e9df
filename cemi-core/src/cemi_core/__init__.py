"""The contracts of CEMI: what flows between the stages, plugins, test kits, and what several stages compute."""

from cemi_core.renamed import CORE_MOVES, keep_old_modules

__version__ = "0.2.0"

keep_old_modules(CORE_MOVES)
