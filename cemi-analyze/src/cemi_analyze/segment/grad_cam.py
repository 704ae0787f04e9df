"""What in an image a segmenter went by: Grad-CAM of the encoder's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cemi_core.errors import InputError, MissingDependencyError

if TYPE_CHECKING:
    from cemi_analyze.segment.segmenter import Segmenter

#: The stage whose features are weighed: 8 px a side folded into one. Coarser ones say where, finer ones see edges only.
_STAGE = 3


def went_by(segmenter: Segmenter, image: NDArray[np.float32], index: int = 1) -> NDArray[np.float32]:
    """Return how much each place of an image speaks for a class, 0 to 1 (the strongest place).

    Selvaraju et al., Int. J. Comput. Vis. 128 (2020) 336; for segmentation the logits of all pixels of the class are
    summed (Vinogradova et al., AAAI 2020). By captum's `LayerGradCam`.

    Parameters
    ----------
    segmenter : Segmenter
    image : ndarray of float32, shape (h, w) or (c, h, w)
        In [0, 1].
    index : int
        The class; where no pixel is of it, all pixels count.

    Returns
    -------
    ndarray of float32, shape (h, w)

    Raises
    ------
    InputError
        There is no such class.
    MissingDependencyError
        captum is not installed.
    """
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise MissingDependencyError("Grad-CAM needs captum: pip install 'cemi-analyze[learn]'") from error
    import torch
    from torch import Tensor, nn

    count = len(segmenter.card.classes)
    if not 1 <= index < count:
        raise InputError(f"the network has no class {index}: give 1 to {count - 1}")
    whole: Any = segmenter.logits_network()

    class Seen(nn.Module):
        """The network with a place at which its features can be looked at."""

        def __init__(self) -> None:
            super().__init__()
            self.at = nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            features = list(whole.network.encoder(images))
            features[_STAGE] = self.at(features[_STAGE])
            logits = whole.network.segmentation_head(whole.network.decoder(features))
            of_class = logits[:, 0] if logits.shape[1] == 1 else logits[:, index]
            wanted = of_class > 0 if logits.shape[1] == 1 else logits.argmax(1) == index
            chosen = wanted if bool(wanted.any()) else torch.ones_like(wanted)
            answer: Tensor = (of_class * chosen).sum((1, 2))
            return answer

    planes = image[None] if image.ndim == 2 else image
    height, width = planes.shape[-2:]
    pad = -height % whole.multiple, -width % whole.multiple
    framed = np.pad(planes, ((0, 0), (0, pad[0]), (0, pad[1])), mode="symmetric").astype(np.float32)
    seen = Seen().eval()
    device = next(whole.parameters()).device
    given = torch.from_numpy(framed[None]).to(device).requires_grad_(True)
    with torch.enable_grad():
        found = LayerGradCam(seen, seen.at).attribute(given, relu_attributions=True)
    coarse = np.asarray(found[0, 0].detach().float().cpu(), np.float32)
    heat = cv2.resize(coarse, (framed.shape[2], framed.shape[1]), interpolation=cv2.INTER_LINEAR)[:height, :width]
    top = float(heat.max())
    return np.asarray(heat / top if top > 0 else heat, np.float32)
