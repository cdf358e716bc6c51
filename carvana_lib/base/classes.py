"""Several classes: what the values or colours of a mask mean, each class's share of a smaller pixel, the palette."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import CarvanaError
from .image_files import resize

IGNORED = 255  # the number of a pixel that counts for nothing
MOST_CLASSES = 255
# Black for the background, then the colours of Okabe and Ito, which colour-blind eyes tell apart.
OKABE_ITO = (
    (0, 0, 0),
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)


@dataclass(frozen=True)
class Classes:
    """The classes of a data set, in the order of their numbers, and how its masks write them."""

    names: tuple[str, ...]
    colours: tuple[str, ...] = ()  # of coloured masks, "#rrggbb" for each class; empty: masks hold the numbers
    ignore: int | str | None = None  # the value or colour of pixels that count for nothing

    @property
    def listed(self) -> str:
        return ", ".join(f"{value} {name}" for value, name in zip(self.colours or range(256), self.names, strict=False))


def to_labels(image: Image.Image, path: str | Path, classes: Classes) -> np.ndarray:
    """The class number of each pixel of an opened mask: uint8 (height, width), IGNORED where `ignore` says so.

    A mask holds numbers (grey of 1 to 16 bits, or a palette), or the colours of `classes`. Of two classes, any number
    but 0 is the second. Raises CarvanaError for a number or colour that no class has, and for transparent masks.
    """
    if "A" in image.getbands() and image.getchannel("A").getextrema() != (255, 255):
        raise CarvanaError(f"{path} is transparent in places: save it without transparency")
    if classes.colours:
        return _by_colour(np.asarray(image.convert("RGB")), path, classes)
    values = mask_values(image, path)
    used = np.flatnonzero(np.bincount(values.ravel()))
    table = np.full(max(int(used[-1]) + 1, 256), IGNORED, np.uint8)
    table[: len(classes.names)] = range(len(classes.names))
    if len(classes.names) == 2:
        table[2:] = 1
    elif unknown := [value for value in used.tolist() if value >= len(classes.names) and value != classes.ignore]:
        raise CarvanaError(_no_class(path, f"value {unknown[0]}", classes, f"ignore = {unknown[0]}"))
    if classes.ignore is not None and classes.ignore < len(table):
        table[classes.ignore] = IGNORED
    return table[values]


def mask_values(image: Image.Image, path: str | Path) -> np.ndarray:
    """The numbers of a mask as its file has them, uint8 or larger (height, width). CarvanaError for colours."""
    values, bits = np.asarray(image), image.info.get("bits", 8)
    if image.mode == "1":
        values = values.astype(np.uint8)
    elif image.mode == "L" and bits in (2, 4):
        values = values // (255 // (2**bits - 1))  # Pillow spreads such greys over 0 to 255
    if values.ndim == 3:
        grey = image.mode in ("LA", "PA") or (values[..., 1:3] == values[..., :1]).all()
        if not grey or image.mode == "CMYK" or (bits == 16 and image.mode != "LA"):
            cure = "give the colour of each class, colours = {background = '#000000', ...}, in dataset.toml"
            raise CarvanaError(f"{path} is coloured: {cure}")
        values = values[..., 0]
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65_535:
        raise CarvanaError(f"{path} holds values that are no class numbers: save it as 8-bit or 16-bit grey PNG")
    return values


def _by_colour(rgb: np.ndarray, path: str | Path, classes: Classes) -> np.ndarray:
    codes = (rgb[..., 0].astype(np.int32) << 16) | (rgb[..., 1].astype(np.int32) << 8) | rgb[..., 2]
    labels = np.full(codes.shape, IGNORED, np.uint8)
    known = np.zeros(codes.shape, bool)
    numbers = [*enumerate(classes.colours), *([(IGNORED, classes.ignore)] if classes.ignore else [])]
    for number, colour in numbers:
        here = codes == int(colour[1:], 16)
        labels[here] = number
        known |= here
    if not known.all():
        colour = f"#{codes[~known][0]:06x}"
        raise CarvanaError(_no_class(path, f"colour {colour}", classes, f"ignore = '{colour}'"))
    return labels


def _no_class(path: str | Path, what: str, classes: Classes, ignore: str) -> str:
    cure = f"correct the mask, or add the class or {ignore} to dataset.toml"
    return f"{path} holds the {what}, which is none of its classes ({classes.listed}): {cure}"


def shares(labels: np.ndarray, count: int, size: tuple[int, int]) -> np.ndarray:
    """uint8 (count, height, width) of `size` = (width, height): 255 times the share of a pixel that is each class.

    `labels` are from `to_labels`. Ignored pixels are no class: where they are, the shares add up to less than 255.
    """
    whole = (Image.fromarray((labels == number).astype(np.uint8) * 255) for number in range(count))
    return np.stack([np.asarray(resize(picture, size)) for picture in whole])


def palette(count: int) -> np.ndarray:
    """A colour for each of `count` classes, uint8 (count, 3): OKABE_ITO, and from the ninth class on their mixtures."""
    colours = np.array(OKABE_ITO, dtype=np.float64)
    number = np.arange(count)
    turn = np.maximum(number - 1, 0) // 7  # how often the seven colours were used
    base, other = colours[np.where(number, (number - 1) % 7 + 1, 0)], colours[(number - 1 + turn) % 7 + 1]
    share = (1 / (turn + 1))[:, None]
    return np.round(share * base + (1 - share) * other).astype(np.uint8)


def paletted(labels: np.ndarray) -> Image.Image:
    """Class numbers, uint8 (height, width), as a picture with a palette: a viewer shows colours, a reader numbers."""
    image = Image.fromarray(labels, "L")
    image.putpalette(palette(MOST_CLASSES).tobytes())
    return image
