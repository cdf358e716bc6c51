"""Photos with masks laid over them, as arrays. The colours are Okabe and Ito's, safe for colour-blind eyes.

Each function raises a ValueError for an array that is not what its docstring says.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ..base.arrays import check_mask, check_photo, check_probability
from ..metrics import erode

BLUE, ORANGE = (0, 114, 178), (230, 159, 0)  # red, green, blue


def tint(photo: np.ndarray, where: np.ndarray, colour: tuple[int, int, int], opacity: float) -> np.ndarray:
    """Photo uint8 (H, W, 3) with `colour` over the True pixels of `where`, bool (H, W); `opacity` is from 0 to 1."""
    check_photo(photo)
    check_mask(where, photo.shape[:2])
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity={opacity} must be from 0 to 1")
    # Each new value is looked up, not computed: the tools draw this at every move of a slider.
    table = np.round((1 - opacity) * np.arange(256)[:, None] + opacity * np.array(colour)).astype(np.uint8)
    out = photo.copy()
    pixels, chosen = out.reshape(-1, 3), np.flatnonzero(where)
    pixels[chosen] = table[pixels[chosen], np.arange(3)]
    return out


def overlay(photo: np.ndarray, mask: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """Photo uint8 (H, W, 3) with the car of `mask`, bool (H, W), tinted blue and outlined in orange."""
    check_mask(mask)
    inside = mask
    # The outline is one pixel wide for every 480 of the photo's width, to be visible at any size.
    for _ in range(max(1, round(mask.shape[1] / 480))):
        inside = erode(inside)
    tinted = tint(photo, mask, BLUE, opacity) if opacity else photo
    return tint(tinted, mask & ~inside, ORANGE, 1.0)


def outline(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Photo uint8 (H, W, 3) with only the outline of `mask`, bool (H, W), in orange."""
    return overlay(photo, mask, opacity=0.0)


def grey(photo: np.ndarray) -> np.ndarray:
    """The mean of red, green and blue, rounded down: uint8 (H, W, 3) -> uint8 (H, W, 1)."""
    check_photo(photo)
    # Ten times faster than photo.mean(2).
    total = photo[..., 0].astype(np.uint16) + photo[..., 1] + photo[..., 2]
    return (total // 3).astype(np.uint8)[..., None]


@cache
def _cividis_table() -> np.ndarray:
    # Imported on first use: the other pictures need no matplotlib.
    from matplotlib import colormaps

    return np.round(colormaps["cividis"](np.arange(256))[:, :3] * 255).astype(np.uint8)


def cividis(values: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1], float (H, W), as colours from dark blue over grey to yellow: uint8 (H, W, 3)."""
    check_probability(values)
    return np.take(_cividis_table(), np.round(values * 255).astype(np.uint8), axis=0)


def heat_map(photo: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Photo uint8 (H, W, 3) in grey under the colours of a probability, float (H, W) in [0, 1], see `cividis`."""
    check_photo(photo)
    colours = cividis(probability)
    if colours.shape != photo.shape:
        raise ValueError(f"a probability of {probability.shape} does not fit a photo of {photo.shape}")
    return colours - colours // 4 + grey(photo) // 4


def error_map(photo: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Photo uint8 (H, W, 3) in pale grey; missed car in blue, background taken for car in orange; masks bool (H, W)."""
    check_photo(photo)
    for mask in (prediction, target):
        check_mask(mask, photo.shape[:2])
    pale = np.repeat(grey(photo) // 2 + 96, 3, axis=2)
    return tint(tint(pale, target & ~prediction, BLUE, 1.0), prediction & ~target, ORANGE, 1.0)
