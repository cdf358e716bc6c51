"""Is an array what a function asks for? If not, one line says what it is instead, and how to change it."""

from __future__ import annotations

import numpy as np


def described(value: object) -> str:
    """What a value is, in a few words: "float32 (64, 96)", "a Tensor, bool (4, 4)", "a list"."""
    kind = "" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
    if not hasattr(value, "shape"):
        return kind
    return f"{kind}{', ' if kind else ''}{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def check_mask(mask: np.ndarray, shape: tuple[int, ...] | None = None) -> None:
    """ValueError unless `mask` is a NumPy array, bool (H, W), of `shape` = (H, W) if that is given."""
    if not (isinstance(mask, np.ndarray) and mask.dtype == bool and mask.ndim == 2):
        cure = "give one mask at a time"
        if not isinstance(mask, np.ndarray):
            cure = "convert it first, with mask.cpu().numpy() or np.asarray(mask)"
        elif mask.dtype != bool:
            cure = "compare it with a threshold first (probability > 0.5, logit > 0, mask > 127)"
        raise ValueError(f"a mask must be a NumPy array, bool (height, width), not {described(mask)}: {cure}")
    if shape is not None and mask.shape != tuple(shape):
        raise ValueError(f"a mask of {mask.shape} does not fit {tuple(shape)}: both must have one (height, width)")


def check_photo(photo: np.ndarray) -> None:
    """ValueError unless `photo` is a NumPy array, uint8 (H, W, 3)."""
    if not (isinstance(photo, np.ndarray) and photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3):
        cure = "read_photo gives such an array; values of 0 to 1 become one with (255 * photo).astype(np.uint8)"
        raise ValueError(f"a photo must be a NumPy array, uint8 (height, width, 3), not {described(photo)}: {cure}")


def check_probability(values: np.ndarray) -> None:
    """ValueError unless `values` is a NumPy array of floats, each from 0 to 1."""
    if not (isinstance(values, np.ndarray) and np.issubdtype(values.dtype, np.floating)):
        cure = "a net's logits become probabilities with torch.sigmoid(logits)"
        raise ValueError(f"probabilities must be a NumPy array of floats, not {described(values)}: {cure}")
    # NaN fails both comparisons.
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        found = f"these go from {values.min():.4g} to {values.max():.4g}"
        raise ValueError(f"probabilities lie between 0 and 1, {found}: were they logits, or 0 to 255?")
