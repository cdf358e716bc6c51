"""Predict a photo in overlapping squares, so that a photo of any size fits into memory."""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..base.arrays import as_image
from ..base.errors import CarvanaError
from ..prediction import as_batch, predict_logits, upsample


def predict_tiled(
    model: nn.Module,
    photo: np.ndarray | Image.Image,
    size: tuple[int, int],
    tile: int = 512,
    overlap: int = 64,
    tta: bool = False,
) -> np.ndarray:
    """Probability of car for each pixel of a photo, from a net that sees one tile of it at a time.

    The photo, given as to `predict_array`, is resized to `size` = (width, height). A tile is a square of the resized
    photo, `tile` pixels wide, so the net's memory does not depend on `size`. Neighbouring tiles share `overlap` pixels,
    where their logits are averaged. Each tile weighs less towards its own edge, where it sees least of the
    surroundings. `tta` averages with the prediction for the mirrored tile. The result is float32 (height, width) in
    [0, 1], as from `predict_array`. An overlap as large as the tile or a net of several classes is a CarvanaError.
    """
    if not 0 <= overlap < tile:
        raise CarvanaError(f"overlap={overlap} must be at least 0 and less than tile={tile}")
    device = next(model.parameters()).device
    image, (width, height) = as_image(photo), size
    images = as_batch(image, size)
    total, weight = torch.zeros(1, 1, height, width), torch.zeros(1, 1, height, width)
    # The first pixel of each tile along a side; the last tile ends where the side ends.
    tops, lefts = ([*range(0, last, tile - overlap), last] for last in (max(0, height - tile), max(0, width - tile)))
    for top, left in product(tops, lefts):
        here = (..., slice(top, top + tile), slice(left, left + tile))
        logits = predict_logits(model, images[here].to(device), tta).cpu()
        if logits.shape[1] > 1:
            raise CarvanaError(
                f"tiles are predicted of two classes, and the net tells {logits.shape[1]}: predict_labels"
            )
        ramp = _ramp(logits.shape[-2], overlap)[:, None] * _ramp(logits.shape[-1], overlap)
        total[here] += logits * ramp
        weight[here] += ramp
    return torch.sigmoid(upsample(total / weight, image.height, image.width))[0, 0].numpy()


def _ramp(side: int, overlap: int) -> torch.Tensor:
    """Weights (side,) that rise from each end over `overlap` pixels, above 0 everywhere."""
    distance = torch.minimum(torch.arange(side), torch.arange(side - 1, -1, -1)) + 1
    return (distance / (overlap + 1)).clamp(max=1)
