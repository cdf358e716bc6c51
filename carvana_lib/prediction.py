"""From photos to masks: the net's logits, the mask at the photo's own size, files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from .config import TrainConfig
from .data import PHOTO_SUFFIXES, file_names
from .devices import autocast
from .errors import CarvanaError
from .files import write_atomically
from .images import read_photo, resize
from .transforms import normalise


@torch.inference_mode()
def predict_logits(model: nn.Module, images: torch.Tensor, tta: bool = False, precision: str = "auto") -> torch.Tensor:
    """Logits (N, 1, H, W), float32, of uint8 images (N, 3, H, W) on the model's device.

    Args:
        tta: average with the prediction for the mirrored photo (test-time augmentation).
        precision: as in TrainConfig; "auto" is bf16 where the device computes it fast; Dice
            then stays within 1e-3 of float32's.
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
    logits = predict_logits(model, as_batch(photo, size).to(device), tta)
    return torch.sigmoid(upsample(logits, *photo.shape[:2]))[0, 0].cpu().numpy()


def predict_tiled(
    model: nn.Module, photo: np.ndarray, size: tuple[int, int], tile: int = 512, overlap: int = 64, tta: bool = False
) -> np.ndarray:
    """As `predict_array`, but the net sees one square of the resized photo at a time: memory for any `size`.

    Where tiles overlap their logits are averaged, each tile weighing less towards its own edge, where
    it sees least of the surroundings.

    Args:
        size: (width, height) the photo is resized to before it is cut into tiles.
        tile: side of a tile in pixels of the resized photo.
        overlap: pixels that neighbouring tiles share.

    Raises:
        CarvanaError: the overlap is not smaller than the tile.
    """
    if not 0 <= overlap < tile:
        raise CarvanaError(f"overlap={overlap} must be at least 0 and less than tile={tile}")
    device = next(model.parameters()).device
    images = as_batch(photo, size)
    width, height = size
    total, weight = torch.zeros(1, 1, height, width), torch.zeros(1, 1, height, width)
    for top in _tile_starts(height, tile, overlap):
        for left in _tile_starts(width, tile, overlap):
            here = (..., slice(top, top + tile), slice(left, left + tile))
            logits = predict_logits(model, images[here].to(device), tta).cpu()
            ramp = _ramp(logits.shape[-2], overlap)[:, None] * _ramp(logits.shape[-1], overlap)
            total[here] += logits * ramp
            weight[here] += ramp
    return torch.sigmoid(upsample(total / weight, *photo.shape[:2]))[0, 0].numpy()


def as_batch(photo: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Photo uint8 (H, W, 3) as uint8 (1, 3, height, width) of `size` = (width, height)."""
    return torch.from_numpy(np.array(resize(Image.fromarray(photo), size))).permute(2, 0, 1)[None]


def _tile_starts(side: int, tile: int, overlap: int) -> list[int]:
    """First pixels of the tiles along a side; the last tile ends at the side's end."""
    last = max(0, side - tile)
    return [*range(0, last, tile - overlap), last]


def _ramp(side: int, overlap: int) -> torch.Tensor:
    """Weights (side,) that rise from each end over `overlap` pixels, above 0 everywhere."""
    distance = torch.minimum(torch.arange(side), torch.arange(side - 1, -1, -1)) + 1
    return (distance / (overlap + 1)).clamp(max=1)


def predict_folder(
    model: nn.Module, config: TrainConfig, folder: Path, threshold: float = 0.5, tta: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """File name and mask, bool (height, width), of each photo in `folder`, by name, with a progress bar.

    Raises:
        CarvanaError: at the first step, for no such folder or no photos in it; later, for a photo that
            cannot be read.
    """
    logit(threshold)
    if not folder.is_dir():
        raise CarvanaError(f"no folder {folder}: check the path")
    names = [name for name in file_names(folder) if name.lower().endswith(PHOTO_SUFFIXES) and name[0] != "."]
    photos = [folder / name for name in sorted(names)]
    if not photos:
        raise CarvanaError(f"{folder} holds no photos ({', '.join(PHOTO_SUFFIXES)}): name the folder they lie in")
    for photo in tqdm(photos, "Predicting", unit="photo"):
        yield photo.name, predict_photo(model, photo, config.size, tta) > threshold


def predict_files(
    model: nn.Module, config: TrainConfig, photos: Sequence[Path], out: Path, threshold: float = 0.5, tta: bool = False
) -> list[Path]:
    """Write `<name>_mask.png` (0 and 255) and `<name>_overlay.jpg` for each photo, at its own size.

    Returns:
        The masks' paths.

    Raises:
        CarvanaError: a photo cannot be read, two photos would write the same file, or one of the files
            would replace a photo: nothing is written for any photo then. Or a file cannot be written: the
            files of the photos before it stay.
    """
    from .plotting import overlay

    logit(threshold)
    stems = [photo.stem for photo in photos]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise CarvanaError(f"two photos are named {twice}: predict them one at a time into different folders")
    masks = [out / f"{stem}_mask.png" for stem in stems]
    overlays = [out / f"{stem}_overlay.jpg" for stem in stems]
    given = {photo.resolve() for photo in photos}
    if hit := next((path for path in masks + overlays if path.resolve() in given), None):
        raise CarvanaError(f"{hit} is one of the photos and would be replaced: name another folder for the masks")
    for photo in photos:
        read_photo(photo, config.size)
    for photo, mask_path, overlay_path in zip(photos, masks, overlays, strict=True):
        pixels = read_photo(photo)
        mask = predict_array(model, pixels, config.size, tta) > threshold
        write_atomically(mask_path, lambda t, m=mask: Image.fromarray(m.astype(np.uint8) * 255).save(t, "PNG"))
        picture = Image.fromarray(overlay(pixels, mask))
        write_atomically(overlay_path, lambda t, p=picture: p.save(t, "JPEG", quality=90))
    return masks
