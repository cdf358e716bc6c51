"""Photos with the colours of several classes laid over them, as arrays."""

from __future__ import annotations

import numpy as np

from ..base.arrays import check_photo, described
from ..base.classes import IGNORED, MOST_CLASSES, palette
from .overlays import tint


def class_overlay(photo: np.ndarray, labels: np.ndarray, opacity: float = 0.55) -> np.ndarray:
    """Photo uint8 (H, W, 3) tinted by class; background (0) and pixels that count for nothing (255) stay as they are.

    `labels` are class numbers, uint8 (H, W), as from `predict_labels`; `base.classes.palette` gives the colours. Other
    arrays raise a ValueError.
    """
    check_photo(photo)
    if not isinstance(labels, np.ndarray) or labels.dtype != np.uint8 or labels.shape != photo.shape[:2]:
        raise ValueError(f"labels must be class numbers, uint8 {photo.shape[:2]}, not {described(labels)}")
    colours = palette(MOST_CLASSES)
    for number in np.unique(labels):
        if number not in (0, IGNORED):
            photo = tint(photo, labels == number, tuple(colours[number].tolist()), opacity)
    return photo
