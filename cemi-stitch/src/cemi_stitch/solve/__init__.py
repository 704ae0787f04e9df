"""The places of all frames from the shifts of pairs."""

from cemi_core.renamed import old_contents

__getattr__ = old_contents(__name__, "cemi_stitch.solve.least_squares")
