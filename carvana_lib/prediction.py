"""From photos to masks: the net's logits, the mask at the photo's own size, files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from .base.arrays import as_image, described
from .base.class_counts import most_likely
from .base.devices import autocast
from .base.errors import CarvanaError
from .images import read_photo, resize
from .transforms import normalise


@torch.inference_mode()
def predict_logits(model: nn.Module, images: torch.Tensor, tta: bool = False, precision: str = "auto") -> torch.Tensor:
    """Logits (N, 1 or C, H, W), float32, of uint8 images (N, 3, H, W) on the model's device.

    Args:
        tta: average with the prediction for the mirrored photo (test-time augmentation).
        precision: as in TrainConfig; "auto" is bf16 where the device computes it fast; Dice
            then stays within 1e-3 of float32's.

    Images of another dtype raise a ValueError: nobody could tell whether they end at 1 or at 255.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8, 0 to 255, not {described(images)}: (255 * images).byte() of 0 to 1")
    inputs = normalise(images).contiguous(memory_format=torch.channels_last)
    with autocast(precision, images.device):
        logits = model(inputs).float()
        if tta:
            logits = (logits + model(inputs.flip(-1)).flip(-1).float()) / 2
    return logits


def upsample(logits: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Logits (N, 1, h, w) to (N, 1, height, width), bilinear, pixel centres kept in place."""
    return F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)


def logit(threshold: float) -> float:
    """The logit at which the probability is `threshold`. Raises CarvanaError outside [0, 1]."""
    if not 0 <= threshold <= 1:
        raise CarvanaError(f"threshold {threshold} is not a probability: choose one from 0 to 1")
    if threshold in (0, 1):
        return math.inf if threshold else -math.inf
    return math.log(threshold / (1 - threshold))


def predict_photo(model: nn.Module, path: str | Path, size: tuple[int, int], tta: bool = False) -> np.ndarray:
    """Probability of car for each pixel of a photo of any size: float32 (height, width) in [0, 1].

    Args:
        model: as `load_model` gives it.
        path: photo; its EXIF turn is applied, so the result matches what a viewer shows.
        size: (width, height) the net was trained at.
    """
    return predict_array(model, read_photo(path), size, tta)


def predict_array(
    model: nn.Module, photo: np.ndarray | Image.Image, size: tuple[int, int], tta: bool = False
) -> np.ndarray:
    """As `predict_photo`, for a photo in memory, see `as_image`."""
    image = as_image(photo)
    logits = _logits_of(model, image, size, tta)
    if logits.shape[1] > 1:
        raise CarvanaError(f"the net tells {logits.shape[1]} classes apart: predict_labels gives their numbers")
    return torch.sigmoid(upsample(logits, image.height, image.width))[0, 0].cpu().numpy()


def predict_labels(
    model: nn.Module, photo: str | Path | np.ndarray | Image.Image, size: tuple[int, int], tta: bool = False
) -> np.ndarray:
    """Class number of each pixel of a photo, a file or as for `predict_array`: uint8 (height, width).

    Raises CarvanaError for a net of one logit, which gives a probability instead.
    """
    image = as_image(read_photo(photo) if isinstance(photo, str | Path) else photo)
    logits = _logits_of(model, image, size, tta)
    if logits.shape[1] == 1:
        raise CarvanaError("the net tells car from background only: use predict_array, which gives probabilities")
    return most_likely(logits, image.height, image.width)[0].cpu().numpy()


def _logits_of(model: nn.Module, image: Image.Image, size: tuple[int, int], tta: bool) -> torch.Tensor:
    return predict_logits(model, as_batch(image, size).to(next(model.parameters()).device), tta)


def as_batch(photo: np.ndarray | Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """A photo, see `as_image`, as uint8 (1, 3, height, width) of `size` = (width, height)."""
    return torch.from_numpy(np.array(resize(as_image(photo), size))).permute(2, 0, 1)[None]
