"""Is an array what a function asks for? If not, one line says what it is instead, and how to change it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from .image_files import orientation, to_rgb


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


def as_image(photo: np.ndarray | Image.Image) -> Image.Image:
    """A photo in memory as Pillow's RGB image.

    It is an image of Pillow's, or an array uint8: (height, width, 3), RGBA (height, width, 4), or grey (height, width)
    or (height, width, 1). Anything else, and an image that has to be turned first, raise a ValueError.
    """
    if isinstance(photo, Image.Image):
        if orientation(photo) != 1:
            raise ValueError("the image is not upright: turn it with PIL.ImageOps.exif_transpose, or use read_photo")
    else:
        shape = getattr(photo, "shape", ())
        channels = shape[2] if len(shape) == 3 else 1
        if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8 or len(shape) not in (2, 3):
            channels = 0
        if channels not in (1, 3, 4) or photo.size == 0:
            cure = "read_photo gives such an array; one of 0 to 1 becomes it with (255 * photo).astype(np.uint8)"
            raise ValueError(f"a photo must be an array, uint8 (height, width, 3), not {described(photo)}: {cure}")
        photo = Image.fromarray(photo.reshape(shape[:2]) if channels == 1 else photo)
    return photo if photo.mode == "RGB" else to_rgb(photo, "the photo")


def check_masks(masks: torch.Tensor) -> None:
    """ValueError unless `masks` is a tensor, bool (N, H, W) or (N, 1, H, W)."""
    if not isinstance(masks, torch.Tensor) or masks.dtype != torch.bool:
        cure = "threshold first (logits > 0); a NumPy mask becomes one with torch.from_numpy(mask)[None]"
        raise ValueError(f"masks must be a tensor, bool (N, H, W), not {described(masks)}: {cure}")
    if masks.ndim != 3 and (masks.ndim != 4 or masks.shape[1] != 1):
        cure = "of a single mask, give mask[None]"
        raise ValueError(f"masks must be (N, H, W) or (N, 1, H, W), not {tuple(masks.shape)}: {cure}")
