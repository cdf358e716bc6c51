"""From photos to masks: the net's logits, the mask at the photo's own size, files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from .checkpoint import write_atomically
from .config import TrainConfig
from .devices import autocast
from .errors import CarvanaError
from .images import read_photo
from .transforms import normalise


@torch.inference_mode()
def predict_logits(model: nn.Module, images: torch.Tensor, tta: bool = False, precision: str = "auto") -> torch.Tensor:
    """Logits (N, 1, H, W), float32, of uint8 images (N, 3, H, W) on the model's device.

    Args:
        tta: average with the prediction for the mirrored photo (test-time augmentation).
        precision: as in TrainConfig; "auto" is bf16 where the device computes it fast. Dice then
            differs from float32's by less than 1e-4.
    """
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


def predict_array(model: nn.Module, photo: np.ndarray, size: tuple[int, int], tta: bool = False) -> np.ndarray:
    """As `predict_photo`, for a photo in memory: uint8 (height, width, 3)."""
    device = next(model.parameters()).device
    small = np.array(Image.fromarray(photo).resize(size, Image.Resampling.BOX))
    images = torch.from_numpy(small).permute(2, 0, 1)[None].to(device)
    logits = predict_logits(model, images, tta)
    return torch.sigmoid(upsample(logits, *photo.shape[:2]))[0, 0].cpu().numpy()


def predict_files(
    model: nn.Module, config: TrainConfig, photos: Sequence[Path], out: Path, threshold: float = 0.5, tta: bool = False
) -> list[Path]:
    """Write `<name>_mask.png` (0 and 255) and `<name>_overlay.jpg` for each photo, at its own size.

    Returns:
        The masks' paths.

    Raises:
        CarvanaError: a photo cannot be read, or two photos would write the same file; nothing is
            written for any photo then.
    """
    from .plotting import overlay

    logit(threshold)
    stems = [photo.stem for photo in photos]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise CarvanaError(f"two photos are named {twice}: predict them one at a time into different folders")
    for photo in photos:
        read_photo(photo, config.size)
    masks = []
    for photo in photos:
        pixels = read_photo(photo)
        mask = predict_array(model, pixels, config.size, tta) > threshold
        path = out / f"{photo.stem}_mask.png"
        write_atomically(path, lambda t, m=mask: Image.fromarray(m.astype(np.uint8) * 255).save(t, "PNG"))
        picture = Image.fromarray(overlay(pixels, mask))
        write_atomically(out / f"{photo.stem}_overlay.jpg", lambda t, p=picture: p.save(t, "JPEG", quality=90))
        masks.append(path)
    return masks
