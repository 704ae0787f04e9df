"""A first layout from thumbnails, in known order or none."""

from cemi_core.renamed import old_contents

__getattr__ = old_contents(__name__, "cemi_stitch.coarse.coarse_layout")
