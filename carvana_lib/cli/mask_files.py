"""Masks of many photos, one after the other, and the files they are written to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn
from tqdm.auto import tqdm

from ..base.data_folder import PHOTO_SUFFIXES, file_names
from ..base.errors import CarvanaError
from ..base.files import write_atomically
from ..config import TrainConfig
from ..images import read_photo
from ..prediction import logit, predict_array, predict_photo


def predict_folder(
    model: nn.Module, config: TrainConfig, folder: Path, threshold: float = 0.5, tta: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """File name and mask, bool (height, width), of each photo in `folder`, by name, with a progress bar.

    Raises CarvanaError at the first step for a folder without photos, later for a photo that cannot be read.
    """
    logit(threshold)
    if not folder.is_dir():
        raise CarvanaError(f"no folder {folder}: check the path")
    names = sorted(file_names(folder))
    photos = [folder / name for name in names if name.lower().endswith(PHOTO_SUFFIXES) and name[0] != "."]
    if not photos:
        raise CarvanaError(f"{folder} holds no photos ({', '.join(PHOTO_SUFFIXES)}): name the folder they lie in")
    for photo in tqdm(photos, "Predicting", unit="photo"):
        yield photo.name, predict_photo(model, photo, config.size, tta) > threshold


def predict_files(
    model: nn.Module, config: TrainConfig, photos: Sequence[Path], out: Path, threshold: float = 0.5, tta: bool = False
) -> list[Path]:
    """Write `<name>_mask.png` (0 and 255) and `<name>_overlay.jpg` for each photo, at its own size.

    Returns the masks' paths. Raises CarvanaError before anything is written if a photo cannot be read, if two photos
    would write the same file, or if a file would replace a photo; later if a file cannot be written.
    """
    from ..pictures.overlays import overlay

    logit(threshold)
    stems = [photo.stem for photo in photos]
    if twice := next((stem for stem in stems if stems.count(stem) > 1), None):
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
