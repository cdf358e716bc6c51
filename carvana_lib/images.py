"""Read photos and masks from files, at their own size or averaged down."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .base.classes import Classes, shares, to_labels
from .base.errors import CarvanaError
from .base.image_files import check_turn, displayed_size, not_zero, open_image, resize, to_rgb, two_colours, upright


def read_photo(path: str | Path, size: tuple[int, int] | None = None, content: bytes | None = None) -> np.ndarray:
    """Photo as uint8 RGB (height, width, 3), turned as its EXIF note says; transparent parts are laid on white.

    Args:
        path: JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF or PPM, in any colour mode; HEIC if pillow-heif is installed.
            16-bit greys that stay in the lower half of their range get the levels of a viewer.
        size: (width, height) to average down to; None keeps the photo's own size.
        content: the file's bytes, if they were read already; `path` then only names the photo in messages.

    Raises:
        CarvanaError: not an image, damaged, too big to be a photo, or of values that `to_rgb` refuses.
    """
    return _read(path, size, content)[0]


def read_mask(
    path: str | Path,
    size: tuple[int, int] | None = None,
    photo_size: tuple[int, int] | None = None,
    content: bytes | None = None,
    any_value: bool = False,
) -> np.ndarray:
    """Mask at its own size as bool (height, width), or averaged down to `size` as uint8.

    An averaged value is 255 times the share of the pixel that is car: a soft target.

    Args:
        path: GIF, PNG, TIFF, BMP or WebP with two values or colours, 0 or black for background; its EXIF turn counts.
        size: (width, height) to average down to; None keeps the mask's own size.
        photo_size: (width, height) that the mask must have.
        content: the file's bytes, if they were read already; `path` then only names the mask in messages.
        any_value: any value but 0 is car, as in masks that number what they show, also in 16 bits.

    Raises:
        CarvanaError: not an image, damaged, of more than 8 bits, transparent, not two-valued, or not of `photo_size`.
    """
    with open_image(path, content) as image:
        _check_size(image, path, photo_size)
        mask = not_zero(upright(image)) if any_value else two_colours(upright(image), path)
    return mask if size is None else np.asarray(resize(Image.fromarray(mask.astype(np.uint8) * 255), size))


def read_labels(
    path: str | Path,
    classes: Classes,
    size: tuple[int, int] | None = None,
    photo_size: tuple[int, int] | None = None,
    content: bytes | None = None,
) -> np.ndarray:
    """Mask of several classes: class numbers, uint8 (height, width), 255 where a pixel counts for nothing.

    With `size`, averaged down: uint8 (classes, height, width), 255 times each class's share of the pixel. The other
    arguments are those of `read_mask`. Raises CarvanaError as there, and for a value or colour that no class has.
    """
    with open_image(path, content) as image:
        _check_size(image, path, photo_size)
        labels = to_labels(upright(image), path, classes)
    return labels if size is None else shares(labels, len(classes.names), size)


def _check_size(image: Image.Image, path: str | Path, photo_size: tuple[int, int] | None) -> None:
    if photo_size is not None and displayed_size(image) != photo_size:
        here, there = ("{}x{}".format(*pixels) for pixels in (displayed_size(image), photo_size))
        raise CarvanaError(f"{path} is {here} but its photo is {there}: use a mask of the photo's size")


def read_pair(
    photo: str | Path, mask: str | Path, size: tuple[int, int], any_value: bool = False, classes: Classes | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Photo (height, width, 3) and soft mask (height, width), both uint8 at `size` = (width, height).

    With `classes`, the mask is as from `read_labels`. Raises CarvanaError if one of the files cannot be read, if the
    two differ in size, or as `check_turn` says.
    """
    image, photo_size = _read(photo, size, None, mask)
    if classes:
        return image, read_labels(mask, classes, size, photo_size)
    return image, read_mask(mask, size, photo_size, any_value=any_value)


def _read(
    path: str | Path, size: tuple[int, int] | None, content: bytes | None, mask: str | Path | None = None
) -> tuple[np.ndarray, tuple[int, int]]:
    """A photo as `read_photo` gives it, and its own (width, height), both upright."""
    with open_image(path, content) as image:
        if mask is not None:
            check_turn(image, path, mask)
        width, height = own_size = displayed_size(image)
        for scale in (8, 4, 2) if size else ():
            # A JPEG is decoded at a part of its size, if that is still at least `size`. A side that does not divide
            # would be rounded up, and the photo would lie beside its mask.
            if width % scale == 0 == height % scale and width >= scale * size[0] and height >= scale * size[1]:
                image.draft("RGB", (image.width // scale, image.height // scale))
                break
        image = to_rgb(upright(image), path)
    return np.asarray(resize(image, size) if size else image), own_size
