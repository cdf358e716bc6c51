"""The photos that a command is given, and a file for the mask of each."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from ..base.classes import paletted
from ..base.data_folder import PHOTO_SUFFIXES, file_names
from ..base.errors import CarvanaError
from ..base.files import write_atomically
from ..config import TrainConfig
from ..images import read_photo
from ..prediction import logit, predict_array, predict_labels


def matching(photos: Sequence[Path]) -> list[Path]:
    """The photos, each once, with the files in place of a pattern such as `test/*.jpg`: Windows' shell leaves patterns.

    Raises CarvanaError for a pattern that no file matches.
    """
    found: list[Path] = []
    for photo in photos:
        is_pattern = any(sign in str(photo) for sign in "*?[") and not os.path.lexists(photo)
        files = sorted(map(Path, glob.glob(str(photo)))) if is_pattern else [photo]
        if not files:
            raise CarvanaError(f"no file matches {photo}: check the folder and the pattern")
        found += files
    return list(dict.fromkeys(found))


def photos_in(folder: Path) -> list[Path]:
    """The photos in `folder`, by name. Raises CarvanaError for a folder without photos, or that cannot be read."""
    if not folder.is_dir():
        raise CarvanaError(f"no folder {folder}: check the path")
    names = sorted(file_names(folder))
    photos = [folder / name for name in names if name.lower().endswith(PHOTO_SUFFIXES) and name[0] != "."]
    if not photos:
        raise CarvanaError(f"{folder} holds no photos ({', '.join(PHOTO_SUFFIXES)}): name the folder they lie in")
    return photos


def predict_files(
    model: nn.Module,
    config: TrainConfig,
    photos: Sequence[str | Path],
    out: str | Path,
    threshold: float = 0.5,
    tta: bool = False,
) -> list[Path]:
    """Write `<name>_mask.png` (0 and 255) and `<name>_overlay.jpg` for each photo, at its own size.

    Of several classes, the mask holds the class numbers, and a palette that shows them in the colours of the overlay.
    Returns the masks' paths. Raises CarvanaError before anything is written if a photo cannot be read, if two photos
    would write the same file, or if a file would replace a photo; later if a file cannot be written.
    """
    from ..pictures.class_overlays import class_overlay
    from ..pictures.overlays import overlay

    logit(threshold)
    photos, out = [Path(photo) for photo in photos], Path(out)
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
        if config.classes:
            labels = predict_labels(model, pixels, config.size, tta)
            mask, picture = paletted(labels), Image.fromarray(class_overlay(pixels, labels))
        else:
            car = predict_array(model, pixels, config.size, tta) > threshold
            mask, picture = Image.fromarray(car.astype(np.uint8) * 255), Image.fromarray(overlay(pixels, car))
        write_atomically(mask_path, lambda t, m=mask: m.save(t, "PNG"))
        write_atomically(overlay_path, lambda t, p=picture: p.save(t, "JPEG", quality=90))
    return masks
