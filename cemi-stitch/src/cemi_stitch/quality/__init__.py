"""How good a layout is."""

from cemi_core.renamed import old_contents

__getattr__ = old_contents(__name__, "cemi_stitch.quality.score")
