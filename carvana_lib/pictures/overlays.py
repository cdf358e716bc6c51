"""Photos with masks laid over them, as arrays. Colours are Okabe and Ito's, safe for colour-blind eyes."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from ..metrics import erode

BLUE, ORANGE = (0, 114, 178), (230, 159, 0)
_CIVIDIS = np.round(plt.get_cmap("cividis")(np.arange(256))[:, :3] * 255).astype(np.uint8)


def tint(photo: np.ndarray, where: np.ndarray, colour: tuple[int, int, int], opacity: float) -> np.ndarray:
    """Photo uint8 (H, W, 3) with `colour` laid over the True pixels of `where` (H, W)."""
    # Looked up, not computed for each pixel: tools draw this at every move of a slider.
    table = np.round((1 - opacity) * np.arange(256)[:, None] + opacity * np.array(colour)).astype(np.uint8)
    out = photo.copy()
    pixels, chosen = out.reshape(-1, 3), np.flatnonzero(where)
    pixels[chosen] = table[pixels[chosen], np.arange(3)]
    return out


def overlay(photo: np.ndarray, mask: np.ndarray, opacity: float = 0.45) -> np.ndarray:
    """The masked car tinted blue with an orange outline: uint8 (H, W, 3)."""
    inside = mask
    # One pixel in 480, so that the outline can be seen on a photo of any size.
    for _ in range(max(1, round(mask.shape[1] / 480))):
        inside = erode(inside)
    tinted = tint(photo, mask, BLUE, opacity) if opacity else photo
    return tint(tinted, mask & ~inside, ORANGE, 1.0)


def outline(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Only the mask's outline, in orange: uint8 (H, W, 3)."""
    return overlay(photo, mask, opacity=0.0)


def grey(photo: np.ndarray) -> np.ndarray:
    """The mean of red, green and blue, rounded down: uint8 (H, W, 3) -> uint8 (H, W, 1)."""
    # Ten times faster than photo.mean(2).
    total = photo[..., 0].astype(np.uint16) + photo[..., 1] + photo[..., 2]
    return (total // 3).astype(np.uint8)[..., None]


def cividis(values: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1], float (H, W), as colours from dark blue over grey to yellow: uint8 (H, W, 3)."""
    return np.take(_CIVIDIS, np.round(values * 255).astype(np.uint8), axis=0)


def heat_map(photo: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The probability float (H, W) in [0, 1] as colours (cividis) over the photo in grey: uint8 (H, W, 3)."""
    colours = cividis(probability)
    return colours - colours // 4 + grey(photo) // 4


def error_map(photo: np.ndarray, prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Grey photo, uint8 (H, W, 3): car pixels that were missed in blue, extra ones in orange."""
    pale = np.repeat(grey(photo) // 2 + 96, 3, axis=2)
    return tint(tint(pale, target & ~prediction, BLUE, 1.0), prediction & ~target, ORANGE, 1.0)
