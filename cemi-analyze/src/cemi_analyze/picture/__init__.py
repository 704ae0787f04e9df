"""Pictures on their way into an analyzer: cells, texture, direction."""

from functools import partial

from cemi_core.renamed import old_name

__getattr__ = partial(old_name, __name__)
